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
#include "formats/container/zip_archive.h"
#include "formats/encoding/json_events.h"
#include "formats/recognise.h"
#include "formats/tf_bundle/table_format.h"
#include "formats/tf_graph/graph_kind.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kHeadBytes = 512, kTailBytes = 65536;

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
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
  if (!other.empty()) return Error{ErrorCode::kUnsupported, "is " + std::string(other)}.In(path);
  std::string known;
  for (const Format& format : BuiltinFormats())
    known += (known.empty() ? "" : ", ") + std::string(format.name);
  return Error{ErrorCode::kUnsupported, "is no checkpoint of a known format (tried " + known +
                                            "); it starts with \"" +
                                            std::string(head.substr(0, 16)) + "\""}
      .In(path);
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
  std::vector<std::byte> head, tail = {};
};

// Does the last kTailBytes hold a place where an HDF5 file may begin, behind a user block?
bool MayEndInHdf5(std::uint64_t size) {
  std::uint64_t place = 512;
  while (place < size && place <= UINT64_MAX / 2 && size - place > kTailBytes) place *= 2;
  return place < size;
}

// How much of the end tells a format: the names in a zip archive's directory, keys of JSON text,
// and of anything else no more than the magic number of a TensorFlow table, which
// may begin with any bytes.
std::uint64_t TailBytes(std::span<const std::byte> head, std::uint64_t size) {
  const std::string_view text = AsText(head);
  const std::size_t start = SkipJsonSpace(text);
  const bool is_json = start < text.size() && text[start] == '{';
  const bool is_long = StartsLikeZip(head) || is_json || MayEndInHdf5(size);
  return std::min(size, is_long ? kTailBytes : std::uint64_t{kTableFooterBytes});
}

Result<Ends> EndsOf(const RandomAccessFile& file) {
  Ends ends{std::vector<std::byte>(static_cast<std::size_t>(std::min(kHeadBytes, file.size())))};
  CKPT_RETURN_IF_ERROR(file.ReadAt(0, ends.head));
  ends.tail.resize(static_cast<std::size_t>(TailBytes(ends.head, file.size())));
  CKPT_RETURN_IF_ERROR(file.ReadAt(file.size() - ends.tail.size(), ends.tail));
  return ends;
}

Result<const Format*> Detect(const RandomAccessFile& file) {
  if (file.size() == 0)
    return Fail(Error{ErrorCode::kCorrupt, "the file is empty"}.In(file.path()).At(0));
  CKPT_ASSIGN_OR_RETURN(const Ends ends, EndsOf(file));
  if (auto error = GitLfsPointer(file)) return Fail(*std::move(error));
  const std::string name = fs::path(file.path()).filename().string();
  const Best best = BestOf({name, ends.head, ends.tail, file.size()});
  if (best.format == nullptr)
    return Fail(Unrecognised(file.path(), AsText(ends.head), AsText(ends.tail)));
  if (best.tie) {
    return Fail(Error{ErrorCode::kUnsupported, "fits several formats"}
                    .In(file.path())
                    .With(Remedy::kNameFormat));
  }
  return best.format;
}

struct Resolved {
  const Format* format;  // null: its content is to say
  ResolvedPath path;
};

// What the user's path stands for: asks the format that he named, else each in turn.
Result<Resolved> Resolve(const Files& files, const std::string& path, const Format* named) {
  for (const Format& format : BuiltinFormats()) {
    if (format.resolve == nullptr || (named != nullptr && named != &format)) continue;
    CKPT_ASSIGN_OR_RETURN(auto found, format.resolve(files, path));
    if (!found) continue;
    const Format* const of = named == nullptr && found->by_content ? nullptr : &format;
    return Resolved{of, *std::move(found)};
  }
  if (files.IsDirectory(path)) return Fail(FolderWithoutCheckpoint(files, path));
  return Resolved{named, {.path = path}};
}

Result<std::unique_ptr<Checkpoint>> OpenResolved(const Files& files, const std::string& path,
                                                 const OpenOptions& options) {
  const Format* named = nullptr;
  if (options.format) {
    named = FindFormat(*options.format);
    if (named == nullptr)
      return Fail(ErrorCode::kInvalidArgument, "unknown format \"" + *options.format + "\"");
  }
  CKPT_ASSIGN_OR_RETURN(Resolved resolved, Resolve(files, path, named));
  if (resolved.format == nullptr) {
    CKPT_ASSIGN_OR_RETURN(const auto file, files.Open(resolved.path.path));
    CKPT_ASSIGN_OR_RETURN(resolved.format, Detect(*file));
  }
  CKPT_ASSIGN_OR_RETURN(auto checkpoint,
                        resolved.format->open(files, resolved.path.path, options.limits));
  checkpoint->set_input_name({path, std::move(resolved.path.note), std::move(resolved.path.older)});
  return checkpoint;
}

// Any of the layers that have tensors in `model`.
bool HoldsLayersOf(const Manifest& weights, const Manifest& model) {
  if (!weights.graph || weights.graph->layers.size() != model.graph->layers.size()) return false;
  return std::any_of(weights.graph->layers.begin(), weights.graph->layers.end(),
                     [](const Layer& layer) { return !layer.tensors.empty(); });
}

Status CheckShapes(const Manifest& weights, const Manifest& model) {
  for (std::size_t i = 0; i < weights.graph->layers.size(); ++i) {
    const auto& there = model.graph->layers[i].tensors;
    for (const auto& [name, id] : weights.graph->layers[i].tensors) {
      const auto found = there.find(name);
      if (found == there.end()) continue;
      const TensorInfo& info = weights.tensors[id.index];
      const Shape& shape = model.tensors[found->second.index].shape;
      if (info.shape == shape) continue;
      return Fail(Error{ErrorCode::kUnfit, "has shape " + ToString(info.shape) +
                                               " where the model " + model.resolved + " has " +
                                               ToString(shape)}
                      .In(weights.resolved)
                      .Of(info.name));
    }
  }
  return {};
}

}  // namespace

ResolvedPath FileOfFolder(const std::string& folder, const std::string& file) {
  return {.path = (fs::path(folder) / file).string(),
          .note = "the folder's checkpoint is " + file,
          .by_content = true};
}

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

Result<std::unique_ptr<Checkpoint>> OpenWeightsOf(const Files& files, const Checkpoint& weights,
                                                  const Checkpoint& model,
                                                  const OpenOptions& options) {
  const Format* const format = FindFormat(weights.format());
  if (weights.manifest().graph || format == nullptr || format->open_weights_of == nullptr)
    return nullptr;
  CKPT_ASSIGN_OR_RETURN(auto opened, format->open_weights_of(files, weights.manifest().resolved,
                                                             options.limits, model.manifest()));
  if (!opened || !HoldsLayersOf(opened->manifest(), model.manifest())) return nullptr;
  CKPT_RETURN_IF_ERROR(CheckShapes(opened->manifest(), model.manifest()));
  opened->set_input_name(weights.input_name());
  return opened;
}

}  // namespace ckpt::formats
