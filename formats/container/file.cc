#include "formats/container/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "formats/container/open_beneath.h"
#include "formats/container/read_failures.h"
#include "formats/container/system_error.h"
#include "formats/encoding/byte_reader.h"

namespace ckpt::formats {
namespace {

Error Noted(Error error) {
  ReadFailures::Note(error);
  return error;
}

class SystemFile : public RandomAccessFile {
 public:
  SystemFile(std::string path, int descriptor, std::uint64_t size)
      : path_(std::move(path)), descriptor_(descriptor), size_(size) {}
  ~SystemFile() override { ::close(descriptor_); }
  SystemFile(const SystemFile&) = delete;
  SystemFile& operator=(const SystemFile&) = delete;

  const std::string& path() const noexcept override { return path_; }
  std::uint64_t size() const noexcept override { return size_; }
  int descriptor() const noexcept override { return descriptor_; }

  Status ReadAt(std::uint64_t offset, std::span<std::byte> out) const override {
    while (!out.empty()) {
      const ssize_t got = ::pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Fail(Noted(ReadErrorOf(path_, "cannot read", errno)));
      if (got == 0) {
        return Fail(Error{ErrorCode::kCorrupt, "the file ends here, " + std::to_string(out.size()) +
                                                   " bytes before what was to be read"}
                        .In(path_)
                        .At(offset));
      }
      out = out.subspan(static_cast<std::size_t>(got));
      offset += static_cast<std::uint64_t>(got);
    }
    return {};
  }

 private:
  std::string path_;
  int descriptor_;
  std::uint64_t size_;
};

class RealFiles : public Files {
 public:
  Result<std::unique_ptr<RandomAccessFile>> Open(const std::filesystem::path& path) const override {
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return Fail(Noted(ReadErrorOf(path.string(), "cannot open", errno)));
    return WrapDescriptor(path.string(), descriptor);
  }

  bool Exists(const std::filesystem::path& path) const override {
    std::error_code failed;
    return std::filesystem::exists(path, failed);
  }

  bool IsDirectory(const std::filesystem::path& path) const override {
    std::error_code failed;
    return std::filesystem::is_directory(path, failed);
  }

  Result<std::vector<std::string>> List(const std::filesystem::path& folder) const override {
    std::error_code failed;
    std::vector<std::string> names;
    for (std::filesystem::directory_iterator it(folder.empty() ? "." : folder, failed), end;
         !failed && it != end; it.increment(failed)) {
      names.push_back(it->path().filename().string());
    }
    if (failed) return Fail(Noted(ReadErrorOf(folder.string(), "cannot list", failed.value())));
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<std::unique_ptr<RandomAccessFile>> OpenBeneath(const std::filesystem::path& folder,
                                                        const std::string& name) const override {
    CKPT_RETURN_IF_ERROR(CheckPlainRelative(folder, name));
    const Result<int> descriptor = OpenDescriptorBeneath(folder, name);
    if (!descriptor) return Fail(Noted(descriptor.error()));
    return WrapDescriptor((folder / name).string(), *descriptor);
  }
};

class MemoryFile : public RandomAccessFile {
 public:
  MemoryFile(std::string path, std::shared_ptr<const std::vector<std::byte>> bytes)
      : path_(std::move(path)), bytes_(std::move(bytes)) {}
  const std::string& path() const noexcept override { return path_; }
  std::uint64_t size() const noexcept override { return bytes_->size(); }
  Status ReadAt(std::uint64_t offset, std::span<std::byte> out) const override {
    if (!RangeFits(offset, out.size(), bytes_->size())) {
      return Fail(
          Error{ErrorCode::kCorrupt, "the file ends before what was to be read"}.In(path_).At(
              offset));
    }
    if (!out.empty()) std::memcpy(out.data(), bytes_->data() + offset, out.size());
    return {};
  }

 private:
  std::string path_;
  std::shared_ptr<const std::vector<std::byte>> bytes_;
};

}  // namespace

Status CheckPlainRelative(const std::filesystem::path& folder, const std::string& name) {
  bool plain =
      !name.empty() && name.find('\\') == std::string::npos && name.find('\0') == std::string::npos;
  for (const auto& part : std::filesystem::path(name)) {
    if (part.empty() || part == "." || part == ".." || part == "/") plain = false;
  }
  if (plain) return {};
  return Fail(
      Error{ErrorCode::kUnsafe,
            "names the file \"" + name + "\", which is not a plain relative name below its folder"}
          .In(folder.string()));
}

Result<std::unique_ptr<RandomAccessFile>> WrapDescriptor(const std::string& path, int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) {
    const int number = errno;
    ::close(descriptor);
    return Fail(ReadErrorOf(path, "cannot inspect", number));
  }
  if (!S_ISREG(status.st_mode)) {
    ::close(descriptor);
    const char* const what =
        S_ISDIR(status.st_mode)
            ? "is a folder, not a file"
            : "is not a regular file; a pipe cannot be read here, since a checkpoint is not read "
              "front to back: save it to a file first";
    return Fail(Error{ErrorCode::kUnsupported, what}.In(path));
  }
  return std::unique_ptr<RandomAccessFile>(
      std::make_unique<SystemFile>(path, descriptor, static_cast<std::uint64_t>(status.st_size)));
}

const Files& SystemFiles() noexcept {
  static const RealFiles files;
  return files;
}

void MemoryFiles::Add(std::string path, std::vector<std::byte> bytes) {
  files_.emplace_back(std::move(path),
                      std::make_shared<const std::vector<std::byte>>(std::move(bytes)));
}

void MemoryFiles::Add(std::string path, std::string_view bytes) {
  const auto view = std::as_bytes(std::span(bytes));
  Add(std::move(path), std::vector<std::byte>(view.begin(), view.end()));
}

Result<std::unique_ptr<RandomAccessFile>> MemoryFiles::Open(
    const std::filesystem::path& path) const {
  const std::string key = path.lexically_normal().string();
  for (const auto& [name, bytes] : files_) {
    if (name == key)
      return std::unique_ptr<RandomAccessFile>(std::make_unique<MemoryFile>(name, bytes));
  }
  return Fail(ReadErrorOf(key, "cannot open", ENOENT));
}

bool MemoryFiles::Exists(const std::filesystem::path& path) const {
  const std::string key = path.lexically_normal().string();
  return IsDirectory(path) || std::any_of(files_.begin(), files_.end(),
                                          [&](const auto& file) { return file.first == key; });
}

bool MemoryFiles::IsDirectory(const std::filesystem::path& path) const {
  std::string prefix = path.lexically_normal().string();
  if (prefix.empty() || prefix == ".") return true;
  if (prefix.back() != '/') prefix += '/';
  return std::any_of(files_.begin(), files_.end(),
                     [&](const auto& file) { return file.first.starts_with(prefix); });
}

Result<std::vector<std::string>> MemoryFiles::List(const std::filesystem::path& folder) const {
  std::string prefix = folder.lexically_normal().string();
  if (prefix == ".") prefix.clear();
  if (!prefix.empty() && prefix.back() != '/') prefix += '/';
  std::vector<std::string> names;
  for (const auto& [name, bytes] : files_) {
    if (!name.starts_with(prefix)) continue;
    names.push_back(name.substr(prefix.size(), name.find('/', prefix.size()) - prefix.size()));
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

Result<std::unique_ptr<RandomAccessFile>> MemoryFiles::OpenBeneath(
    const std::filesystem::path& folder, const std::string& name) const {
  CKPT_RETURN_IF_ERROR(CheckPlainRelative(folder, name));
  return Open(folder / name);
}

Result<std::string> ReadWhole(const RandomAccessFile& file, std::uint64_t max_bytes) {
  if (file.size() > max_bytes) {
    return Fail(Error{ErrorCode::kLimitExceeded, "has " + std::to_string(file.size()) +
                                                     " bytes where at most " +
                                                     std::to_string(max_bytes) + " are expected"}
                    .In(file.path()));
  }
  std::string text(static_cast<std::size_t>(file.size()), '\0');
  CKPT_RETURN_IF_ERROR(file.ReadAt(0, std::as_writable_bytes(std::span(text))));
  return text;
}

}  // namespace ckpt::formats
