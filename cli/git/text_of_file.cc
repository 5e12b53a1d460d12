#include "cli/git/text_of_file.h"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <vector>

#include "ckpt/batch_norm.h"
#include "ckpt/formats/format.h"
#include "ckpt/natural_order.h"
#include "ckpt/sha256.h"
#include "ckpt/tensor_statistics.h"
#include "cli/git/lone_files.h"
#include "cli/report/error_text.h"
#include "cli/report/text_table.h"
#include "cli/report_sink.h"
#include "formats/container/file_digest.h"

namespace ckpt::cli {
namespace {

constexpr std::size_t kHashDigits = 16, kLongestValue = 200;

std::string Short(const std::string& hash) { return hash.substr(0, kHashDigits); }

// In words without the folder of the file: git's temporary ones have a new name each time.
std::string InWords(Error error, const std::string& path) {
  error.file.clear();
  const std::string folder = std::filesystem::path(path).parent_path().string() + "/";
  for (std::size_t at = 0;
       folder != "/" && (at = error.message.find(folder, at)) != std::string::npos;)
    error.message.erase(at, folder.size());
  return Describe(error);
}

// One line of what may be long.
std::string Recorded(std::string_view name, std::string_view text) {
  std::string line = std::string(name) + ": ";
  const std::string escaped = EscapeForDisplay(text.substr(0, kLongestValue + 1));
  if (text.size() <= kLongestValue) return line + escaped + "\n";
  return line + FormatBytes(text.size()) + ", sha256 " + Short(Sha256(text)) + "\n";
}

std::string HeadOf(const Checkpoint& checkpoint, const Analysis& analysis) {
  const Manifest& manifest = checkpoint.manifest();
  std::string out = "format: " + std::string(checkpoint.format()) + "\n";
  if (analysis.framework) {
    out += "framework: " + std::string(Name(*analysis.framework));
    if (!manifest.framework_version.empty())
      out += " " + EscapeForDisplay(manifest.framework_version);
    out += "\n";
  }
  for (const auto& [key, value] : manifest.metadata)
    out += Recorded("metadata " + EscapeForDisplay(key), value);
  for (const Document& document : manifest.documents)
    out += Recorded("document " + EscapeForDisplay(document.name), document.text);
  for (const std::string& function : manifest.runs_on_load)
    out += "runs when it is loaded: " + EscapeForDisplay(function) + "\n";
  return out;
}

struct Values {
  std::string hash;
  TensorStatistics statistics;
};

Result<Values> Measure(const Checkpoint& checkpoint, TensorId id) {
  const Dtype dtype = checkpoint.manifest().tensors[id.index].dtype;
  CKPT_ASSIGN_OR_RETURN(const auto stream, checkpoint.Open(id));
  Sha256Digest hash;
  Values values;
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const auto bytes, stream->Next());
    if (bytes.empty()) break;
    hash.Update(bytes);
    if (IsReal(dtype)) values.statistics.Add(dtype, bytes);
  }
  values.hash = std::move(hash).Finish();
  return values;
}

std::string InHex(std::uint32_t value) {
  char text[9];
  std::snprintf(text, sizeof text, "%08x", value);
  return text;
}

// What tells one state of the tensor from another.
std::string ValuesOf(const Checkpoint& checkpoint, TensorId id, const std::string& path) {
  const TensorInfo& info = checkpoint.manifest().tensors[id.index];
  if (!info.data_present) {
    if (!info.checksum) return "in another file";
    const bool crc32c = info.checksum->kind == ChecksumKind::kCrc32c;
    return (crc32c ? "crc32c " : "crc32 ") + InHex(info.checksum->value) + "  in another file";
  }
  const Result<Values> values = Measure(checkpoint, id);
  if (!values) {
    Error error = values.error();
    error.tensor.clear();
    return "unreadable: " + InWords(std::move(error), path);
  }
  std::string out = Short(values->hash);
  const TensorStatistics& statistics = values->statistics;
  if (statistics.finite > 0) {
    out +=
        "  mean " + FormatNumber(statistics.mean) + "  std " + FormatNumber(statistics.deviation());
  }
  if (statistics.nan > 0) out += "  " + std::to_string(statistics.nan) + " NaN";
  if (statistics.infinite > 0) out += "  " + std::to_string(statistics.infinite) + " infinite";
  return out;
}

std::string LineOf(const Checkpoint& checkpoint, const Analysis& analysis, TensorId id,
                   const std::string& path) {
  const TensorInfo& info = checkpoint.manifest().tensors[id.index];
  return EscapeForDisplay(info.name) + "  " + std::string(Name(info.dtype)) + " " +
         ToString(info.shape) + "  " + std::string(Name(analysis.roles[id.index].role)) + "  " +
         ValuesOf(checkpoint, id, path) + "\n";
}

// The pointer that Git LFS keeps in a file's place is text that says what the file is.
bool IsPointer(const std::string& text) {
  return text.starts_with("version https://git-lfs.github.com/spec/");
}

Result<std::string> TextOfUnreadable(const formats::Files& files, const std::string& path,
                                     const Error& why) {
  constexpr std::uint64_t kLongestPointer = 1024;
  CKPT_ASSIGN_OR_RETURN(const auto file, files.Open(path));
  if (file->size() <= kLongestPointer) {
    CKPT_ASSIGN_OR_RETURN(const std::string text, formats::ReadWhole(*file, kLongestPointer));
    if (IsPointer(text)) {
      std::string out;
      for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        out += EscapeForDisplay(std::string_view(text).substr(at, end - at)) + "\n";
        at = end + 1;
      }
      return out;
    }
  }
  CKPT_ASSIGN_OR_RETURN(const formats::FileDigest digest, formats::DigestFile(*file));
  return "unreadable: " + InWords(why, path) + "\n" + std::to_string(digest.bytes) +
         " bytes, sha256 " + Short(digest.sha256) + "\n";
}

}  // namespace

Status WriteTextOfFile(const std::string& path,
                       const std::function<Status(std::string_view)>& write) {
  const LoneFiles files({path});
  const auto opened = formats::OpenCheckpoint(files, path, {});
  if (!opened) {
    CKPT_ASSIGN_OR_RETURN(const std::string text, TextOfUnreadable(files, path, opened.error()));
    return write(text);
  }
  const Checkpoint& checkpoint = **opened;
  const Analysis analysis = Analyse(checkpoint.manifest(), {});
  CKPT_RETURN_IF_ERROR(write(HeadOf(checkpoint, analysis)));
  const auto& tensors = checkpoint.manifest().tensors;
  std::vector<std::uint32_t> order(tensors.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return NaturalLess(tensors[a].name, tensors[b].name);
  });
  for (const std::uint32_t i : order)
    CKPT_RETURN_IF_ERROR(write(LineOf(checkpoint, analysis, TensorId{i}, path)));
  return {};
}

ExitCode PrintTextOfFile(const CommonOptions& options, const std::vector<std::string>& inputs) {
  const bool one = inputs.size() == 1 && options.files_from.empty();
  if (!one || options.form != "text" || !options.reports.empty())
    return Complain({ErrorCode::kInvalidArgument, "--textconv prints the text of one file"});
  auto out = OpenStdout();
  if (!out) return Complain(out.error());
  Status status =
      WriteTextOfFile(inputs[0], [&](std::string_view text) { return (*out)->Write(text); });
  if (status) status = (*out)->Finish();
  return status ? ExitCode::kClean : Complain(status.error());
}

}  // namespace ckpt::cli
