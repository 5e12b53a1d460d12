#include "formats/tf_bundle/checkpoint_state.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <utility>

#include "formats/encoding/few_of.h"
#include "formats/tf_bundle/data_shards.h"
#include "formats/tf_proto/checkpoint_state.pb.h"
#include "formats/tf_v1/shard_names.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kStateName = "checkpoint";
constexpr std::string_view kIndexEnding = ".index", kMetaSuffix = ".meta";
constexpr std::string_view kPathField = "model_checkpoint_path";
constexpr std::uint64_t kMaxStateBytes = std::uint64_t{4} << 20;
constexpr int kMaxStateDepth = 16;
constexpr std::size_t kMaxNamesShown = 5;

std::string WithoutSuffix(const std::string& text, std::string_view suffix) {
  return text.substr(0, text.size() - suffix.size());
}

// The parser of text messages reports here instead of on stderr.
class Silence : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int, google::protobuf::io::ColumnNumber, const std::string&) override {}
};

// Nothing if the text is not a state file; newer fields are passed over.
std::optional<tf_proto::CheckpointState> ParseState(const std::string& text) {
  Silence silence;
  google::protobuf::TextFormat::Parser parser;
  parser.AllowUnknownField(true);
  parser.SetRecursionLimit(kMaxStateDepth);  // there is none by default
  parser.RecordErrorsTo(&silence);
  tf_proto::CheckpointState state;
  if (!parser.ParseFromString(text, &state) || state.model_checkpoint_path().empty()) {
    return std::nullopt;
  }
  return state;
}

// 500 of "model.ckpt-500".
std::optional<std::uint64_t> StepOf(const std::string& base) {
  const std::size_t dash = base.rfind('-');
  if (dash == std::string::npos || dash + 1 == base.size()) return std::nullopt;
  std::uint64_t step = 0;
  const char* const end = base.data() + base.size();
  const auto [stopped, failed] = std::from_chars(base.data() + dash + 1, end, step);
  if (failed != std::errc() || stopped != end) return std::nullopt;
  return step;
}

// The part of a state file's path that may be followed: below the folder of the state file.
struct StatePath {
  std::string name;
  bool elsewhere = false;  // the file says more than a name below its folder
};
StatePath BelowFolder(const std::string& path) {
  const fs::path parts(path);
  const bool plain =
      path.find('\\') == std::string::npos && !parts.is_absolute() &&
      std::none_of(parts.begin(), parts.end(), [](const fs::path& part) { return part == ".."; });
  if (plain) return {parts.lexically_normal().string(), false};
  const std::size_t last = path.find_last_of("/\\");
  std::string name = last == std::string::npos ? path : path.substr(last + 1);
  if (name == "..") name.clear();
  return {std::move(name), true};
}

class Resolver {
 public:
  explicit Resolver(const Files& files) : files_(files) {}

  using Resolved = Result<std::optional<ResolvedBundle>>;
  Resolved Resolve(const std::string& path) const;

 private:
  Resolved Folder(const fs::path& folder) const;
  Resolved NewestIn(const fs::path& folder, const std::vector<std::string>& bases) const;
  Resolved NewestV1In(const fs::path& folder) const;
  Resolved StateFile(const fs::path& file, bool must_be) const;
  Resolved Latest(const fs::path& file, const tf_proto::CheckpointState& state) const;
  Resolved Prefix(const std::string& prefix) const;
  static ResolvedBundle V1(std::string file, std::string note) {
    return {std::move(file), std::move(note), {}, true};
  }
  // The paths by which the two formats are opened; nothing where there is no such checkpoint.
  std::optional<std::string> FindEither(const std::string& prefix) const;
  // The error for a checkpoint whose index is not there, if there are signs of one.
  Status CheckLeftovers(const std::string& prefix) const;
  std::vector<std::string> NamesIn(const fs::path& folder) const;
  bool HasIndex(const std::string& prefix) const {
    return files_.Exists(prefix + std::string(kIndexEnding));
  }

  const Files& files_;
};

std::vector<std::string> Resolver::NamesIn(const fs::path& folder) const {
  auto names = files_.List(folder);
  return names ? *std::move(names) : std::vector<std::string>();
}

Resolver::Resolved Resolver::Resolve(const std::string& path) const {
  if (files_.IsDirectory(path)) return Folder(path);
  const std::string name = fs::path(path).filename().string();
  if (files_.Exists(path)) {
    CKPT_ASSIGN_OR_RETURN(auto latest, StateFile(path, name == kStateName));
    if (latest) return latest;
  }
  if (const auto shard = ParseDataShardName(path)) return Prefix(shard->prefix);
  if (path.ends_with(kIndexEnding)) return Prefix(WithoutSuffix(path, kIndexEnding));
  if (path.ends_with(kMetaSuffix)) {
    const std::string prefix = WithoutSuffix(path, kMetaSuffix);
    if (HasIndex(prefix)) return Prefix(prefix);
    if (auto v1 = FindV1(files_, prefix)) return V1(*std::move(v1), {});
  }
  if (files_.Exists(path) && !HasIndex(path)) return std::optional<ResolvedBundle>();
  return Prefix(path);
}

Resolver::Resolved Resolver::Prefix(const std::string& prefix) const {
  if (HasIndex(prefix)) return ResolvedBundle{prefix, {}, {}};
  const auto pattern = ParseV1SetPattern(prefix);
  if (auto v1 = FindV1(files_, pattern.value_or(prefix))) return V1(*std::move(v1), {});
  CKPT_RETURN_IF_ERROR(CheckLeftovers(prefix));
  return std::optional<ResolvedBundle>();
}

std::optional<std::string> Resolver::FindEither(const std::string& prefix) const {
  if (HasIndex(prefix)) return prefix;
  return FindV1(files_, ParseV1SetPattern(prefix).value_or(prefix));
}

Status Resolver::CheckLeftovers(const std::string& prefix) const {
  const fs::path folder = fs::path(prefix).parent_path();
  const std::string base = fs::path(prefix).filename().string();
  std::vector<std::string> steps;
  for (const std::string& name : NamesIn(folder)) {
    const auto shard = ParseDataShardName(name);
    if (shard && shard->prefix == base) {
      return Fail(Error{ErrorCode::kCorrupt,
                        "there are data shards (" + name +
                            ") and no index: the checkpoint was not saved or not copied to the end"}
                      .In(prefix + std::string(kIndexEnding)));
    }
    if (!base.empty() && name.starts_with(base + "-") && name.ends_with(kIndexEnding)) {
      steps.push_back(WithoutSuffix(name, kIndexEnding));
    }
  }
  if (steps.empty()) return {};
  return Fail(Error{ErrorCode::kNotFound,
                    "no checkpoint has this name; there is " + FewOf(steps, kMaxNamesShown)}
                  .In(prefix));
}

Resolver::Resolved Resolver::Folder(const fs::path& folder) const {
  const fs::path state = folder / kStateName;
  if (files_.Exists(state) && !files_.IsDirectory(state)) {
    CKPT_ASSIGN_OR_RETURN(auto latest, StateFile(state, false));
    if (latest) return latest;
  }
  std::vector<std::string> bases;
  std::optional<std::string> leftover;
  for (const std::string& name : NamesIn(folder)) {
    if (name.ends_with(kIndexEnding)) bases.push_back(WithoutSuffix(name, kIndexEnding));
    if (const auto shard = ParseDataShardName(name)) leftover = shard->prefix;
  }
  if (!bases.empty()) return NewestIn(folder, bases);
  const std::string variables = (folder / "variables" / "variables").string();
  if (HasIndex(variables)) {
    return ResolvedBundle{variables, "the variables of the SavedModel in " + folder.string(), {}};
  }
  if (leftover) CKPT_RETURN_IF_ERROR(CheckLeftovers((folder / *leftover).string()));
  return NewestV1In(folder);
}

// The one with the highest step, if the folder holds one series only.
Resolver::Resolved Resolver::NewestIn(const fs::path& folder,
                                      const std::vector<std::string>& bases) const {
  if (bases.size() == 1) {
    return ResolvedBundle{
        (folder / bases.front()).string(), "the only checkpoint in " + folder.string(), {}};
  }
  std::vector<std::pair<std::uint64_t, std::string>> steps;
  for (const std::string& base : bases) {
    if (const auto step = StepOf(base)) steps.emplace_back(*step, base);
  }
  std::sort(steps.begin(), steps.end());
  const bool tie =
      steps.size() > 1 && steps[steps.size() - 2].first == steps[steps.size() - 1].first;
  if (steps.empty() || tie) {
    return Fail(
        Error{ErrorCode::kInvalidArgument, "holds " + std::to_string(bases.size()) +
                                               " checkpoints (" + FewOf(bases, kMaxNamesShown) +
                                               ") and nothing says which is the latest: name one"}
            .In(folder.string()));
  }
  const auto& [step, newest] = steps.back();
  ResolvedBundle resolved{(folder / newest).string(),
                          folder.string() + " has no state file; " + newest +
                              " has the highest step of " + std::to_string(bases.size()),
                          {}};
  const std::string stem = newest.substr(0, newest.rfind('-'));
  for (const auto& [older_step, base] : steps) {
    if (base != newest && base.substr(0, base.rfind('-')) == stem) {
      resolved.older.push_back((folder / base).string());
    }
  }
  return resolved;
}

Resolver::Resolved Resolver::NewestV1In(const fs::path& folder) const {
  const std::vector<std::string> bases = ListV1(files_, folder.string());
  if (bases.empty()) return std::optional<ResolvedBundle>();
  CKPT_ASSIGN_OR_RETURN(auto newest, NewestIn(folder, bases));
  newest->v1 = true;
  newest->prefix = FindV1(files_, newest->prefix).value_or(newest->prefix);
  for (std::string& older : newest->older) older = FindV1(files_, older).value_or(older);
  return newest;
}

// Nothing if `file` is no state file, unless it `must_be` one and says so.
Resolver::Resolved Resolver::StateFile(const fs::path& file, bool must_be) const {
  const auto opened = files_.Open(file);
  if (!opened || (*opened)->size() > kMaxStateBytes) return std::optional<ResolvedBundle>();
  constexpr std::uint64_t kHeadBytes = 4096;
  std::string head(static_cast<std::size_t>(std::min(kHeadBytes, (*opened)->size())), '\0');
  CKPT_RETURN_IF_ERROR((*opened)->ReadAt(0, std::as_writable_bytes(std::span(head))));
  if (head.find(kPathField) == std::string::npos) return std::optional<ResolvedBundle>();
  CKPT_ASSIGN_OR_RETURN(const std::string text, ReadWhole(**opened, kMaxStateBytes));
  if (const auto state = ParseState(text)) return Latest(file, *state);
  if (!must_be) return std::optional<ResolvedBundle>();
  return Fail(Error{ErrorCode::kCorrupt, "is not a checkpoint state file"}.In(file.string()));
}

Resolver::Resolved Resolver::Latest(const fs::path& file,
                                    const tf_proto::CheckpointState& state) const {
  const fs::path folder = file.parent_path();
  const StatePath latest = BelowFolder(state.model_checkpoint_path());
  const std::string prefix = (folder / latest.name).string();
  ResolvedBundle resolved{prefix, file.string() + " names " + latest.name + " as the latest", {}};
  if (latest.elsewhere) {
    resolved.note +=
        ", by the path " + state.model_checkpoint_path() + "; it was looked for beside that file";
  }
  std::vector<std::string> there;
  bool before = true;
  for (const std::string& listed : state.all_model_checkpoint_paths()) {
    const std::string other = (folder / BelowFolder(listed).name).string();
    if (other == prefix) before = false;
    const auto found = other == prefix ? std::nullopt : FindEither(other);
    if (!found) continue;
    there.push_back(other);
    if (before) resolved.older.push_back(*found);
  }
  if (HasIndex(prefix)) return resolved;
  if (auto v1 = FindEither(prefix)) {
    resolved.prefix = *std::move(v1);
    resolved.v1 = true;
    return resolved;
  }
  CKPT_RETURN_IF_ERROR(CheckLeftovers(prefix));
  return Fail(Error{
      ErrorCode::kNotFound,
      resolved.note + ", which is not there" +
          (there.empty() ? ""
                         : "; of those that it lists, there is " + FewOf(there, kMaxNamesShown))}
                  .In(prefix + std::string(kIndexEnding)));
}

}  // namespace

Result<std::optional<ResolvedBundle>> ResolveTfBundle(const Files& files, const std::string& path) {
  return Resolver(files).Resolve(path);
}

namespace {

Result<std::optional<ResolvedPath>> ResolveOne(const Files& files, const std::string& path,
                                               bool v1) {
  CKPT_ASSIGN_OR_RETURN(auto bundle, ResolveTfBundle(files, path));
  if (!bundle || bundle->v1 != v1) return std::optional<ResolvedPath>();
  return ResolvedPath{std::move(bundle->prefix), std::move(bundle->note), std::move(bundle->older)};
}

}  // namespace

Result<std::optional<ResolvedPath>> ResolveTfV2(const Files& files, const std::string& path) {
  return ResolveOne(files, path, false);
}

Result<std::optional<ResolvedPath>> ResolveTfV1(const Files& files, const std::string& path) {
  return ResolveOne(files, path, true);
}

}  // namespace ckpt::formats
