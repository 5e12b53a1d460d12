#include "formats/container/atomic_output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <optional>
#include <utility>

#include "formats/container/file_identity.h"
#include "formats/container/folder_lock.h"
#include "formats/container/output_commit.h"
#include "formats/container/partial_file.h"
#include "formats/container/running_digest.h"
#include "formats/container/special_file.h"
#include "formats/container/staged_files.h"
#include "formats/container/staging_folder.h"
#include "formats/container/system_error.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

std::atomic<int> commits_under_way{0}, signal_meanwhile{0};

// A signal that comes during a commit is answered when that has ended.
class CommitUnderWay {
 public:
  CommitUnderWay() { ++commits_under_way; }
  ~CommitUnderWay() {
    if (--commits_under_way > 0) return;
    if (const int signal = signal_meanwhile.exchange(0); signal != 0) std::raise(signal);
  }
  CommitUnderWay(const CommitUnderWay&) = delete;
  CommitUnderWay& operator=(const CommitUnderWay&) = delete;
};

Error Refused(const fs::path& path, std::string why) {
  return Error{ErrorCode::kInvalidArgument, std::move(why)}.In(path.string());
}

Error AlreadyThere(const fs::path& path) {
  return Error{ErrorCode::kAlreadyExists, "exists already"}
      .In(path.string())
      .With(Remedy::kReplaceOutput);
}

// What is written into a device, kept until Commit().
class KeptInMemory : public OutputFile {
 public:
  Status Append(std::span<const std::byte> bytes) override {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return {};
  }
  Status WriteAt(std::uint64_t offset, std::span<const std::byte> bytes) override {
    if (offset + bytes.size() > bytes_.size()) return Fail(ErrorCode::kInternal, "beyond the end");
    std::copy(bytes.begin(), bytes.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(offset));
    return {};
  }
  std::uint64_t size() const noexcept override { return bytes_.size(); }
  Status AppendedByPath() override { return Fail(ErrorCode::kInternal, "has no path"); }
  const fs::path& temporary_path() const noexcept override { return none_; }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
  fs::path none_;
};

bool IsListed(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Puts into `folder` what `older` holds and `folder` does not, but for `replaced`.
Status CarryOver(const fs::path& older, const fs::path& folder,
                 const std::vector<std::string>& replaced) {
  std::error_code failed;
  for (fs::directory_iterator it(older, failed), end; !failed && it != end; it.increment(failed)) {
    const std::string name = it->path().filename().string();
    const fs::path to = folder / name;
    std::error_code error;
    const fs::file_status status = it->symlink_status(error), there = fs::symlink_status(to, error);
    if (IsListed(replaced, name) || IsStagingName(name)) continue;
    if (fs::is_directory(status)) {
      if (!fs::exists(there)) fs::create_directory(to, it->path(), error);
      if (fs::exists(there)) error.clear();
      if (!error) CKPT_RETURN_IF_ERROR(CarryOver(it->path(), to, {}));
    } else if (!fs::exists(there)) {
      error.clear();
      fs::create_hard_link(it->path(), to, error);
      if (error) fs::copy(it->path(), to, fs::copy_options::copy_symlinks, error = {});
    } else {
      error.clear();
    }
    if (error) return Fail(SystemErrorOf(it->path(), "cannot be kept", error.value()));
  }
  if (failed) return Fail(SystemErrorOf(older, "cannot list", failed.value()));
  return {};
}

}  // namespace

struct AtomicOutput::State {
  struct Folder {
    std::size_t placement;  // an index into placements
    std::vector<std::string> replaced;
  };

  Overwrite overwrite = Overwrite::kRefuse;
  const ProtectedFiles* not_written = nullptr;
  std::vector<std::unique_ptr<StagingFolder>> stagings = {};
  std::vector<std::unique_ptr<PartialFile>> files = {};
  std::vector<std::pair<std::size_t, std::unique_ptr<KeptInMemory>>> special = {};
  std::vector<Placement> placements = {}, removals = {};
  std::vector<Folder> folders = {};
  std::optional<std::size_t> set_size = {};
  std::vector<fs::path> made = {};  // folders above the target
  StagedFiles view = {};
  std::unique_ptr<RunningDigests> digests = {};

  ~State() {
    digests.reset();  // it reads from the files
    files.clear();
    stagings.clear();
    std::error_code ignored;
    for (auto it = made.rbegin(); it != made.rend(); ++it) fs::remove(*it, ignored);
  }

  // `target` relative to `folder`, if it is below it.
  std::optional<fs::path> Within(const Folder& folder, const fs::path& target) const {
    fs::path relative = target.lexically_relative(placements[folder.placement].named);
    if (relative.empty() || *relative.begin() == ".." || relative == ".") return std::nullopt;
    return relative;
  }
  Result<StagingFolder*> StagingFor(const fs::path& folder);
  Result<Placement> NewPlacement(Placement::Kind kind, const fs::path& target);
  Status CheckTarget(const fs::path& target) const;
  Result<PartialFile*> AddFile(fs::path target, fs::path temporary);
  Result<OutputFile*> CreateInFolder(const Folder& folder, const fs::path& relative,
                                     const fs::path& target);
  Status CheckFolder(const fs::path& target, const std::vector<std::string>& replaced) const;
  Status MakeFoldersAbove(const fs::path& path);
  Status FinishFolder(const Folder& folder) const;
};

Result<StagingFolder*> AtomicOutput::State::StagingFor(const fs::path& folder) {
  for (const auto& staging : stagings) {
    if (staging->parent() == folder) return staging.get();
  }
  CKPT_ASSIGN_OR_RETURN(auto staging, StagingFolder::Create(folder));
  return stagings.emplace_back(std::move(staging)).get();
}

Status AtomicOutput::State::CheckTarget(const fs::path& target) const {
  std::error_code ignored;
  if (overwrite == Overwrite::kRefuse && fs::exists(fs::symlink_status(target, ignored))) {
    return Fail(AlreadyThere(target));
  }
  if (IsSpecialFile(target)) {
    return Fail(Refused(target, "is a device, FIFO or open descriptor, not a file to replace"));
  }
  if (not_written != nullptr) CKPT_RETURN_IF_ERROR(not_written->Check(target));
  const auto identity = IdentityOf(target);
  for (const auto* placed : {&placements, &removals}) {
    for (const Placement& other : *placed) {
      if (identity && other.staging != nullptr && IdentityOf(other.target) == identity) {
        return Fail(Refused(target, "would be written twice: it is also " + other.named.string()));
      }
    }
  }
  return {};
}

Result<Placement> AtomicOutput::State::NewPlacement(Placement::Kind kind, const fs::path& target) {
  Placement placement{kind, target};
  CKPT_ASSIGN_OR_RETURN(placement.target, BehindLinks(target));
  auto staging = StagingFor(placement.target.parent_path());
  if (!staging) {
    staging.error().file = target.string();
    return Fail(staging);
  }
  placement.staging = *staging;
  placement.staged = (*staging)->New(placement.target.filename().string());
  return placement;
}

Result<PartialFile*> AtomicOutput::State::AddFile(fs::path target, fs::path temporary) {
  CKPT_ASSIGN_OR_RETURN(auto file, PartialFile::Create(std::move(target), std::move(temporary)));
  if (digests != nullptr && !set_size) file->DigestBy(*digests);
  return files.emplace_back(std::move(file)).get();
}

Result<OutputFile*> AtomicOutput::State::CreateInFolder(const Folder& folder,
                                                        const fs::path& relative,
                                                        const fs::path& target) {
  const fs::path temporary = placements[folder.placement].staged / relative;
  std::error_code failed;
  fs::create_directories(temporary.parent_path(), failed);
  if (failed) return Fail(SystemErrorOf(target, "cannot make the folder", failed.value()));
  CKPT_ASSIGN_OR_RETURN(PartialFile * file, AddFile(target, temporary));
  return file;
}

Status AtomicOutput::State::CheckFolder(const fs::path& target,
                                        const std::vector<std::string>& replaced) const {
  std::error_code ignored;
  for (const std::string& name : replaced) {
    if (overwrite == Overwrite::kRefuse && fs::exists(fs::symlink_status(target / name, ignored))) {
      return Fail(AlreadyThere(target / name));
    }
  }
  if (not_written == nullptr || !fs::is_directory(target, ignored)) return {};
  fs::recursive_directory_iterator it(target, ignored), end;
  for (; !ignored && it != end; it.increment(ignored)) {
    if (it->is_regular_file(ignored)) CKPT_RETURN_IF_ERROR(not_written->Check(it->path()));
  }
  return {};
}

Status AtomicOutput::State::MakeFoldersAbove(const fs::path& path) {
  const fs::path folder = path.parent_path();
  std::error_code error;
  if (folder.empty() || fs::is_directory(folder, error)) return {};
  CKPT_RETURN_IF_ERROR(MakeFoldersAbove(folder));
  if (::mkdir(folder.c_str(), 0777) != 0) {
    return Fail(SystemErrorOf(folder, "cannot make the folder", errno));
  }
  made.push_back(folder);
  return {};
}

Status AtomicOutput::State::FinishFolder(const Folder& folder) const {
  const Placement& placement = placements[folder.placement];
  std::error_code failed;
  if (fs::is_directory(placement.target, failed)) {
    CKPT_RETURN_IF_ERROR(CarryOver(placement.target, placement.staged, folder.replaced));
    struct stat old {};
    if (::stat(placement.target.c_str(), &old) == 0 &&
        ::chmod(placement.staged.c_str(), old.st_mode & 07777) != 0) {
      return Fail(
          SystemErrorOf(placement.named, "cannot take over the mode of the older folder", errno));
    }
  }
  fs::recursive_directory_iterator it(placement.staged, failed), end;
  for (; !failed && it != end; it.increment(failed)) {
    if (!it->is_directory(failed) || it->is_symlink(failed)) continue;
    CKPT_RETURN_IF_ERROR(SyncPath(it->path(), placement.named, O_RDONLY | O_DIRECTORY));
  }
  if (failed) return Fail(SystemErrorOf(placement.named, "cannot list", failed.value()));
  return SyncPath(placement.staged, placement.named, O_RDONLY | O_DIRECTORY);
}

AtomicOutput::AtomicOutput(Overwrite overwrite, const ProtectedFiles* not_written)
    : state_(std::make_unique<State>()) {
  state_->overwrite = overwrite;
  state_->not_written = not_written;
}
AtomicOutput::~AtomicOutput() = default;

bool AtomicOutput::replaces() const noexcept { return state_->overwrite == Overwrite::kReplace; }
const Files& AtomicOutput::files() const { return state_->view; }
void AtomicOutput::DigestWhileWriting() { state_->digests = RunningDigests::Start(); }

Result<std::optional<FileDigest>> AtomicOutput::DigestOf(const fs::path& target) {
  for (const auto& file : state_->files) {
    if (file->target() != target || file->digest() == nullptr || file->size() == 0) continue;
    return state_->digests->Finish(*file->digest(), file->size());
  }
  return std::nullopt;
}

void AtomicOutput::CloseSet() { state_->set_size = state_->placements.size(); }

Result<OutputFile*> AtomicOutput::Create(const fs::path& target, std::uint64_t expected_size) {
  for (const State::Folder& folder : state_->folders) {
    if (const auto relative = state_->Within(folder, target)) {
      return state_->CreateInFolder(folder, *relative, target);
    }
  }
  CKPT_RETURN_IF_ERROR(state_->CheckTarget(target));
  std::error_code ignored;
  if (fs::is_directory(target, ignored)) return Fail(Refused(target, "is a folder"));
  CKPT_ASSIGN_OR_RETURN(Placement placement, state_->NewPlacement(Placement::Kind::kFile, target));
  CKPT_ASSIGN_OR_RETURN(PartialFile * file, state_->AddFile(target, placement.staged));
  state_->view.AddFile(target, placement.staged);
  state_->placements.push_back(std::move(placement));
  if (expected_size > 0) CKPT_RETURN_IF_ERROR(file->Reserve(expected_size));
  return file;
}

Result<OutputFile*> AtomicOutput::CreateOrWriteInto(const fs::path& target) {
  if (!IsSpecialFile(target)) return Create(target);
  Placement placement{Placement::Kind::kSpecial, target, target};
  state_->special.emplace_back(state_->placements.size(), std::make_unique<KeptInMemory>());
  state_->placements.push_back(std::move(placement));
  return state_->special.back().second.get();
}

Status AtomicOutput::CreateFolder(const fs::path& given, const std::vector<std::string>& replaced) {
  const fs::path target = given.has_filename() ? given : given.parent_path();
  std::error_code error;
  if (fs::exists(fs::status(target, error)) && !fs::is_directory(target, error)) {
    return Fail(Refused(target, "is no folder"));
  }
  CKPT_RETURN_IF_ERROR(state_->CheckFolder(target, replaced));
  CKPT_RETURN_IF_ERROR(state_->MakeFoldersAbove(target));
  CKPT_ASSIGN_OR_RETURN(Placement placement,
                        state_->NewPlacement(Placement::Kind::kFolder, target));
  if (::mkdir(placement.staged.c_str(), 0777) != 0) {
    return Fail(SystemErrorOf(target, "cannot make the folder", errno));
  }
  state_->view.AddFolder(target, placement.staged);
  state_->folders.push_back({state_->placements.size(), replaced});
  state_->placements.push_back(std::move(placement));
  return {};
}

Status AtomicOutput::RemoveAtCommit(fs::path stale) {
  std::error_code ignored;
  if (!fs::exists(fs::symlink_status(stale, ignored))) return {};
  for (const State::Folder& folder : state_->folders) {
    if (state_->Within(folder, stale)) return {};  // goes with the folder
  }
  if (state_->not_written != nullptr) CKPT_RETURN_IF_ERROR(state_->not_written->Check(stale));
  Placement placement{Placement::Kind::kRemoval, stale, stale};
  CKPT_ASSIGN_OR_RETURN(placement.staging, state_->StagingFor(stale.parent_path()));
  state_->view.Remove(stale);
  state_->removals.push_back(std::move(placement));
  return {};
}

Status AtomicOutput::Commit() {
  for (const Placement& placement : state_->placements) {
    const bool checked = state_->not_written != nullptr && placement.staging != nullptr;
    if (checked) CKPT_RETURN_IF_ERROR(state_->not_written->Check(placement.target));
  }
  state_->digests.reset();
  for (const auto& file : state_->files) CKPT_RETURN_IF_ERROR(file->Finish());
  for (const State::Folder& folder : state_->folders) {
    CKPT_RETURN_IF_ERROR(state_->FinishFolder(folder));
  }
  for (const auto& [index, file] : state_->special) state_->placements[index].bytes = file->bytes();
  auto& all = state_->placements;
  const auto rest =
      all.begin() + static_cast<std::ptrdiff_t>(state_->set_size.value_or(all.size()));
  // Before the head, so that it is the last of its set.
  std::vector<Placement> set(all.begin(), rest);
  const bool has_head = !set.empty();
  set.insert(set.end() - (has_head ? 1 : 0), state_->removals.begin(), state_->removals.end());
  std::vector<fs::path> parents;
  for (const auto& staging : state_->stagings) parents.push_back(staging->parent());
  OutputCommit commit(std::move(set), {rest, all.end()}, replaces());
  CKPT_ASSIGN_OR_RETURN(const FolderLocks locks, FolderLocks::Take(parents));
  const CommitUnderWay under_way;
  CKPT_RETURN_IF_ERROR(commit.Run());
  state_->made.clear();
  // What is old goes while a signal still waits.
  state_->files.clear();
  state_->stagings.clear();
  return {};
}

bool RemovePartialOutputs(int signal) noexcept {
  if (commits_under_way.load() > 0) {
    signal_meanwhile.store(signal);
    return false;
  }
  RemoveStagingFolders();
  return true;
}

}  // namespace ckpt::formats
