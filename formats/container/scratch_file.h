// A file without a name, which is gone with its descriptor: room on the disk for what has to be
// read at any place and is stored otherwise.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "ckpt/result.h"
#include "formats/container/file.h"

namespace ckpt::formats {

class ScratchFile {
 public:
  // On the disk of `folder`. kIo where the system refuses.
  static Result<std::unique_ptr<ScratchFile>> Create(const std::filesystem::path& folder);
  ~ScratchFile();
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  Status Append(std::span<const std::byte> bytes);
  // At a place of its own; what is between takes no room. Several threads may read and write.
  Status WriteAt(std::uint64_t offset, std::span<const std::byte> bytes);
  Status Resize(std::uint64_t size);
  // Fills `out`. REQUIRES: the file has these bytes.
  Status ReadAt(std::uint64_t offset, std::span<std::byte> out) const;
  // What was written, called `name` in messages; it keeps the room after this object has gone.
  Result<std::shared_ptr<const RandomAccessFile>> Read(std::string name) const;

 private:
  explicit ScratchFile(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace ckpt::formats
