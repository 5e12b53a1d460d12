#include "cli/folder_inputs.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <utility>

#include "ckpt/natural_order.h"
#include "formats/container/file.h"
#include "formats/encoding/few_of.h"
#include "formats/recognise.h"
#include "formats/remote/address.h"
#include "formats/tf_bundle/checkpoint_state.h"
#include "formats/tf_graph/saved_model.h"

namespace ckpt::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxDepth = 64;         // of folders
constexpr std::size_t kFewNamed = 5;  // checkpoints that a message names
constexpr std::string_view kBelow = "a folder in a folder; -r looks into it";

template <std::size_t N>
bool EndsWithOneOf(std::string_view name, const std::array<std::string_view, N>& suffixes) {
  return std::any_of(suffixes.begin(), suffixes.end(),
                     [&](std::string_view suffix) { return name.ends_with(suffix); });
}
template <std::size_t N>
bool BeginsWithOneOf(std::string_view name, const std::array<std::string_view, N>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](std::string_view prefix) { return name.starts_with(prefix); });
}

// By these a file is a checkpoint, whatever is in it: a damaged one must not be passed over.
constexpr auto kSure = std::to_array<std::string_view>(
    {".pt", ".pth", ".ckpt", ".pth.tar", ".pt.tar", ".safetensors", ".h5", ".hdf5", ".keras",
     ".npz", ".onnx", ".index", ".caffemodel", ".weights", ".weights.json", ".index.json"});
// By these it may be one.
constexpr auto kPerhaps = std::to_array<std::string_view>(
    {".bin", ".pb", ".pbtxt", ".msgpack", ".params", ".npy", ".meta", ".tflite", ".gguf"});
constexpr auto kPartial = std::to_array<std::string_view>(
    {".partial", ".part", ".tmp", ".crdownload", ".incomplete", ".lock", ".ckpt.json"});
constexpr auto kCompanions = std::to_array<std::string_view>(
    {"optimizer", "scheduler", "scaler", "rng_state", "random_states", "training_args"});
// The index of a bundle whose prefix ends in a slash: the folder is its name.
constexpr std::string_view kNamelessBundle = ".index";
// One of these is the checkpoint of its folder; the first that is there.
constexpr auto kWhole =
    std::to_array<std::string_view>({"model.safetensors.index.json", "model.safetensors",
                                     "pytorch_model.bin.index.json", "pytorch_model.bin"});

bool HasNumber(std::string_view name) {
  return std::any_of(name.begin(), name.end(),
                     [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; });
}

// "model-00001-of-00002.safetensors", "model.data-00000-of-00001", "k_00000.weights.h5"
bool IsPart(std::string_view name) {
  const std::size_t of = name.find("-of-");
  if (of != std::string_view::npos && of > 0 && HasNumber(name.substr(of - 1, 1)) &&
      HasNumber(name.substr(of + 4, 1))) {
    return true;
  }
  constexpr std::string_view kShard = ".weights.h5";
  if (!name.ends_with(kShard)) return false;
  const std::string_view stem = name.substr(0, name.size() - kShard.size());
  return stem.size() > 6 && stem[stem.size() - 6] == '_' &&
         std::all_of(stem.end() - 5, stem.end(),
                     [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; });
}

struct Folder {
  std::vector<std::string> files, folders, links;  // names, in natural order; links to folders
  std::set<std::string> all;
  bool Has(const std::string& name) const { return all.contains(name); }
};

std::optional<Folder> ListOf(const fs::path& path) {
  Folder folder;
  std::error_code failed;
  for (fs::directory_iterator it(path, failed), end; !failed && it != end; it.increment(failed)) {
    const std::string name = it->path().filename().string();
    std::error_code ignored;
    if (name == ".git" || EndsWithOneOf(name, kPartial)) continue;
    if (it->is_directory(ignored)) {
      (it->is_symlink(ignored) ? folder.links : folder.folders).push_back(name);
    } else {
      folder.files.push_back(name);
      folder.all.insert(name);
    }
  }
  if (failed) return std::nullopt;
  std::sort(folder.files.begin(), folder.files.end(), NaturalLess);
  std::sort(folder.folders.begin(), folder.folders.end(), NaturalLess);
  std::sort(folder.links.begin(), folder.links.end(), NaturalLess);
  return folder;
}

// The folder of a model in a hub's cache: files under the names of their hashes, and links to them
// for each revision.
bool IsHubCache(const Folder& folder) {
  const auto has = [&](const char* name) {
    return std::find(folder.folders.begin(), folder.folders.end(), name) != folder.folders.end();
  };
  return has("blobs") && has("refs") && has("snapshots");
}

// The revision that is called "main"; nothing where it is not there.
std::optional<std::string> MainRevision(const fs::path& path) {
  constexpr std::size_t kMost = 128;
  std::ifstream file(path / "refs" / "main");
  std::string name(kMost, '\0');
  file.read(name.data(), kMost);
  name.resize(static_cast<std::size_t>(file.gcount()));
  const bool plain = !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0;
  });
  std::error_code failed;
  const fs::path folder = path / "snapshots" / name;
  if (!plain || fs::is_symlink(folder, failed) || !fs::is_directory(folder, failed))
    return std::nullopt;
  return name;
}

class Expansion {
 public:
  explicit Expansion(const FolderOptions& options) : options_(options) {}

  void AddNamed(const std::string& path) {
    if (formats::IsRemoteName(path)) return AddUrl(path);
    std::error_code failed;
    if (!fs::is_directory(path, failed)) return AddPath(path);
    const std::size_t before = list_.paths.size(), skipped = seen_twice_;
    AddFolder(path, 0);
    // Whoever opens it says what it holds instead.
    if (list_.paths.size() == before && seen_twice_ == skipped) AddPath(path);
  }
  InputList Take() { return std::move(list_); }

  // What a command takes for `path` that takes one checkpoint of it.
  Result<std::string> One(const std::string& path, bool takes_below) {
    const auto folder = ListOf(path);
    if (!folder || WholeOf(path, *folder)) return path;
    AddFolder(path, 0);
    if (list_.paths.size() == 1) return list_.paths.front();
    std::vector<std::string> names;
    for (const std::string& one : list_.paths)
      names.insert(names.begin(), fs::path(one).lexically_relative(path).string());
    if (!names.empty()) {
      return Fail(Error{
          ErrorCode::kInvalidArgument,
          "holds " + std::to_string(names.size()) +
              " checkpoints, and one is taken here; name one: " + formats::FewOf(names, kFewNamed)}
                      .In(path));
    }
    for (const NotRead& left : list_.not_read) {
      if (left.reason == kBelow) names.push_back(fs::path(left.path).filename().string() + "/");
    }
    if (names.empty() || !takes_below) return path;  // whoever opens it says what it holds instead
    return Fail(
        Error{ErrorCode::kUnfit, "holds no checkpoint directly; -r reads those in its folders: " +
                                     formats::FewOf(names, kFewNamed)}
            .In(path));
  }

 private:
  void AddPath(const std::string& path) {
    if (const auto key = KeyOf(path); key && !seen_.insert(*key).second) {
      ++seen_twice_;
      return;
    }
    list_.paths.push_back(path);
  }

  void AddUrl(const std::string& url) {
    if (!options_.named_once || urls_.insert(url).second) list_.paths.push_back(url);
  }

  // Device and inode of what is opened; nothing where that is not there.
  std::optional<std::pair<dev_t, ino_t>> KeyOf(std::string path) const {
    if (!options_.named_once) return std::nullopt;
    if (const auto bundle = formats::ResolveTfBundle(formats::SystemFiles(), path);
        bundle && *bundle) {
      path = (*bundle)->v1 ? (*bundle)->prefix : (*bundle)->prefix + ".index";
    }
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) return std::nullopt;
    return std::pair(status.st_dev, status.st_ino);
  }

  void Skip(const fs::path& path, std::string reason) {
    list_.not_read.push_back({path.string(), std::move(reason)});
  }

  // Is the folder one checkpoint? Its path, or that of the file that is it.
  static std::optional<std::string> WholeOf(const fs::path& path, const Folder& folder) {
    const auto saved = formats::ResolveSavedModel(formats::SystemFiles(), path.string());
    if (!saved || *saved || folder.Has("checkpoint")) return path.string();
    if (folder.Has(std::string(kNamelessBundle))) return path.string();
    for (const std::string_view name : kWhole) {
      if (folder.Has(std::string(name))) return (path / name).string();
    }
    return std::nullopt;
  }

  void AddFolder(const fs::path& path, int depth) {
    const auto folder = ListOf(path);
    if (!folder || depth > kMaxDepth) return AddPath(path.string());
    if (IsHubCache(*folder)) return AddHubCache(path, depth);
    const auto whole = WholeOf(path, *folder);
    if (whole) AddPath(*whole);
    // All of a SavedModel's folder is its own.
    if (folder->Has("saved_model.pb") || folder->Has("saved_model.pbtxt")) return;
    for (const std::string& name : folder->files) AddFile(path, *folder, name, whole);
    if (whole && *whole == path.string() && !folder->Has("checkpoint")) return;
    for (const std::string& name : folder->folders) AddSubfolder(path / name, depth);
    for (const std::string& name : folder->links)
      Skip(path / name, "a link to a folder, which is not followed");
  }

  // The revision that "main" is; all of them where all is asked for, or where it is none.
  void AddHubCache(const fs::path& path, int depth) {
    const fs::path snapshots = path / "snapshots";
    const auto folder = ListOf(snapshots);
    if (!folder) return AddPath(snapshots.string());
    const auto main = options_.recursive ? std::nullopt : MainRevision(path);
    for (const std::string& revision : folder->folders) {
      if (!main || revision == *main) {
        AddFolder(snapshots / revision, depth + 1);
      } else {
        Skip(snapshots / revision, "another revision than refs/main; -r reads all");
      }
    }
  }

  void AddFile(const fs::path& path, const Folder& folder, const std::string& name,
               const std::optional<std::string>& whole) {
    const std::string file = (path / name).string();
    if ((whole && *whole == file) || IsPartIn(folder, name)) return;
    const bool sure = EndsWithOneOf(name, kSure), perhaps = EndsWithOneOf(name, kPerhaps);
    if (BeginsWithOneOf(name, kCompanions) && (sure || perhaps))
      return Skip(file, "a companion of a checkpoint");
    // A bundle of a run with a state file is one of the older ones.
    if (whole && folder.Has("checkpoint") && (name.ends_with(".index") || name == "checkpoint"))
      return;
    if (name == kNamelessBundle) return;
    if (name.starts_with("._") && (sure || perhaps))
      return Skip(file, "by its name what macOS keeps beside a file");
    const bool is_one = sure || IsByContent(file, perhaps);
    if (is_one && whole) return Skip(file, "the folder's checkpoint is another one");
    if (is_one && name.ends_with(".npy")) return Skip(file, "an array");
    if (is_one) return AddPath(name.ends_with(".index") ? file.substr(0, file.size() - 6) : file);
    if (perhaps) Skip(file, "of no kind that is known here");
  }

  // Of a file that may be one by its name, or whose name says nothing. What cannot be read is no
  // file of another kind: by its name it is one, or it is named.
  bool IsByContent(const std::string& file, bool perhaps) {
    const auto match = formats::RecogniseFile(formats::SystemFiles(), file);
    if (!match && !perhaps) Skip(file, "it cannot be read");
    if (!match) return perhaps;
    return perhaps ? *match != formats::Match::kNo : *match == formats::Match::kCertain;
  }

  // A part of a checkpoint whose index, or other file, is there.
  static bool IsPartIn(const Folder& folder, const std::string& name) {
    const auto any = [&](std::string_view suffix) {
      return std::any_of(folder.files.begin(), folder.files.end(),
                         [&](const std::string& other) { return other.ends_with(suffix); });
    };
    if (IsPart(name)) return any(".index.json") || any(".index") || any(".weights.json");
    if (!name.ends_with(".meta")) return false;
    const std::string stem = name.substr(0, name.size() - 5);
    return folder.Has(stem + ".index") || folder.Has(stem);
  }

  void AddSubfolder(const fs::path& path, int depth) {
    if (options_.recursive) return AddFolder(path, depth + 1);
    const auto folder = ListOf(path);
    // One of an epoch would have been a checkpoint of the run.
    if (!folder && HasNumber(path.filename().string())) return AddPath(path.string());
    if (!folder) return Skip(path, "a folder in a folder, which cannot be read");
    const auto whole = WholeOf(path, *folder);
    if (whole && HasNumber(path.filename().string())) {
      AddPath(path.string());
      // What lies beside the checkpoint of an epoch is as unread as beside that of the folder.
      if (!folder->Has("saved_model.pb") && !folder->Has("saved_model.pbtxt"))
        for (const std::string& name : folder->files) AddFile(path, *folder, name, whole);
      return;
    }
    const bool holds =
        whole || IsHubCache(*folder) ||
        std::any_of(folder->files.begin(), folder->files.end(), [](const std::string& name) {
          return EndsWithOneOf(name, kSure) && !IsPart(name);
        });
    if (holds) Skip(path, std::string(kBelow));
  }

  FolderOptions options_;
  InputList list_;
  std::set<std::pair<dev_t, ino_t>> seen_;
  std::set<std::string> urls_;
  std::size_t seen_twice_ = 0;
};

}  // namespace

InputList ExpandFolders(const std::vector<std::string>& named, const FolderOptions& options) {
  Expansion expansion(options);
  for (const std::string& path : named) expansion.AddNamed(path);
  return expansion.Take();
}

Result<std::string> OneCheckpointOf(const std::string& path, bool takes_below) {
  std::error_code failed;
  if (formats::IsRemoteName(path) || !fs::is_directory(path, failed)) return path;
  return Expansion({}).One(path, takes_below);
}

}  // namespace ckpt::cli
