// Where a run keeps what it writes until all of it is checked: ".ckpt-<random>.partial" beside the
// files to be, of mode 0700, with a lock that tells a live run's from a dead one's.
//
//   lock      held (flock) as long as the run lives
//   new/      what is to be put in place, under its own name
//   old/      what stood there, from the moment it is replaced until all is in place
//   journal   from the moment that the first file is put in place: see commit_journal.h
#pragma once

#include <array>
#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "ckpt/result.h"

namespace ckpt::formats {

bool IsStagingName(std::string_view name) noexcept;

class StagingFolder {
 public:
  // In `parent`, which must be there. Leftovers of dead runs in it are removed first.
  static Result<std::unique_ptr<StagingFolder>> Create(const std::filesystem::path& parent);
  ~StagingFolder();  // removes it with all that is in it
  StagingFolder(const StagingFolder&) = delete;
  StagingFolder& operator=(const StagingFolder&) = delete;

  const std::filesystem::path& parent() const noexcept { return parent_; }
  const std::filesystem::path& path() const noexcept { return path_; }
  std::filesystem::path New(const std::string& name) const { return path_ / "new" / name; }
  std::filesystem::path Old(const std::string& name) const { return path_ / "old" / name; }

 private:
  // Open until it is removed. The spare ones are for its removal, where there are no others.
  struct Descriptors {
    std::atomic<int> lock{-1};
    std::array<std::atomic<int>, 2> spare{-1, -1};
    void CloseSpare() noexcept;
  };
  struct Slot;
  StagingFolder(std::filesystem::path parent, std::filesystem::path path, Slot* slot);
  int MakeAndLock();
  Descriptors& descriptors() noexcept;

  std::filesystem::path parent_, path_;
  Slot* slot_;
  Descriptors own_;  // used without a slot
  bool made_ = false;
  friend void RemoveStagingFolders() noexcept;
};

// What dead runs left in `parent`: a commit that was cut short is finished or taken back, then
// their staging folders are removed. Live runs are left alone.
void RemoveLeftovers(const std::filesystem::path& parent);

// Removes the staging folders of this process. Async-signal-safe.
void RemoveStagingFolders() noexcept;

}  // namespace ckpt::formats
