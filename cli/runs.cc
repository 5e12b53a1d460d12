#include "cli/runs.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <map>
#include <utility>

#include "cli/folder_inputs.h"

namespace ckpt::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStateFile = "checkpoint";  // of TensorFlow

bool IsDigit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

// The path without a slash at its end.
fs::path Plain(const std::string& path) {
  const fs::path normal = fs::path(path).lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

// A zero byte, which no path has, in the place of each number; empty where there is none.
std::string NumbersOut(const std::string& name) {
  if (std::none_of(name.begin(), name.end(), IsDigit)) return {};
  std::string out;
  for (const char c : name) {
    if (!IsDigit(c)) {
      out += c;
    } else if (out.empty() || out.back() != '\0') {
      out += '\0';
    }
  }
  return out;
}

// "run/epoch_12.pt" and "run/epoch_3.pt" have the same, and so have "run/checkpoint-500/model.pt"
// and "run/checkpoint-90/model.pt". Empty: no number tells it from another.
std::string Family(const std::string& path) {
  const fs::path file = Plain(path), folder = file.parent_path();
  const std::string name = NumbersOut(file.filename().string());
  if (!name.empty()) return (folder / name).string();
  const std::string above = NumbersOut(folder.filename().string());
  return above.empty() ? above : (folder.parent_path() / above / file.filename()).string();
}

// The checkpoints that a state file lists, with the latest; empty where it is no state file's.
std::vector<std::string> ListedByState(const CommonOptions& options, const std::string& path) {
  std::error_code ignored;
  const bool may_list = fs::is_directory(path, ignored) || fs::path(path).filename() == kStateFile;
  if (!may_list) return {};
  const auto latest = formats::OpenCheckpoint(*options.read, path, OpenOptionsOf(options));
  if (!latest || (*latest)->input_name().older.empty()) return {};
  std::vector<std::string> paths = (*latest)->input_name().older;
  paths.push_back((*latest)->manifest().resolved);
  return paths;
}

class RunCollector {
 public:
  explicit RunCollector(const CommonOptions& options) : options_(options) {}

  void Add(const std::string& input) {
    std::error_code ignored;
    if (std::vector<std::string> listed = ListedByState(options_, input); !listed.empty()) {
      list_.runs.push_back({input, std::move(listed)});
    } else if (fs::is_directory(input, ignored)) {
      AddFolder(input);
    } else {
      if (files_.paths.empty()) files_.name = input;
      files_.paths.push_back(input);
    }
  }

  RunList Take() {
    if (!files_.paths.empty()) list_.runs.insert(list_.runs.begin(), std::move(files_));
    return std::move(list_);
  }

 private:
  void AddFolder(const std::string& input) {
    InputList inputs = ExpandFolders({input}, {options_.recursive, true});
    std::move(inputs.not_read.begin(), inputs.not_read.end(), std::back_inserter(list_.not_read));
    if (inputs.paths == std::vector<std::string>{input}) {  // one checkpoint: one of the files
      if (files_.paths.empty()) files_.name = input;
      files_.paths.push_back(input);
      return;
    }
    std::map<std::string, std::vector<std::string>> families;
    for (const std::string& path : inputs.paths) families[Family(path)].push_back(path);
    for (const std::string& path : inputs.paths) {
      const auto family = families.find(Family(path));
      if (family == families.end()) continue;  // done
      if (family->first.empty() || family->second.size() < 2) {
        list_.not_read.push_back({path, "no other checkpoint differs from it in a number alone"});
        if (!family->first.empty()) families.erase(family);
        continue;
      }
      list_.runs.push_back({NameOf(input, path), std::move(family->second)});
      families.erase(family);
    }
  }

  // A run below the folder goes by the folder that holds it.
  std::string NameOf(const std::string& input, const std::string& path) const {
    return options_.recursive ? fs::path(path).parent_path().string() : input;
  }

  const CommonOptions& options_;
  RunList list_;
  RunInput files_;
};

}  // namespace

Result<RunList> RunsOf(const CommonOptions& options, const std::vector<std::string>& inputs) {
  RunCollector collector(options);
  for (const std::string& input : inputs) collector.Add(input);
  RunList list = collector.Take();
  if (list.runs.empty()) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "\"" + inputs.front() +
            "\" holds no run: two checkpoints or more whose names differ in a number alone");
  }
  for (const RunInput& run : list.runs) {
    if (run.paths.size() >= 2) continue;
    return Fail(ErrorCode::kInvalidArgument,
                "a trend needs two checkpoints of a run, and \"" + run.name + "\" is one");
  }
  return list;
}

std::optional<std::uint64_t> NumberIn(const std::string& path) {
  const fs::path file = Plain(path);
  for (const std::string& name :
       {file.filename().string(), file.parent_path().filename().string()}) {
    const auto last = std::find_if(name.rbegin(), name.rend(), IsDigit);
    if (last == name.rend()) continue;
    const auto first = std::find_if_not(last, name.rend(), IsDigit);
    std::uint64_t number = 0;
    const char* begin = name.data() + (name.rend() - first);
    const char* end = name.data() + (name.rend() - last);
    if (std::from_chars(begin, end, number).ec == std::errc()) return number;
    return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace ckpt::cli
