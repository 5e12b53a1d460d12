// What an input path names, and which format its content is of.
#include <algorithm>
#include <array>

#include "ckpt/formats/format.h"
#include "ckpt/formats/open_graph.h"
#include "formats/container/file.h"
#include "formats/container/foreign_content.h"
#include "formats/container/foreign_folder.h"
#include "formats/container/git_lfs.h"
#include "formats/container/read_failures.h"
#include "formats/recognise.h"
#include "formats/safetensors/safetensors.h"
#include "formats/tf_bundle/checkpoint_state.h"
#include "formats/tf_graph/graph_kind.h"
#include "formats/tf_graph/saved_model.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kHeadBytes = 512, kTailBytes = 65536;

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Result<std::unique_ptr<Checkpoint>> OpenAs(const Files& files, const Format& format,
                                           const std::string& resolved, InputName name,
                                           const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(auto checkpoint, format.open(files, resolved, limits));
  checkpoint->set_input_name(std::move(name));
  return checkpoint;
}

// A name for what is recognised but not read, so that the message helps.
std::string_view KnownOther(const std::string& path, std::string_view head, std::string_view tail) {
  if (head.starts_with("PK\x03\x04")) {
    if (tail.find("/archive_format") != std::string_view::npos ||
        tail.find("serialized_exported_program.json") != std::string_view::npos) {
      return "a program of torch.export (.pt2), which is not read; "
             "`torch.save(torch.export.load(FILE).state_dict, OUT)` writes its weights";
    }
    return tail.find("PK\x05\x06") == std::string_view::npos
               ? "a zip archive that is cut short: its end is missing"
               : "a zip archive without tensors that are known here";
  }
  if (head.size() > 1 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5) {
    return "a pickle, but not one that torch.save wrote; pickles are never executed";
  }
  if (path.ends_with(".meta") || path.ends_with(".pb") || path.ends_with(".pbtxt"))
    return "a TensorFlow graph by its name, but not by its content";
  return "";
}

Error Unrecognised(const std::string& path, std::string_view head, std::string_view tail) {
  const std::string_view other = KnownOther(path, head, tail);
  if (!other.empty())
    return Error{ErrorCode::kUnsupported, "is " + std::string(other), path, {}, {}};
  std::string known;
  for (const Format& format : BuiltinFormats())
    known += (known.empty() ? "" : ", ") + std::string(format.name);
  return Error{ErrorCode::kUnsupported,
               "is no checkpoint of a known format (tried " + known + "); it starts with \"" +
                   std::string(head.substr(0, 16)) + "\"",
               path,
               {},
               {}};
}

// The best format and how sure it is; kNo where there is none.
struct Best {
  const Format* format = nullptr;
  Match match = Match::kNo;
  bool tie = false;
};

Best BestOf(const ProbeInput& input) {
  Best best;
  for (const Format& format : BuiltinFormats()) {
    const Match match = format.probe(input);
    if (match == Match::kNo || match < best.match) continue;
    best = {&format, match, match == best.match};
  }
  return best;
}

struct Ends {
  std::vector<std::byte> head, tail;
};

Result<Ends> EndsOf(const RandomAccessFile& file) {
  Ends ends{std::vector<std::byte>(static_cast<std::size_t>(std::min(kHeadBytes, file.size()))),
            std::vector<std::byte>(static_cast<std::size_t>(std::min(kTailBytes, file.size())))};
  CKPT_RETURN_IF_ERROR(file.ReadAt(0, ends.head));
  CKPT_RETURN_IF_ERROR(file.ReadAt(file.size() - ends.tail.size(), ends.tail));
  return ends;
}

Result<const Format*> Detect(const RandomAccessFile& file) {
  if (file.size() == 0)
    return Fail(Error{ErrorCode::kCorrupt, "the file is empty", file.path(), 0, {}});
  CKPT_ASSIGN_OR_RETURN(const Ends ends, EndsOf(file));
  if (auto error = GitLfsPointer(file)) return Fail(*std::move(error));
  const std::string name = fs::path(file.path()).filename().string();
  const Best best = BestOf({name, ends.head, ends.tail, file.size()});
  if (best.format == nullptr)
    return Fail(Unrecognised(file.path(), AsText(ends.head), AsText(ends.tail)));
  if (best.tie) {
    return Fail(Error{ErrorCode::kUnsupported,
                      "fits several formats; --from says which one it is",
                      file.path(),
                      {},
                      {}});
  }
  return best.format;
}

// The file of a folder that transformers' save_pretrained wrote with torch.save.
std::optional<std::string> TorchFileIn(const Files& files, const fs::path& folder) {
  for (const char* name : {"pytorch_model.bin.index.json", "pytorch_model.bin"}) {
    if (files.Exists(folder / name)) return name;
  }
  return std::nullopt;
}

// A folder of safetensors or PyTorch files stands for one of them; any other path for itself.
Result<std::string> ResolveFile(const Files& files, const std::string& path, InputName& name) {
  if (!files.IsDirectory(path)) return path;
  CKPT_ASSIGN_OR_RETURN(std::optional<std::string> file, ResolveSafetensorsFolder(files, path));
  if (!file) file = TorchFileIn(files, path);
  if (!file) return Fail(FolderWithoutCheckpoint(files, path));
  name.note = "the folder's checkpoint is " + *file;
  return (fs::path(path) / *file).string();
}

Result<std::unique_ptr<Checkpoint>> OpenResolved(const Files& files, const std::string& path,
                                                 const OpenOptions& options) {
  const Format* format = nullptr;
  if (options.format) {
    format = FindFormat(*options.format);
    if (format == nullptr)
      return Fail(ErrorCode::kInvalidArgument, "unknown format \"" + *options.format + "\"");
  }
  InputName name{path};
  if (format == nullptr || format->name == "saved-model") {
    CKPT_ASSIGN_OR_RETURN(const auto saved_model, ResolveSavedModel(files, path));
    if (saved_model) {
      name.note = saved_model->note;
      return OpenAs(files, *FindFormat("saved-model"), saved_model->folder, std::move(name),
                    options.limits);
    }
  }
  if (format == nullptr || format->name == "tf-bundle" || format->name == "tf-v1") {
    CKPT_ASSIGN_OR_RETURN(const std::optional<ResolvedBundle> bundle, ResolveTfBundle(files, path));
    const std::string_view resolved_to = bundle && bundle->v1 ? "tf-v1" : "tf-bundle";
    if (bundle && (format == nullptr || format->name == resolved_to)) {
      name.note = bundle->note;
      name.older = bundle->older;
      return OpenAs(files, *FindFormat(resolved_to), bundle->prefix, std::move(name),
                    options.limits);
    }
  }
  CKPT_ASSIGN_OR_RETURN(std::string file_path, ResolveFile(files, path, name));
  if (format != nullptr && format->name == "tf-meta" && !files.Exists(file_path))
    file_path += ".meta";
  if (format == nullptr) {
    CKPT_ASSIGN_OR_RETURN(const auto file, files.Open(file_path));
    CKPT_ASSIGN_OR_RETURN(format, Detect(*file));
  }
  return OpenAs(files, *format, file_path, std::move(name), options.limits);
}

}  // namespace

std::optional<Match> RecogniseFile(const Files& files, const std::string& path) {
  const auto file = files.Open(path);
  if (!file) return std::nullopt;
  if ((*file)->size() == 0) return Match::kNo;
  const auto ends = EndsOf(**file);
  if (!ends) return std::nullopt;
  const std::string name = fs::path(path).filename().string();
  return BestOf({name, ends->head, ends->tail, (*file)->size()}).match;
}

Result<std::unique_ptr<Checkpoint>> OpenCheckpoint(const Files& files, const std::string& path,
                                                   const OpenOptions& options) {
  const ReadFailures failures;
  auto opened = OpenResolved(files, path, options);
  // Also where the reader went on without: as if what cannot be read were not there.
  if (failures.first()) return Fail(*failures.first());
  if (!opened) return Fail(WithForeignContent(files, path, std::move(opened).error()));
  return opened;
}

Result<std::unique_ptr<Checkpoint>> OpenCheckpoint(const std::string& path,
                                                   const OpenOptions& options) {
  return OpenCheckpoint(SystemFiles(), path, options);
}

Result<std::unique_ptr<Checkpoint>> OpenGraphOf(const Files& files, const std::string& path,
                                                const OpenOptions& options) {
  OpenOptions as_graph = options;
  if (!options.format && !files.IsDirectory(path)) {
    if (const auto file = files.Open(path)) {
      std::vector<std::byte> head(static_cast<std::size_t>(std::min(kHeadBytes, (*file)->size())));
      CKPT_RETURN_IF_ERROR((*file)->ReadAt(0, head));
      const auto kind = SniffGraphKind(head);
      if (kind && kind->kind == OpGraphKind::kMetaGraph) as_graph.format = "tf-meta";
    }
  }
  return OpenCheckpoint(files, path, as_graph);
}

}  // namespace ckpt::formats
