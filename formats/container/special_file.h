// Devices, FIFOs, and descriptors by name: written into, never renamed over.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "ckpt/result.h"

namespace ckpt::formats {

// A device, FIFO or socket; /dev/stdout, /dev/fd/3 and the like, whatever is behind them.
bool IsSpecialFile(const std::filesystem::path& path);

// What is written goes to the end of it, or, where `path` names a descriptor of this process, to
// where that stands.
class SpecialFile {
 public:
  static Result<SpecialFile> Open(const std::filesystem::path& path);
  // A descriptor of this process, called `path` in messages.
  static Result<SpecialFile> OfDescriptor(int number, const std::filesystem::path& path);
  SpecialFile(SpecialFile&& other) noexcept;
  SpecialFile& operator=(SpecialFile&&) = delete;
  ~SpecialFile();

  Status Write(std::span<const std::byte> bytes) const;

 private:
  SpecialFile(std::filesystem::path path, int descriptor);
  std::filesystem::path path_;
  int descriptor_;
};

}  // namespace ckpt::formats
