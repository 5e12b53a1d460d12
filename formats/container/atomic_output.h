// Output files that appear whole or not at all.
//
// Each file is written beside its target as ".<name>.<pid>-<n>.partial", flushed to the disk, then
// renamed; the last file added is the commit point (an index goes last). Destruction without
// Commit() removes everything, and so does RemovePartialOutputs() from a signal handler's cleanup
// path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ckpt/result.h"

namespace ckpt::formats {

class OutputFile {
 public:
  virtual ~OutputFile() = default;
  virtual Status Append(std::span<const std::byte> bytes) = 0;
  // Overwrites bytes already appended (headers whose content is known only at the end).
  virtual Status WriteAt(std::uint64_t offset, std::span<const std::byte> bytes) = 0;
  virtual std::uint64_t size() const noexcept = 0;
  // The temporary path, for libraries that write by path themselves; do not mix with Append.
  virtual const std::filesystem::path& temporary_path() const noexcept = 0;
};

class AtomicOutput {
 public:
  enum class Overwrite : std::uint8_t { kRefuse, kReplace };
  explicit AtomicOutput(Overwrite overwrite);
  ~AtomicOutput();
  AtomicOutput(const AtomicOutput&) = delete;
  AtomicOutput& operator=(const AtomicOutput&) = delete;

  // Creates the temporary sibling of `target`. kAlreadyExists if the target is there and may not be
  // replaced. `expected_size` > 0 reserves the room first, so that a full disk is met before the
  // work.
  Result<OutputFile*> Create(const std::filesystem::path& target, std::uint64_t expected_size = 0);
  // Files to delete at commit: shards of an older, larger output.
  void RemoveAtCommit(std::filesystem::path stale);
  // fsync each file, rename in the order of creation, remove stale files, fsync the folders.
  Status Commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Unlinks the temporary files of every live AtomicOutput of this process. Async-signal-safe.
void RemovePartialOutputs() noexcept;

}  // namespace ckpt::formats
