#include "ckpt/formats/convert_file.h"

#include <algorithm>
#include <filesystem>
#include <future>
#include <span>
#include <system_error>

#include "formats/container/atomic_output.h"
#include "formats/container/file_digest.h"
#include "formats/container/files_read.h"
#include "formats/container/special_file.h"
#include "formats/container/staging_folder.h"
#include "formats/encoding/checksum.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

// The file whose existence means that OUTPUT exists.
fs::path MarkerOf(const ConversionTarget& target) {
  return target.format->marker == nullptr ? fs::path(target.path)
                                          : target.format->marker(target.path);
}

// Computes the CRC-32C of what passes, so that the file can be compared with it afterwards.
class SummingStream : public TensorStream {
 public:
  SummingStream(std::unique_ptr<TensorStream> stream, std::uint32_t& sum)
      : stream_(std::move(stream)), sum_(sum) {
    sum_ = 0;
  }
  Result<std::span<const std::byte>> Next() override {
    auto chunk = stream_->Next();
    if (chunk) sum_ = Crc32c(*chunk, sum_);
    return chunk;
  }

 private:
  std::unique_ptr<TensorStream> stream_;
  std::uint32_t& sum_;
};

Result<std::uint32_t> SumOf(const Checkpoint& checkpoint, TensorId id) {
  CKPT_ASSIGN_OR_RETURN(const auto stream, checkpoint.Open(id));
  std::uint32_t sum = 0;
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const auto chunk, stream->Next());
    if (chunk.empty()) return sum;
    sum = Crc32c(chunk, sum);
  }
}

Error Differs(const ConversionTarget& target, const std::string& tensor, std::string what) {
  return Error{ErrorCode::kInternal,
               "the file that was written " + std::move(what) + "; OUTPUT was left as it was",
               target.path,
               {},
               tensor};
}

// The value of a small constant of the graph, which a file with variables does not list.
const OpConstant* ConstantOf(const Checkpoint& checkpoint, const std::string& name) {
  const auto& ops = checkpoint.manifest().ops;
  if (!ops) return nullptr;
  const auto id = ops->top.Find(name);
  return id && ops->top.ops[*id].constant ? &*ops->top.ops[*id].constant : nullptr;
}

// A graph lists constants of its own beside what was planned.
Status CheckConstants(const ConversionTarget& target, const ConversionPlan& plan,
                      const std::vector<std::uint32_t>& sums, const Checkpoint& written) {
  for (std::size_t i = 0; i < plan.tensors.size(); ++i) {
    const TensorInfo& meant = plan.tensors[i].info;
    const auto id = FindTensor(written.manifest(), meant.name);
    if (!id) {
      const OpConstant* constant = ConstantOf(written, meant.name);
      if (constant == nullptr) return Fail(Differs(target, meant.name, "lacks it"));
      if (constant->dtype != meant.dtype || constant->shape != meant.shape ||
          Crc32c(constant->bytes, 0) != sums[i]) {
        return Fail(Differs(target, meant.name, "reads back with other values"));
      }
      continue;
    }
    const TensorInfo& found = written.manifest().tensors[id->index];
    if (found.dtype != meant.dtype || found.shape != meant.shape)
      return Fail(Differs(target, meant.name, "has another type or shape for it"));
    CKPT_ASSIGN_OR_RETURN(const std::uint32_t sum, SumOf(written, *id));
    if (sum != sums[i]) return Fail(Differs(target, meant.name, "reads back with other values"));
  }
  return {};
}

// Compares names, types, shapes and every byte with what was meant.
Status Compare(const ConversionTarget& target, const ConversionPlan& plan,
               const std::vector<std::uint32_t>& sums, const Checkpoint& written) {
  const auto& tensors = written.manifest().tensors;
  if (tensors.size() != plan.tensors.size()) {
    return Fail(Differs(target, "",
                        "holds " + std::to_string(tensors.size()) + " tensors instead of " +
                            std::to_string(plan.tensors.size())));
  }
  for (std::uint32_t i = 0; i < tensors.size(); ++i) {
    const TensorInfo& meant = plan.tensors[i].info;
    // A reader may call a tensor by less than its key: without "module." or a counter.
    if (tensors[i].name != meant.name && tensors[i].stored_as != meant.name)
      return Fail(Differs(target, meant.name, "has \"" + tensors[i].name + "\" here"));
    if (tensors[i].dtype != meant.dtype || tensors[i].shape != meant.shape) {
      return Fail(Differs(target, meant.name, "has another type or shape for it"));
    }
    CKPT_ASSIGN_OR_RETURN(const std::uint32_t sum, SumOf(written, TensorId{i}));
    if (sum != sums[i]) return Fail(Differs(target, meant.name, "reads back with other values"));
  }
  return {};
}

// Opens OUTPUT again where it lies.
Status CheckWritten(const Files& files, const ConversionTarget& target, const ConversionPlan& plan,
                    const std::vector<std::uint32_t>& sums) {
  OpenOptions options;
  options.format = std::string(target.format->name);
  CKPT_ASSIGN_OR_RETURN(const auto written, OpenCheckpoint(files, target.path, options));
  CKPT_RETURN_IF_ERROR(target.format->holds_operations
                           ? CheckConstants(target, plan, sums, *written)
                           : Compare(target, plan, sums, *written));
  return target.accept ? target.accept(*written) : Status{};
}

// Runs `work` beside the caller, or, where no thread is to be had or wanted, when its result is
// asked for.
template <typename Work>
auto Beside(const ConversionTarget& target, Work work) {
  if (target.one_thread) return std::async(std::launch::deferred, work);
  try {
    return std::async(std::launch::async, work);
  } catch (const std::system_error&) {
    return std::async(std::launch::deferred, work);
  }
}

Status WriteRecord(AtomicOutput& output, const ConversionTarget& target, const std::string& text) {
  CKPT_ASSIGN_OR_RETURN(OutputFile* const file, output.CreateOrWriteInto(target.record_path));
  return file->Append(std::as_bytes(std::span(text)));
}

Result<OutputModel> ModelToWrite(const Checkpoint& source, const ConversionPlan& plan,
                                 const ConversionTarget& target, std::vector<std::uint32_t>& sums) {
  OutputModel model;
  for (const FoldedTensor& tensor : plan.tensors) model.tensors.push_back(tensor.info);
  sums.resize(model.tensors.size());
  model.open = [&source, &plan, &sums](std::size_t i) -> Result<std::unique_ptr<TensorStream>> {
    CKPT_ASSIGN_OR_RETURN(auto stream, OpenPlanned(source, plan, i));
    return std::unique_ptr<TensorStream>(
        std::make_unique<SummingStream>(std::move(stream), sums[i]));
  };
  const Manifest& manifest = source.manifest();
  model.framework = manifest.framework;
  if (plan.names) {
    model.framework = plan.names;
    model.metadata = plan.metadata;
    return model;
  }
  model.graph = manifest.graph;
  if (target.format->holds_operations) return model;
  if (!TakesDocumentsOf(*target.format, source.format())) return model;
  model.metadata = manifest.metadata;
  // A model whose tensors got other names no longer fits its own config.
  if (target.format->rewrite != nullptr && plan.renamed.empty()) {
    CKPT_ASSIGN_OR_RETURN(model.documents, target.format->rewrite(manifest, plan.edits));
  }
  return model;
}

Result<WriteSummary> Write(AtomicOutput& output, const ConversionTarget& target,
                           const OutputModel& model) {
  WriteOptions options;
  if (target.shard_bytes) options.shard_bytes = *target.shard_bytes;
  auto written = target.format->write(output, target.path, model, options);
  output.CloseSet();
  if (written || !written.error().file.empty()) return written;
  Error error = std::move(written).error();
  error.file = target.path;
  return Fail(std::move(error));
}

FileRecord RecordOf(const std::string& path, FileDigest digest) {
  return {fs::path(path).filename().string(), digest.bytes, std::move(digest.sha256)};
}

// The files of INPUT for the record.
Result<std::vector<FileRecord>> SourceFiles(const FilesRead& files, const Manifest& manifest,
                                            bool digest) {
  if (digest) return DigestFiles(files, manifest.files);
  std::vector<FileRecord> records;
  for (const std::string& path : manifest.files) {
    CKPT_ASSIGN_OR_RETURN(const auto file, files.Open(path));
    records.push_back(RecordOf(path, {file->size(), {}}));
  }
  return records;
}

// Those of OUTPUT: the digests that were taken while it was written, and others from its files.
Result<std::vector<FileRecord>> OutputFiles(AtomicOutput& output, const WriteSummary& written,
                                            bool digest) {
  std::vector<FileRecord> records;
  for (const std::string& path : written.files) {
    std::optional<FileDigest> taken;
    if (digest) {
      CKPT_ASSIGN_OR_RETURN(taken, output.DigestOf(path));
    }
    if (!taken) {
      CKPT_ASSIGN_OR_RETURN(const auto file, output.files().Open(path));
      taken = FileDigest{file->size(), {}};
      if (digest) {
        CKPT_ASSIGN_OR_RETURN(taken, DigestFile(*file));
      }
    }
    records.push_back(RecordOf(path, *std::move(taken)));
  }
  return records;
}

}  // namespace

Result<std::vector<FileRecord>> DigestFiles(const Files& files,
                                            const std::vector<std::string>& paths) {
  std::vector<FileRecord> records;
  for (const std::string& path : paths) {
    CKPT_ASSIGN_OR_RETURN(const auto file, files.Open(path));
    CKPT_ASSIGN_OR_RETURN(FileDigest digest, DigestFile(*file));
    records.push_back(RecordOf(path, std::move(digest)));
  }
  return records;
}

bool TakesDocumentsOf(const Format& target, std::string_view source_format) {
  return source_format == target.name ||
         std::find(target.kin.begin(), target.kin.end(), source_format) != target.kin.end();
}

std::string DefaultRecordPath(const std::string& output, const Format* format) {
  if (format == nullptr || format->record_within.empty()) return output + ".ckpt.json";
  return (fs::path(output) / format->record_within).string();
}

Status CheckTarget(const ConversionTarget& target, const Manifest& source) {
  if (target.format->write == nullptr) {
    return Fail(ErrorCode::kUnsupported,
                "writing " + std::string(target.format->name) + " is not supported");
  }
  std::error_code ignored;
  const fs::path output = MarkerOf(target);
  for (const std::string& file : source.files) {
    if (!fs::equivalent(output, file, ignored)) continue;
    return Fail(
        Error{ErrorCode::kInvalidArgument, "OUTPUT is a file of INPUT"}.In(output.string()));
  }
  for (const fs::path& marker : {output, fs::path(target.record_path)}) {
    if (!target.replace && fs::exists(fs::symlink_status(marker, ignored)) &&
        !(marker == target.record_path && IsSpecialFile(marker))) {
      return Fail(Error{ErrorCode::kAlreadyExists, "exists already"}
                      .In(marker.string())
                      .With(Remedy::kReplaceOutput));
    }
  }
  return {};
}

Status CheckHeld(const ConversionTarget& target, const ConversionPlan& plan) {
  for (const FoldedTensor& tensor : plan.tensors)
    CKPT_RETURN_IF_ERROR(target.format->can_hold(tensor.info));
  return {};
}

void SettleInterrupted(const ConversionTarget& target) {
  for (const std::string& path : {target.path, target.record_path}) {
    if (const auto end = BehindLinks(path)) RemoveLeftovers(end->parent_path());
  }
}

Result<ConversionOutcome> Convert(const Checkpoint& source, const ConversionPlan& plan,
                                  const ConversionTarget& target, const FilesRead& read,
                                  const RecordWriter& record, std::shared_ptr<const OpGraph> ops) {
  std::vector<std::uint32_t> sums;
  CKPT_ASSIGN_OR_RETURN(OutputModel model, ModelToWrite(source, plan, target, sums));
  model.ops = std::move(ops);
  ProtectedFiles not_written;
  read.AddTo(not_written);
  for (const std::string& report : target.report_paths)
    not_written.Add(report, "a report of this run");
  AtomicOutput output(
      target.replace ? AtomicOutput::Overwrite::kReplace : AtomicOutput::Overwrite::kRefuse,
      &not_written);
  // The digests are computed beside the writing: the input's of pages that it warms for the
  // reader, the output's of pages that were just written.
  auto source_files =
      Beside(target, [&] { return SourceFiles(read, source.manifest(), target.digest); });
  if (target.digest && !target.one_thread) output.DigestWhileWriting();
  const auto written = Write(output, target, model);
  if (!written) return Fail(written);
  auto output_files = Beside(target, [&] { return OutputFiles(output, *written, target.digest); });
  CKPT_RETURN_IF_ERROR(CheckWritten(output.files(), target, plan, sums));
  ConversionRecord digests;
  CKPT_ASSIGN_OR_RETURN(digests.source, source_files.get());
  CKPT_ASSIGN_OR_RETURN(digests.output, output_files.get());
  CKPT_RETURN_IF_ERROR(read.CheckUnchanged());
  CKPT_RETURN_IF_ERROR(WriteRecord(output, target, record(digests)));
  read.AddTo(not_written);
  CKPT_RETURN_IF_ERROR(output.Commit());
  return ConversionOutcome{written->files, written->bytes};
}

}  // namespace ckpt::formats
