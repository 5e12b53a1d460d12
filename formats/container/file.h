// The only road to the bytes of input files; tests and fuzzers pass files held in memory.
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

// A file whose size was read once, at opening. Safe for use from several threads.
class RandomAccessFile {
 public:
  virtual ~RandomAccessFile() = default;
  virtual const std::string& path() const noexcept = 0;  // for messages
  virtual std::uint64_t size() const noexcept = 0;
  // The descriptor that ReadAt reads from, which a child process has to keep; negative where there
  // is none.
  virtual int descriptor() const noexcept { return -1; }
  // Fills all of `out`; kCorrupt (with the offset) where the file ends before, kIo where the system
  // fails.
  virtual Status ReadAt(std::uint64_t offset, std::span<std::byte> out) const = 0;
  // A hint: these bytes will be read, front to back. Of use where bytes come from far away.
  virtual void WillRead(std::uint64_t /*offset*/, std::uint64_t /*size*/) const {}
  // For a child process that has nothing but descriptors: a file with these bytes in their places
  // (others may be missing) that reads by its descriptor alone; null where this one does.
  // REQUIRES: the range lies within the file.
  virtual Result<std::shared_ptr<const RandomAccessFile>> OnDisk(std::uint64_t /*offset*/,
                                                                 std::uint64_t /*size*/) const {
    return std::shared_ptr<const RandomAccessFile>();
  }
};

class Files {
 public:
  virtual ~Files() = default;
  // Regular files only: a folder, FIFO or device is refused with kNotFound or kUnsupported.
  virtual Result<std::unique_ptr<RandomAccessFile>> Open(
      const std::filesystem::path& path) const = 0;
  virtual bool Exists(const std::filesystem::path& path) const = 0;
  virtual bool IsDirectory(const std::filesystem::path& path) const = 0;
  // Names in a folder, sorted.
  virtual Result<std::vector<std::string>> List(const std::filesystem::path& folder) const = 0;
  // Opens a file that is named *inside* another file: `name` must be a plain relative path that
  // stays below `folder`; links are refused (kUnsafe) except a hub cache's own layout
  // (snapshots/... -> ../../blobs/...).
  virtual Result<std::unique_ptr<RandomAccessFile>> OpenBeneath(const std::filesystem::path& folder,
                                                                const std::string& name) const = 0;
};

const Files&
SystemFiles() noexcept;  // pread; never mmap: a file that shrinks must not kill the process

// The regular file behind `descriptor`, called `path` in messages. Takes ownership, on failure too.
Result<std::unique_ptr<RandomAccessFile>> WrapDescriptor(const std::string& path, int descriptor);

// A name inside a file: no empty, "." or ".." component, not absolute, no backslash or NUL; else
// kUnsafe.
Status CheckPlainRelative(const std::filesystem::path& folder, const std::string& name);

// Files held in memory, for tests and fuzzing: path -> bytes.
class MemoryFiles : public Files {
 public:
  void Add(std::string path, std::vector<std::byte> bytes);
  void Add(std::string path, std::string_view bytes);
  Result<std::unique_ptr<RandomAccessFile>> Open(const std::filesystem::path& path) const override;
  bool Exists(const std::filesystem::path& path) const override;
  bool IsDirectory(const std::filesystem::path& path) const override;
  Result<std::vector<std::string>> List(const std::filesystem::path& folder) const override;
  Result<std::unique_ptr<RandomAccessFile>> OpenBeneath(const std::filesystem::path& folder,
                                                        const std::string& name) const override;

 private:
  std::vector<std::pair<std::string, std::shared_ptr<const std::vector<std::byte>>>> files_;
};

// All bytes of a small file; kLimitExceeded above `max_bytes`, before reading.
Result<std::string> ReadWhole(const RandomAccessFile& file, std::uint64_t max_bytes);

}  // namespace ckpt::formats
