#include "formats/container/output_commit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <map>
#include <set>
#include <utility>

#include "formats/container/partial_file.h"
#include "formats/container/special_file.h"
#include "formats/container/system_error.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

bool Exists(const fs::path& path) { return Standing(path).device != 0; }

// 0, or errno's number.
int Rename(const fs::path& from, const fs::path& to) {
  return ::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
}

// EEXIST where something is there already.
int RenameToFree(const fs::path& from, const fs::path& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  return Exists(to) ? EEXIST : Rename(from, to);  // the file system has no RENAME_NOREPLACE
}

Status Placed(const Placement& placement, int failed) {
  if (failed == 0) return {};
  if (failed == EEXIST) {
    return Fail(Error{ErrorCode::kAlreadyExists, "exists already"}.In(placement.named.string()));
  }
  return Fail(SystemErrorOf(placement.named, "cannot rename into place", failed));
}

JournalEntry EntryOf(const Placement& placement) {
  JournalEntry entry{placement.target.filename().string(), {}, Standing(placement.target)};
  if (placement.kind != Placement::Kind::kRemoval) entry.staged = Standing(placement.staged);
  return entry;
}

}  // namespace

OutputCommit::OutputCommit(std::vector<Placement> set, std::vector<Placement> rest, bool replace)
    : set_(std::move(set)), rest_(std::move(rest)), replace_(replace) {
  // All that taking back needs is there before the first step.
  done_.reserve(2 * (set_.size() + rest_.size()));  // taken away and placed, each
  for (auto* placements : {&set_, &rest_}) {
    for (Placement& placement : *placements) {
      if (placement.staging == nullptr) continue;
      placement.old = placement.staging->Old(placement.target.filename().string());
    }
  }
}

Status OutputCommit::Run() {
  if (set_.size() + rest_.size() > 1) CKPT_RETURN_IF_ERROR(WriteJournals());
  try {
    Status status = Steps();
    if (status) status = SyncFolders();
    if (!status) {
      TakeBack();
      (void)SyncFolders();
    }
    return status;
  } catch (...) {
    TakeBack();
    throw;
  }
}

bool OutputCommit::HeadGoesFirst() const { return set_.size() > 1 && Exists(set_.back().target); }

Status OutputCommit::WriteJournals() const {
  Journal journal;
  if (!set_.empty() && set_.back().staging != nullptr) {
    std::error_code failed;
    journal.head = fs::absolute(set_.back().target, failed);
    journal.head_staged = Standing(set_.back().staged);
  }
  std::map<fs::path, std::vector<JournalEntry>> entries;
  for (const auto* placements : {&set_, &rest_}) {
    for (const Placement& placement : *placements) {
      if (placement.staging == nullptr) continue;
      entries[placement.staging->path()].push_back(EntryOf(placement));
    }
  }
  for (auto& [staging, here] : entries) {
    journal.entries = std::move(here);
    CKPT_RETURN_IF_ERROR(WriteJournal(staging, journal));
    CKPT_RETURN_IF_ERROR(SyncPath(staging, staging, O_RDONLY | O_DIRECTORY));
  }
  return {};
}

Status OutputCommit::Steps() {
  if (HeadGoesFirst()) CKPT_RETURN_IF_ERROR(TakeAway(set_.back()));
  for (const auto* placements : {&set_, &rest_}) {
    for (const Placement& placement : *placements) {
      if (placement.kind == Placement::Kind::kRemoval) {
        CKPT_RETURN_IF_ERROR(TakeAway(placement));
      } else if (placement.kind == Placement::Kind::kSpecial) {
        CKPT_RETURN_IF_ERROR(WriteInto(placement));
      } else {
        CKPT_RETURN_IF_ERROR(Place(placement));
      }
    }
  }
  return {};
}

Status OutputCommit::TakeAway(const Placement& placement) {
  const int failed = Rename(placement.target, placement.old);
  if (failed == ENOENT) return {};
  if (failed != 0) {
    return Fail(SystemErrorOf(placement.named, "cannot take the older file away", failed));
  }
  done_.push_back({Done::What::kTakenAway, &placement});
  return {};
}

Status OutputCommit::Place(const Placement& placement) {
  // A folder that must not be replaced was refused before: this one holds nothing of it.
  const bool over = replace_ || placement.kind == Placement::Kind::kFolder;
  if (over && Exists(placement.target)) return PlaceOver(placement);
  const int failed = RenameToFree(placement.staged, placement.target);
  if (failed == EEXIST && over) return PlaceOver(placement);  // it came meanwhile
  if (failed == 0) done_.push_back({Done::What::kPlaced, &placement});
  return Placed(placement, failed);
}

// The old file is kept until all is in place.
Status OutputCommit::PlaceOver(const Placement& placement) {
  if (placement.kind == Placement::Kind::kFolder) return ExchangeFolder(placement);
  std::error_code ignored;
  if (fs::is_directory(fs::symlink_status(placement.target, ignored))) {
    return Placed(placement, EISDIR);  // it came meanwhile
  }
  if (::link(placement.target.c_str(), placement.old.c_str()) != 0) {
    // The file system has no hard links, or none to this file.
    CKPT_RETURN_IF_ERROR(TakeAway(placement));
    const int failed = RenameToFree(placement.staged, placement.target);
    if (failed == 0) done_.push_back({Done::What::kPlaced, &placement});
    return Placed(placement, failed);
  }
  const int failed = Rename(placement.staged, placement.target);
  if (failed == 0) done_.push_back({Done::What::kReplaced, &placement});
  return Placed(placement, failed);
}

Status OutputCommit::ExchangeFolder(const Placement& placement) {
  if (::renameat2(AT_FDCWD, placement.staged.c_str(), AT_FDCWD, placement.target.c_str(),
                  RENAME_EXCHANGE) == 0) {
    done_.push_back({Done::What::kExchanged, &placement});
    return {};
  }
  if (errno != EINVAL && errno != ENOSYS) return Placed(placement, errno);
  CKPT_RETURN_IF_ERROR(TakeAway(placement));
  const int failed = RenameToFree(placement.staged, placement.target);
  if (failed == 0) done_.push_back({Done::What::kPlaced, &placement});
  return Placed(placement, failed);
}

Status OutputCommit::WriteInto(const Placement& placement) {
  CKPT_ASSIGN_OR_RETURN(const SpecialFile file, SpecialFile::Open(placement.target));
  return file.Write(placement.bytes);
}

Status OutputCommit::SyncFolders() const {
  std::set<fs::path> folders;
  for (const auto* placements : {&set_, &rest_}) {
    for (const Placement& placement : *placements) {
      const fs::path folder = placement.target.parent_path();
      if (placement.staging != nullptr) folders.insert(folder.empty() ? "." : folder);
    }
  }
  for (const fs::path& folder : folders) {
    CKPT_RETURN_IF_ERROR(SyncPath(folder, folder, O_RDONLY | O_DIRECTORY));
  }
  return {};
}

void OutputCommit::TakeBack() noexcept {
  for (; !done_.empty(); done_.pop_back()) {
    const Placement& placement = *done_.back().placement;
    switch (done_.back().what) {
      case Done::What::kTakenAway:
      case Done::What::kReplaced:
        Rename(placement.old, placement.target);
        break;
      case Done::What::kPlaced:
        Rename(placement.target, placement.staged);
        break;
      case Done::What::kExchanged:
        ::renameat2(AT_FDCWD, placement.staged.c_str(), AT_FDCWD, placement.target.c_str(),
                    RENAME_EXCHANGE);
        break;
    }
  }
}

}  // namespace ckpt::formats
