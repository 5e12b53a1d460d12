// The table of file formats: one row each; the table is the documentation of what works.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/checkpoint.h"

namespace ckpt::formats {

class AtomicOutput;  // formats/container/atomic_output.h: one transaction over all files written
class Files;

// Bounds on what is held in memory for hostile input; hitting one is kLimitExceeded.
struct Limits {
  std::uint64_t index_bytes = std::uint64_t{1} << 31;       // header, index or directory
  std::uint64_t metadata_bytes = std::uint64_t{256} << 20;  // one text record, inflated
  std::uint64_t tensors = 10'000'000;
  std::uint64_t name_bytes = 65536;  // of one name
  // What the index of one file may take where its own size does not justify it: its names all
  // together, the objects of a pickle. A floor, under which the readers' own bounds lie.
  std::uint64_t memory_bytes = 0;
  std::uint64_t hdf5_memory_bytes = std::uint64_t{1}
                                    << 30;  // of the child that runs the HDF5 library
  unsigned hdf5_seconds = 30;               // for one answer of that child
};

// What a writer is given. Tensor bytes are pulled, one tensor at a time, front to back.
struct OutputModel {
  std::vector<TensorInfo> tensors;  // sorted by name; name, dtype, shape, byte_size matter
  std::function<Result<std::unique_ptr<TensorStream>>(std::size_t)> open;
  std::map<std::string, std::string> metadata = {};
  std::vector<Document> documents = {};  // same format only: already rewritten by `rewrite`
  std::optional<Framework> framework = {};
  std::optional<ModelGraph> graph = {};  // of the source, after edits: owners, layer order
  // For formats that hold operations, the serving graph. A constant's `tensor` is an index into
  // `tensors`.
  std::shared_ptr<const OpGraph> ops = nullptr;
};
struct WriteOptions {
  // Of a set of files: the most that one of them holds, if no tensor alone is larger.
  std::uint64_t shard_bytes = 5'000'000'000;
};
struct WriteSummary {
  std::vector<std::string> files;
  std::uint64_t bytes = 0;
};

enum class Match : std::uint8_t { kNo, kLikely, kCertain };

struct ProbeInput {
  std::string_view file_name;
  std::span<const std::byte> head, tail;  // up to 512 bytes, up to 64 KiB
  std::uint64_t file_size;
};

// What a path that a user gave stands for.
struct ResolvedPath {
  std::string path;                     // for Format::open
  std::string note = {};                // how the user's path led there, where that is not plain
  std::vector<std::string> older = {};  // as InputName::older
  // A file, of which its content alone says what it is; else it is of the format that resolved it.
  bool by_content = false;
};

// "the folder's checkpoint is FILE".
ResolvedPath FileOfFolder(const std::string& folder, const std::string& file);

struct Format {
  std::string_view name;  // "safetensors": as in docs/cli.md
  std::string_view summary;
  std::span<const std::string_view> suffixes = {};  // of OUTPUT: ".safetensors"
  Match (*probe)(const ProbeInput& input) = nullptr;
  // What `path` means to this format if it is no file of it: a prefix, a folder, a state file.
  // Nothing where it means nothing; an error where it names a checkpoint that cannot be had. Null:
  // files alone. The formats are asked in the order of the table.
  Result<std::optional<ResolvedPath>> (*resolve)(const Files& files,
                                                 const std::string& path) = nullptr;
  // `path` is what `resolve` says, or the file.
  Result<std::unique_ptr<Checkpoint>> (*open)(const Files& files, const std::filesystem::path& path,
                                              const Limits& limits) = nullptr;
  // Opens weights that stand apart from their model with what `model`, a whole one, says of it.
  // Null, or without a graph, where the two do not belong together. Null: there are none such.
  Result<std::unique_ptr<Checkpoint>> (*open_weights_of)(const Files& files,
                                                         const std::filesystem::path& path,
                                                         const Limits& limits,
                                                         const Manifest& model) = nullptr;
  // Null for formats that are read only. Creates the files in `output`, the one that makes the
  // others readable last, and commits nothing. kUnsupported where the format holds operations and
  // the model has none.
  Result<WriteSummary> (*write)(AtomicOutput& output, const std::filesystem::path& path,
                                const OutputModel& model, const WriteOptions& options) = nullptr;
  // kUnsupported, naming the tensor, where the format cannot hold it. Null where write is.
  Status (*can_hold)(const TensorInfo& tensor) = nullptr;
  // Applies a fold's graph edits to the documents of this format; null where it keeps no graph.
  Result<std::vector<Document>> (*rewrite)(const Manifest& manifest,
                                           const GraphEdits& edits) = nullptr;
  // Other formats whose documents `rewrite` takes and `write` understands.
  std::span<const std::string_view> kin = {};
  // Whose names and kernel layouts an output of this format has; absent where any may be in it.
  std::optional<Framework> framework = {};
  bool holds_operations = false;  // a file is a graph of operations: OutputModel::ops is written
  // The file whose existence says that `output` exists. Null: `output` itself.
  std::filesystem::path (*marker)(const std::string& output) = nullptr;
  // Where in the folder that OUTPUT is the record of a conversion lies; empty: beside OUTPUT.
  std::string_view record_within = {};
};

std::span<const Format> BuiltinFormats() noexcept;
const Format* FindFormat(std::string_view name) noexcept;  // null if there is none
// By the longest known suffix of `path`; null if it has none.
const Format* FormatForOutput(const std::filesystem::path& path) noexcept;

struct OpenOptions {
  std::optional<std::string> format = {};  // --from
  Limits limits = {};
};
// Resolves what `path` names (prefix, shard, folder, state file...), detects the format by content
// and opens it.
Result<std::unique_ptr<Checkpoint>> OpenCheckpoint(const Files& files, const std::string& path,
                                                   const OpenOptions& options = {});
Result<std::unique_ptr<Checkpoint>> OpenCheckpoint(const std::string& path,
                                                   const OpenOptions& options = {});

}  // namespace ckpt::formats
