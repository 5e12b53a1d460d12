#include "formats/container/foreign_folder.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/encoding/few_of.h"

namespace ckpt::formats {
namespace {

constexpr std::size_t kShown = 5;          // candidates that a message names
constexpr std::size_t kMaxFolders = 1000;  // that are looked into

using Names = std::vector<std::string>;

Names ListOf(const Files& files, const std::filesystem::path& folder) {
  auto names = files.List(folder);
  return names ? *std::move(names) : Names();
}

bool Holds(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}
template <class Predicate>
bool Any(const Names& names, Predicate fits) {
  return std::any_of(names.begin(), names.end(), fits);
}

// What is not read, and how to get from it to what is.
std::string KnownFolder(const Names& names) {
  if (Any(names, [](std::string_view name) { return name.ends_with(".distcp"); })) {
    return "is a checkpoint of torch.distributed.checkpoint (DCP), which is not read; `python -m "
           "torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER OUT.pt` makes one file "
           "of it";
  }
  const auto is_zero = [](std::string_view name) {
    return name.starts_with("zero_pp_rank_") || name.starts_with("bf16_zero_pp_rank_") ||
           name == "zero_to_fp32.py";
  };
  if (Any(names, is_zero)) {
    return "is a checkpoint of DeepSpeed ZeRO, which is spread over its ranks; `python "
           "zero_to_fp32.py FOLDER OUT` (the script lies beside it) writes whole weights";
  }
  if (Holds(names, "_CHECKPOINT_METADATA") || Holds(names, "manifest.ocdbt")) {
    return "is an Orbax checkpoint, which is not read; restore it in JAX "
           "(orbax.checkpoint.StandardCheckpointer) and save the arrays with "
           "safetensors.flax.save_file or flax.serialization.to_bytes";
  }
  if (Holds(names, "Manifest.json") && Holds(names, "Data")) {
    return "is a Core ML package, which is not read; take the model that it was converted from";
  }
  return {};
}

bool IsCompanion(std::string_view name) {
  constexpr auto kBegins = std::to_array<std::string_view>(
      {"optimizer", "scheduler", "scaler", "rng_state", "random_states", "training_args", "."});
  return std::any_of(kBegins.begin(), kBegins.end(),
                     [&](std::string_view begin) { return name.starts_with(begin); });
}

bool IsCheckpointFile(std::string_view name) {
  constexpr auto kSuffixes = std::to_array<std::string_view>(
      {".pt", ".pth", ".ckpt", ".pth.tar", ".pt.tar", ".bin", ".safetensors", ".h5", ".hdf5",
       ".keras", ".npz", ".onnx", ".pb", ".msgpack", ".index", ".weights", ".caffemodel",
       ".params"});
  return !IsCompanion(name) &&
         std::any_of(kSuffixes.begin(), kSuffixes.end(),
                     [&](std::string_view suffix) { return name.ends_with(suffix); });
}

// Numbers inside names by value, the largest first: the newest of a run leads.
bool Later(const std::string& a, const std::string& b) {
  const auto digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (!digit(a[i]) || !digit(b[j])) {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i, ++j;
      continue;
    }
    const auto number = [&](const std::string& text, std::size_t& at) {
      while (at + 1 < text.size() && text[at] == '0' && digit(text[at + 1])) ++at;
      const std::size_t begin = at;
      while (at < text.size() && digit(text[at])) ++at;
      return std::string_view(text).substr(begin, at - begin);
    };
    const std::string_view left = number(a, i), right = number(b, j);
    if (left.size() != right.size()) return left.size() > right.size();
    if (left != right) return left > right;
  }
  return a.size() - i < b.size() - j;
}

std::string Listed(Names names) {
  std::sort(names.begin(), names.end(), Later);
  return FewOf(names, kShown);
}

}  // namespace

Error FolderWithoutCheckpoint(const Files& files, const std::filesystem::path& folder) {
  const Names names = ListOf(files, folder);
  if (std::string known = KnownFolder(names); !known.empty()) {
    return Error{ErrorCode::kUnsupported, std::move(known)}.In(folder.string());
  }
  Names here, below;
  std::size_t looked_into = 0;
  for (const std::string& name : names) {
    if (!files.IsDirectory(folder / name)) {
      if (IsCheckpointFile(name)) here.push_back(name);
    } else if (name.front() != '.' && looked_into++ < kMaxFolders) {
      const Names inner = ListOf(files, folder / name);
      const bool one = Any(inner, IsCheckpointFile) || !KnownFolder(inner).empty() ||
                       Holds(inner, "saved_model.pbtxt") || Holds(inner, "checkpoint");
      if (one) below.push_back(name + "/");
    }
  }
  std::string message = "holds no checkpoint";
  if (!here.empty()) {
    message = "is no checkpoint by itself; name one of the files in it: " + Listed(std::move(here));
  } else if (!below.empty()) {
    message =
        "holds no checkpoint directly; name one of the folders in it: " + Listed(std::move(below));
  }
  return Error{ErrorCode::kUnfit, std::move(message)}.In(folder.string());
}

}  // namespace ckpt::formats
