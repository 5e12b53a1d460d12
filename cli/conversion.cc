#include "cli/conversion.h"

#include <algorithm>
#include <filesystem>
#include <future>

#include "ckpt/formats/graph_output.h"
#include "formats/container/atomic_output.h"
#include "formats/container/file_digest.h"
#include "formats/encoding/checksum.h"

namespace ckpt::cli {
namespace {

namespace fs = std::filesystem;

// The files whose existence means that OUTPUT exists. A bundle is a prefix.
std::vector<fs::path> OutputMarkers(const ConversionTarget& target) {
  if (target.format->name == "tf-bundle" && !target.path.ends_with(".index"))
    return {target.path + ".index"};
  if (target.format->name == "saved-model") return {fs::path(target.path) / "saved_model.pb"};
  return {target.path};
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
    if (chunk) sum_ = formats::Crc32c(*chunk, sum_);
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
    sum = formats::Crc32c(chunk, sum);
  }
}

Error Differs(const ConversionTarget& target, const std::string& tensor, std::string what) {
  return Error{ErrorCode::kInternal,
               "the file that was written " + std::move(what) + "; it was removed",
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
          formats::Crc32c(constant->bytes, 0) != sums[i]) {
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

// Opens OUTPUT again and compares names, types, shapes and every byte with what was meant.
Status CheckWritten(const ConversionTarget& target, const ConversionPlan& plan,
                    const std::vector<std::uint32_t>& sums) {
  formats::OpenOptions options;
  options.format = std::string(target.format->name);
  CKPT_ASSIGN_OR_RETURN(const auto written, formats::OpenCheckpoint(target.path, options));
  const auto& tensors = written->manifest().tensors;
  if (formats::HoldsOperations(*target.format)) {
    CKPT_RETURN_IF_ERROR(CheckConstants(target, plan, sums, *written));
    return target.accept ? target.accept(*written) : Status{};
  }
  if (tensors.size() != plan.tensors.size()) {
    return Fail(Differs(target, "",
                        "holds " + std::to_string(tensors.size()) + " tensors instead of " +
                            std::to_string(plan.tensors.size())));
  }
  for (std::uint32_t i = 0; i < tensors.size(); ++i) {
    const TensorInfo& meant = plan.tensors[i].info;
    if (tensors[i].name != meant.name)
      return Fail(Differs(target, meant.name, "has \"" + tensors[i].name + "\" here"));
    if (tensors[i].dtype != meant.dtype || tensors[i].shape != meant.shape) {
      return Fail(Differs(target, meant.name, "has another type or shape for it"));
    }
    CKPT_ASSIGN_OR_RETURN(const std::uint32_t sum, SumOf(*written, TensorId{i}));
    if (sum != sums[i]) return Fail(Differs(target, meant.name, "reads back with other values"));
  }
  return target.accept ? target.accept(*written) : Status{};
}

Result<Json> DigestFiles(const std::vector<std::string>& paths) {
  Json files = Json::array();
  for (const std::string& path : paths) {
    CKPT_ASSIGN_OR_RETURN(const auto file, formats::SystemFiles().Open(path));
    CKPT_ASSIGN_OR_RETURN(const formats::FileDigest digest, formats::DigestFile(*file));
    files.push_back({{"name", JsonText(fs::path(path).filename().string())},
                     {"bytes", digest.bytes},
                     {"sha256", digest.sha256}});
  }
  return files;
}

Status WriteRecord(const ConversionTarget& target, const Json& record) {
  using formats::AtomicOutput;
  AtomicOutput output(target.replace ? AtomicOutput::Overwrite::kReplace
                                     : AtomicOutput::Overwrite::kRefuse);
  CKPT_ASSIGN_OR_RETURN(formats::OutputFile* const file, output.Create(target.record_path));
  const std::string text = Dump(record, true);
  CKPT_RETURN_IF_ERROR(file->Append(std::as_bytes(std::span(text))));
  return output.Commit();
}

Result<formats::OutputModel> ModelToWrite(const Checkpoint& source, const ConversionPlan& plan,
                                          const ConversionTarget& target,
                                          std::vector<std::uint32_t>& sums) {
  formats::OutputModel model;
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
  if (formats::HoldsOperations(*target.format)) return model;
  const auto& kin = target.format->kin;
  if (source.format() != target.format->name &&
      std::find(kin.begin(), kin.end(), source.format()) == kin.end()) {
    return model;
  }
  model.metadata = manifest.metadata;
  // A model whose tensors got other names no longer fits its own config.
  if (target.format->rewrite != nullptr && plan.renamed.empty()) {
    CKPT_ASSIGN_OR_RETURN(model.documents, target.format->rewrite(manifest, plan.edits));
  }
  return model;
}

Result<formats::WriteSummary> Write(const ConversionTarget& target,
                                    const formats::OutputModel& model,
                                    std::shared_ptr<const OpGraph> ops) {
  formats::WriteOptions options;
  options.replace = target.replace;
  if (target.shard_bytes) options.shard_bytes = *target.shard_bytes;
  auto written = ops == nullptr ? target.format->write(target.path, model, options)
                                : formats::WriteOperations(*target.format, target.path, model,
                                                           std::move(ops), options);
  if (written || !written.error().file.empty()) return written;
  Error error = std::move(written).error();
  error.file = target.path;
  return Fail(std::move(error));
}

void RemoveFiles(const std::vector<std::string>& files) {
  for (const std::string& path : files) {
    std::error_code ignored;
    fs::remove(path, ignored);
  }
}

}  // namespace

Status CheckTarget(const ConversionTarget& target, const Manifest& source) {
  if (target.format->write == nullptr) {
    return Fail(ErrorCode::kUnsupported,
                "writing " + std::string(target.format->name) + " is not supported");
  }
  std::error_code ignored;
  std::vector<fs::path> markers = OutputMarkers(target);
  for (const fs::path& marker : markers) {
    for (const std::string& file : source.files) {
      if (fs::equivalent(marker, file, ignored)) {
        return Fail(Error{
            ErrorCode::kInvalidArgument, "OUTPUT is a file of INPUT", marker.string(), {}, {}});
      }
    }
  }
  markers.emplace_back(target.record_path);
  for (const fs::path& marker : markers) {
    if (!target.replace && fs::exists(fs::symlink_status(marker, ignored))) {
      return Fail(Error{ErrorCode::kAlreadyExists,
                        "exists already; --force replaces it",
                        marker.string(),
                        {},
                        {}});
    }
  }
  return {};
}

Status CheckHeld(const ConversionTarget& target, const ConversionPlan& plan) {
  for (const FoldedTensor& tensor : plan.tensors)
    CKPT_RETURN_IF_ERROR(target.format->can_hold(tensor.info));
  return {};
}

Result<ConversionOutcome> Convert(const Checkpoint& source, const ConversionPlan& plan,
                                  const ConversionTarget& target,
                                  const std::function<Json()>& record,
                                  std::shared_ptr<const OpGraph> ops) {
  std::vector<std::uint32_t> sums;
  CKPT_ASSIGN_OR_RETURN(const formats::OutputModel model, ModelToWrite(source, plan, target, sums));
  // The input's digests are computed beside the writing: the second core is free and the pages are
  // warm.
  auto source_digests =
      std::async(std::launch::async, [&source] { return DigestFiles(source.manifest().files); });
  const auto written = Write(target, model, std::move(ops));
  if (!written) return Fail(written);
  auto output_digests =
      std::async(std::launch::async, [&written] { return DigestFiles(written->files); });
  Status status = CheckWritten(target, plan, sums);
  Result<Json> source_files = source_digests.get(), output_files = output_digests.get();
  if (status && !source_files) status = Fail(source_files);
  if (status && !output_files) status = Fail(output_files);
  if (status) {
    Json summary = record();
    summary["source_files"] = *std::move(source_files);
    summary["output_files"] = *std::move(output_files);
    status = WriteRecord(target, summary);
  }
  if (!status) {
    RemoveFiles(written->files);
    return Fail(status);
  }
  return ConversionOutcome{written->files, written->bytes};
}

}  // namespace ckpt::cli
