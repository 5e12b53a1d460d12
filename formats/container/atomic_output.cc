#include "formats/container/atomic_output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <set>
#include <system_error>

namespace ckpt::formats {
namespace {

// Temporary paths of this process, in storage that a signal handler may read.
constexpr std::size_t kSlots = 256, kPathBytes = 4096;
struct PartialSlot {
  std::atomic<bool> used{false}, ready{false};
  std::array<char, kPathBytes> path{};
};
std::array<PartialSlot, kSlots>& Slots() noexcept {
  static std::array<PartialSlot, kSlots> slots;
  return slots;
}

PartialSlot* RegisterPartial(const std::string& path) noexcept {
  if (path.size() + 1 > kPathBytes) return nullptr;
  for (PartialSlot& slot : Slots()) {
    bool expected = false;
    if (!slot.used.compare_exchange_strong(expected, true)) continue;
    std::memcpy(slot.path.data(), path.c_str(), path.size() + 1);
    slot.ready.store(true, std::memory_order_release);
    return &slot;
  }
  return nullptr;
}

void ReleasePartial(PartialSlot* slot) noexcept {
  if (slot == nullptr) return;
  slot->ready.store(false);
  slot->used.store(false);
}

Error SystemError(const std::filesystem::path& path, std::string_view what, int number) {
  return Error{ErrorCode::kIo,
               std::string(what) + ": " + std::generic_category().message(number),
               path.string(),
               {},
               {}};
}

Status WriteAll(int descriptor, const std::filesystem::path& path, std::span<const std::byte> bytes,
                std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t put =
        ::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return Fail(SystemError(path, "cannot write", put < 0 ? errno : ENOSPC));
    bytes = bytes.subspan(static_cast<std::size_t>(put));
    offset += static_cast<std::uint64_t>(put);
  }
  return {};
}

Status SyncPath(const std::filesystem::path& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC);
  if (descriptor < 0) return Fail(SystemError(path, "cannot open to flush", errno));
  const int failed = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  // Some file systems refuse fsync on a folder; that is no failure of the data.
  if (failed != 0 && !((flags & O_DIRECTORY) != 0 && (failed == EINVAL || failed == EROFS))) {
    return Fail(SystemError(path, "cannot flush to the disk", failed));
  }
  return {};
}

class PartialFile : public OutputFile {
 public:
  PartialFile(std::filesystem::path target, std::filesystem::path temporary, int descriptor)
      : target_(std::move(target)),
        temporary_(std::move(temporary)),
        descriptor_(descriptor),
        slot_(RegisterPartial(temporary_.string())) {}
  ~PartialFile() override {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!renamed_) ::unlink(temporary_.c_str());
    ReleasePartial(slot_);
  }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  Status Append(std::span<const std::byte> bytes) override {
    CKPT_RETURN_IF_ERROR(WriteAll(descriptor_, target_, bytes, size_));
    size_ += bytes.size();
    return {};
  }
  Status WriteAt(std::uint64_t offset, std::span<const std::byte> bytes) override {
    return WriteAll(descriptor_, target_, bytes, offset);
  }
  std::uint64_t size() const noexcept override { return size_; }
  const std::filesystem::path& temporary_path() const noexcept override { return temporary_; }
  const std::filesystem::path& target() const noexcept { return target_; }

  // The size of the file stays 0, so that no zeros are left of what is not written.
  Status Reserve(std::uint64_t bytes) {
    const int failed =
        ::fallocate(descriptor_, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes)) == 0 ? 0
                                                                                         : errno;
    if (failed == ENOSPC || failed == EFBIG || failed == EDQUOT) {
      return Fail(
          SystemError(target_, "cannot reserve " + std::to_string(bytes) + " bytes", failed));
    }
    return {};  // other failures: the file system cannot reserve
  }

  Status Flush() {
    // Gives back what was reserved and not appended.
    if (size_ > 0 && ::ftruncate(descriptor_, static_cast<off_t>(size_)) != 0) {
      return Fail(SystemError(target_, "cannot truncate", errno));
    }
    // A library that wrote by path may have replaced the file: flush what the path names now.
    CKPT_RETURN_IF_ERROR(SyncPath(temporary_, O_RDWR));
    const int closing = descriptor_;
    descriptor_ = -1;
    if (::close(closing) != 0) return Fail(SystemError(target_, "cannot close", errno));
    return {};
  }

  Status Rename(AtomicOutput::Overwrite overwrite) {
    const unsigned flags = overwrite == AtomicOutput::Overwrite::kRefuse ? RENAME_NOREPLACE : 0;
    int failed = ::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, target_.c_str(), flags) == 0
                     ? 0
                     : errno;
    if (failed == EINVAL && flags != 0) {  // the file system has no RENAME_NOREPLACE
      failed = ::rename(temporary_.c_str(), target_.c_str()) == 0 ? 0 : errno;
    }
    if (failed == EEXIST)
      return Fail(Error{ErrorCode::kAlreadyExists, "exists already", target_.string(), {}, {}});
    if (failed != 0) return Fail(SystemError(target_, "cannot rename into place", failed));
    renamed_ = true;
    return {};
  }

 private:
  std::filesystem::path target_, temporary_;
  int descriptor_;
  PartialSlot* slot_;
  std::uint64_t size_ = 0;
  bool renamed_ = false;
};

}  // namespace

struct AtomicOutput::State {
  Overwrite overwrite = Overwrite::kRefuse;
  std::vector<std::unique_ptr<PartialFile>> files;
  std::vector<std::filesystem::path> stale;
};

AtomicOutput::AtomicOutput(Overwrite overwrite) : state_(std::make_unique<State>()) {
  state_->overwrite = overwrite;
}
AtomicOutput::~AtomicOutput() = default;

Result<OutputFile*> AtomicOutput::Create(const std::filesystem::path& target,
                                         std::uint64_t expected_size) {
  std::error_code ignored;
  if (state_->overwrite == Overwrite::kRefuse &&
      std::filesystem::exists(std::filesystem::symlink_status(target, ignored))) {
    return Fail(Error{
        ErrorCode::kAlreadyExists, "exists already; --force replaces it", target.string(), {}, {}});
  }
  if (std::filesystem::is_directory(target, ignored)) {
    return Fail(Error{ErrorCode::kInvalidArgument, "is a folder", target.string(), {}, {}});
  }
  static std::atomic<unsigned> counter{0};
  const std::filesystem::path temporary =
      target.parent_path() / ("." + target.filename().string() + "." + std::to_string(::getpid()) +
                              "-" + std::to_string(counter++) + ".partial");
  const int descriptor =
      ::open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (descriptor < 0) return Fail(SystemError(target, "cannot create", errno));
  state_->files.push_back(std::make_unique<PartialFile>(target, temporary, descriptor));
  if (expected_size > 0) CKPT_RETURN_IF_ERROR(state_->files.back()->Reserve(expected_size));
  return state_->files.back().get();
}

void AtomicOutput::RemoveAtCommit(std::filesystem::path stale) {
  state_->stale.push_back(std::move(stale));
}

Status AtomicOutput::Commit() {
  for (const auto& file : state_->files) CKPT_RETURN_IF_ERROR(file->Flush());
  std::set<std::filesystem::path> folders;
  for (const auto& file : state_->files) {
    CKPT_RETURN_IF_ERROR(file->Rename(state_->overwrite));
    const auto folder = file->target().parent_path();
    folders.insert(folder.empty() ? "." : folder);
  }
  for (const auto& stale : state_->stale) {
    std::error_code ignored;
    std::filesystem::remove(stale, ignored);
  }
  for (const auto& folder : folders) CKPT_RETURN_IF_ERROR(SyncPath(folder, O_RDONLY | O_DIRECTORY));
  return {};
}

void RemovePartialOutputs() noexcept {
  for (PartialSlot& slot : Slots()) {
    if (slot.ready.load(std::memory_order_acquire)) ::unlink(slot.path.data());
  }
}

}  // namespace ckpt::formats
