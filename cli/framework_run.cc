#include "cli/framework_run.h"

#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/framework_driver.h"
#include "cli/npy_text.h"
#include "cli/run_values.h"
#include "cli/walled_child.h"
#include "formats/container/staging_folder.h"
#include "formats/remote/address.h"
#include "formats/tf_graph/graph_kind.h"

namespace ckpt::cli {
namespace {

namespace fs = std::filesystem;
using execution::Array;

constexpr std::uint64_t kMostQuoted = 400;  // bytes of the line that is quoted
constexpr std::uint64_t kMostPrinted = 4096;

Status WriteText(const fs::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.close();
  if (file) return {};
  return Fail(Error{ErrorCode::kIo, "cannot be written", path.string()});
}

Status Linked(const fs::path& target, const fs::path& link) {
  std::error_code error;
  fs::create_symlink(fs::absolute(target), link, error);
  if (!error) return {};
  return Fail(Error{ErrorCode::kIo, error.message(), link.string()});
}

Status MakeFolder(const fs::path& path) {
  std::error_code error;
  if (fs::create_directory(path, error)) return {};
  return Fail(Error{ErrorCode::kIo, error.message(), path.string()});
}

// The last `most` bytes of a file that another program wrote; nothing where there is none.
std::string EndOf(const formats::Files& files, const fs::path& path, std::uint64_t most) {
  const auto file = files.Open(path);
  if (!file) return {};
  const std::uint64_t size = std::min((*file)->size(), most);
  std::vector<std::byte> bytes(size);
  if (!(*file)->ReadAt((*file)->size() - size, bytes)) return {};
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string LastLine(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  text.erase(0, text.rfind('\n') + 1);
  return text.size() > kMostQuoted ? text.substr(0, kMostQuoted) + "..." : text;
}

bool IsText(const fs::path& graph) {
  constexpr std::uint64_t kHead = 512;
  const auto file = formats::SystemFiles().Open(graph);
  if (!file) return false;
  std::vector<std::byte> head(std::min((*file)->size(), kHead));
  if (!(*file)->ReadAt(0, head)) return false;
  const auto kind = formats::SniffGraphKind(head);
  return kind && kind->text;
}

class Run {
 public:
  Run(const FrameworkRequest& request, const CommonOptions& common, const fs::path& folder)
      : request_(request), common_(common), folder_(folder), work_(folder / "work") {}

  Result<FrameworkAnswer> Do() {
    CKPT_RETURN_IF_ERROR(MakeFolder(work_));
    CKPT_RETURN_IF_ERROR(WriteText(folder_ / "driver.py", FrameworkDriver()));
    CKPT_RETURN_IF_ERROR(WriteRequest());
    // What was looked at is what is run.
    CKPT_RETURN_IF_ERROR(common_.read->CheckUnchanged());
    WalledProgram program;
    program.command = {request_.program, "-I", "-B", (folder_ / "driver.py").string(),
                       (folder_ / "request.json").string()};
    program.folder = work_;
    program.output = folder_ / "printed";
    program.wall_clock = request_.wall_clock;
    CKPT_ASSIGN_OR_RETURN(const WalledResult result, RunWalled(program));
    if (const std::string why = WhyNot(result); !why.empty()) {
      return Fail(ErrorCode::kUnfit, why);
    }
    return ReadAnswer(result);
  }

 private:
  std::string WhyNot(const WalledResult& result) const {
    if (result.out_of_time) {
      return "was ended after " +
             std::to_string(
                 std::chrono::duration_cast<std::chrono::seconds>(request_.wall_clock).count()) +
             " seconds";
    }
    if (WIFEXITED(result.status) && WEXITSTATUS(result.status) == 0) return {};
    const std::string line =
        LastLine(EndOf(formats::SystemFiles(), folder_ / "printed", kMostPrinted));
    if (WIFSIGNALED(result.status)) {
      return "was ended by signal " + std::to_string(WTERMSIG(result.status)) +
             (line.empty() ? "" : ": " + line);
    }
    return line.empty() ? "failed and said nothing" : line;
  }

  // The file under a name by which the framework takes it for what our own reader took it for.
  Result<std::string> LinkToFile(nlohmann::json& json) const {
    const Manifest& manifest = request_.checkpoint->manifest();
    if (formats::IsRemoteName(manifest.resolved)) {
      return Fail(Error{ErrorCode::kUnsupported,
                        "--with has a framework load a file of this machine; fetch it first",
                        manifest.resolved});
    }
    const fs::path file = manifest.resolved;
    const std::string_view format = request_.checkpoint->format();
    json["kind"] = IsText(file) ? "text" : "binary";
    if (format == "saved-model") {
      const fs::path folder = folder_ / "model";
      CKPT_RETURN_IF_ERROR(MakeFolder(folder));
      CKPT_RETURN_IF_ERROR(Linked(file, folder / file.filename()));
      for (const char* part : {"variables", "assets"}) {
        if (fs::exists(file.parent_path() / part)) {
          CKPT_RETURN_IF_ERROR(Linked(file.parent_path() / part, folder / part));
        }
      }
      json["kind"] = "folder";
      return folder.string();
    }
    // Data of an ONNX file lie beside it.
    if (format == "onnx") return fs::absolute(file).string();
    const fs::path link = folder_ / ("model." + std::string(format == "keras-h5" ? "h5" : format));
    CKPT_RETURN_IF_ERROR(Linked(file, link));
    return link.string();
  }

  Status WriteRequest() const {
    nlohmann::json json;
    json["framework"] = request_.framework;
    json["trust"] = request_.trust;
    json["outputs"] = request_.outputs;
    CKPT_ASSIGN_OR_RETURN(json["file"], LinkToFile(json));
    json["inputs"] = nlohmann::json::array();
    for (std::size_t i = 0; i < request_.inputs.size(); ++i) {
      const fs::path file = folder_ / ("input" + std::to_string(i) + ".npy");
      CKPT_RETURN_IF_ERROR(WriteText(file, NpyText(request_.inputs[i].second)));
      json["inputs"].push_back({{"name", request_.inputs[i].first}, {"file", file.string()}});
    }
    json["signature"] = SignatureOf();
    json["tags"] = nlohmann::json::array();
    if (const auto& ops = request_.checkpoint->manifest().ops) json["tags"] = ops->tags;
    using Json = nlohmann::json;
    return WriteText(folder_ / "request.json",
                     json.dump(-1, ' ', true, Json::error_handler_t::replace));
  }

  // The one that was run: serving_default or the first by name, of those that have the names.
  std::string SignatureOf() const {
    const auto& ops = request_.checkpoint->manifest().ops;
    std::string first;
    if (ops == nullptr) return first;
    for (const OpSignature& signature : ops->signatures) {
      if (!Has(signature)) continue;
      if (signature.name == "serving_default") return signature.name;
      if (first.empty() || signature.name < first) first = signature.name;
    }
    return first;
  }
  bool Has(const OpSignature& signature) const {
    return std::all_of(request_.outputs.begin(), request_.outputs.end(),
                       [&](const std::string& name) { return signature.outputs.contains(name); }) &&
           std::all_of(request_.inputs.begin(), request_.inputs.end(),
                       [&](const auto& input) { return signature.inputs.contains(input.first); });
  }

  Result<FrameworkAnswer> ReadAnswer(const WalledResult& result) const {
    FrameworkAnswer answer;
    answer.version = EndOf(formats::SystemFiles(), work_ / "version", 64);
    answer.missing_walls = result.missing_walls;
    CommonOptions own = common_;
    own.read = std::make_shared<const formats::FilesRead>();
    auto arrays = ReadArrays(own, (work_ / "outputs.npz").string(), request_.most_bytes);
    if (!arrays) return Fail(ErrorCode::kUnfit, "no answer: " + arrays.error().message);
    for (std::size_t i = 0; i < request_.outputs.size(); ++i) {
      auto array = arrays->extract(std::to_string(i));
      if (array.empty()) return Fail(ErrorCode::kUnfit, "the answer lacks an output");
      answer.outputs.push_back(std::move(array.mapped()));
    }
    return answer;
  }

  const FrameworkRequest& request_;
  const CommonOptions& common_;
  fs::path folder_, work_;
};

}  // namespace

Result<FrameworkAnswer> RunByFramework(const FrameworkRequest& request,
                                       const CommonOptions& common) {
  std::error_code error;
  const fs::path temporary = fs::temp_directory_path(error);
  if (error) return Fail(Error{ErrorCode::kIo, error.message(), "TMPDIR"});
  CKPT_ASSIGN_OR_RETURN(const auto scratch,
                        formats::StagingFolder::Create(fs::absolute(temporary)));
  return Run(request, common, scratch->path() / "new").Do();
}

}  // namespace ckpt::cli
