// Output files that appear together, whole, or not at all: one transaction.
//
// What is written lies in a staging folder beside its target (staging_folder.h) until Commit(),
// which flushes all of it to the disk and puts it in place: after a failure every target is what it
// was before. Destruction without Commit() removes everything, and so does RemovePartialOutputs()
// from a signal handler's cleanup path.
//
// After a kill: one file, or one folder, is the old one or the new one. A set of several files
// lacks its index from the first step to the last, so that no reader takes it for whole; the old
// files lie complete in the staging folder, and the next run that writes there puts them back (or,
// where the set was in place already, finishes the commit).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ckpt/result.h"

namespace ckpt::formats {

class Files;
class ProtectedFiles;
struct FileDigest;

class OutputFile {
 public:
  virtual ~OutputFile() = default;
  virtual Status Append(std::span<const std::byte> bytes) = 0;
  // Announces a WriteAt behind `offset`: until then what lies there is not final.
  virtual void WillRewrite(std::uint64_t /*offset*/) {}
  // Overwrites bytes already appended (headers whose content is known only at the end).
  virtual Status WriteAt(std::uint64_t offset, std::span<const std::byte> bytes) = 0;
  virtual std::uint64_t size() const noexcept = 0;
  // A library wrote all that stands in the file behind what was appended. What is appended next
  // follows it. kInternal where less is there than was appended.
  virtual Status AppendedByPath() = 0;
  // The temporary path, for libraries that write by path themselves; before more is appended, call
  // AppendedByPath. No other user can reach it.
  virtual const std::filesystem::path& temporary_path() const noexcept = 0;
};

class AtomicOutput {
 public:
  enum class Overwrite : std::uint8_t { kRefuse, kReplace };
  // `not_written`: what Create and RemoveAtCommit refuse as a target (kInvalidArgument); null for
  // nothing. It must outlive this object.
  explicit AtomicOutput(Overwrite overwrite, const ProtectedFiles* not_written = nullptr);
  ~AtomicOutput();
  AtomicOutput(const AtomicOutput&) = delete;
  AtomicOutput& operator=(const AtomicOutput&) = delete;

  bool replaces() const noexcept;

  // Creates the temporary file of `target`. Where `target` is a link, what it points to will be
  // replaced, and the link stays. kAlreadyExists if the target is there and may not be replaced;
  // kInvalidArgument for a folder, a device or a FIFO, and for a target that there is already.
  // `expected_size` > 0 reserves the room first, so that a full disk is met before the work.
  Result<OutputFile*> Create(const std::filesystem::path& target, std::uint64_t expected_size = 0);
  // As Create, but a device, FIFO or descriptor (/dev/stdout) is written into at Commit.
  Result<OutputFile*> CreateOrWriteInto(const std::filesystem::path& target);
  // A folder that is put in place, or takes the place of an older one, as a whole; targets below it
  // are created in it. The folders above are made where they are not there, and taken away again
  // without Commit(). What else the older folder holds is kept, but for `replaced`: names in it.
  Status CreateFolder(const std::filesystem::path& target,
                      const std::vector<std::string>& replaced = {});
  // Files to take away at commit: shards of an older, larger output.
  Status RemoveAtCommit(std::filesystem::path stale);
  // What was created so far belongs together, its last file is what makes it readable (an index).
  // What is created afterwards (a record) is put in place behind it. Without a call: all of it.
  void CloseSet();

  // The SHA-256 of the set's files that are created from here on is taken while they are written,
  // where there is a thread to be had for it.
  void DigestWhileWriting();
  // Waits for that of `target`, which is written. Absent where it was not taken so: of a file that
  // a library wrote by path.
  Result<std::optional<FileDigest>> DigestOf(const std::filesystem::path& target);

  // The file system as it will be after Commit(): targets are read from their temporary files.
  const Files& files() const;

  Status Commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Removes the temporary files of every live AtomicOutput of this process. Async-signal-safe. False
// where a commit is under way: it is not disturbed, and `signal` is raised again when it has ended.
bool RemovePartialOutputs(int signal = 0) noexcept;

}  // namespace ckpt::formats
