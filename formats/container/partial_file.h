// A file of an output while it is written: at its temporary path.
#pragma once

#include <optional>

#include "formats/container/atomic_output.h"
#include "formats/container/early_write_back.h"
#include "formats/container/running_digest.h"

namespace ckpt::formats {

class PartialFile : public OutputFile {
 public:
  // `target` is for messages, and where the mode of an older file is found.
  static Result<std::unique_ptr<PartialFile>> Create(std::filesystem::path target,
                                                     std::filesystem::path temporary);
  ~PartialFile() override;
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  Status Append(std::span<const std::byte> bytes) override;
  void WillRewrite(std::uint64_t offset) override;
  Status WriteAt(std::uint64_t offset, std::span<const std::byte> bytes) override;
  std::uint64_t size() const noexcept override { return size_; }
  Status AppendedByPath() override;
  const std::filesystem::path& temporary_path() const noexcept override { return temporary_; }
  const std::filesystem::path& target() const noexcept { return target_; }

  // The size of the file stays 0, so that no zeros are left of what is not written.
  Status Reserve(std::uint64_t bytes) const;
  // `digests` must outlive all that is written.
  void DigestBy(RunningDigests& digests) {
    digest_ = digests.Follow(descriptor_, target_.string());
  }
  RunningDigest* digest() const noexcept { return digest_; }  // null: none is taken
  // Gives back what was reserved and not appended, takes over the mode of the older file, flushes
  // to the disk and closes.
  Status Finish();

 private:
  PartialFile(std::filesystem::path target, std::filesystem::path temporary, int descriptor);
  Status TakeOverMode() const;
  // `bytes` more are at the end.
  void Grown(std::uint64_t bytes);

  std::filesystem::path target_, temporary_;
  int descriptor_;
  std::uint64_t size_ = 0;
  EarlyWriteBack write_back_ = {};
  RunningDigest* digest_ = nullptr;
  std::optional<std::uint64_t> to_rewrite_ = {};
};

// Flushes a file or folder to the disk. `what` is named in the message.
Status SyncPath(const std::filesystem::path& path, const std::filesystem::path& what, int flags);

}  // namespace ckpt::formats
