#include "formats/container/staging_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <optional>
#include <span>
#include <vector>

#include "formats/container/commit_journal.h"
#include "formats/container/folder_lock.h"
#include "formats/container/folder_removal.h"
#include "formats/container/system_error.h"

namespace ckpt::formats {

namespace fs = std::filesystem;

void StagingFolder::Descriptors::CloseSpare() noexcept {
  for (std::atomic<int>& descriptor : spare) {
    if (const int open = descriptor.exchange(-1); open >= 0) ::close(open);
  }
}

// Paths of this process' staging folders, in storage that a signal handler may read.
struct StagingFolder::Slot {
  std::atomic<bool> used{false}, ready{false};
  Descriptors descriptors;
  std::array<char, 4096> path{};

  static std::array<Slot, 64>& All() noexcept {
    static std::array<Slot, 64> slots;
    return slots;
  }
  static Slot* Take(const std::string& path) noexcept {
    for (Slot& slot : All()) {
      bool expected = false;
      if (path.size() >= slot.path.size()) return nullptr;
      if (!slot.used.compare_exchange_strong(expected, true)) continue;
      std::memcpy(slot.path.data(), path.c_str(), path.size() + 1);
      slot.ready.store(true, std::memory_order_release);
      return &slot;
    }
    return nullptr;
  }
  static void Release(Slot* slot) noexcept {
    if (slot == nullptr) return;
    slot->ready.store(false);
    slot->used.store(false);
  }
};

namespace {

constexpr std::string_view kPrefix = ".ckpt-", kSuffix = ".partial";
constexpr int kTries = 16;
constexpr const char* kLock = "lock";

// Fills `bytes` with what nobody can guess; 0, else errno's number.
int Randomise(std::span<unsigned char> bytes) {
  if (::getrandom(bytes.data(), bytes.size(), 0) == std::ssize(bytes)) return 0;
  // Where a sandbox refuses the call.
  const int device = ::open("/dev/urandom", O_RDONLY | O_CLOEXEC);
  if (device < 0) return errno;
  const ssize_t got = ::read(device, bytes.data(), bytes.size());
  const int failed = got < 0 ? errno : got < std::ssize(bytes) ? EIO : 0;
  ::close(device);
  return failed;
}

Result<std::string> RandomName() {
  std::array<unsigned char, 8> bytes{};
  if (const int failed = Randomise(bytes); failed != 0) {
    return Fail(
        SystemErrorOf("/dev/urandom", "cannot draw the name of a temporary folder", failed));
  }
  std::string name(kPrefix);
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const unsigned char byte : bytes) {
    name += kDigits[byte >> 4];
    name += kDigits[byte & 15];
  }
  return name + std::string(kSuffix);
}

// Somebody else's folder of such a name is not touched, whatever is in it.
bool IsOurs(const fs::path& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode) &&
         status.st_uid == ::geteuid() && (status.st_mode & 077) == 0;
}

// Removes the folder of a dead run.
void RemoveIfDead(const fs::path& parent, const fs::path& path) {
  if (!IsOurs(path)) return;
  const int lock = ::open((path / kLock).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (lock < 0) {
    if (errno == ENOENT) ::rmdir(path.c_str());  // empty: the run died, or begins again elsewhere
    return;
  }
  if (::flock(lock, LOCK_EX | LOCK_NB) == 0) {
    // Not while a live run puts files in place beside it: then a later run does it.
    const auto placing = FolderLocks::Take({&parent, 1}, std::chrono::seconds(1));
    if (placing && SettleCommit(parent, path)) RemoveTree(path.c_str(), kLock);
  }
  ::close(lock);
}

}  // namespace

bool IsStagingName(std::string_view name) noexcept {
  return name.size() > kPrefix.size() + kSuffix.size() && name.starts_with(kPrefix) &&
         name.ends_with(kSuffix);
}

void RemoveLeftovers(const fs::path& parent) {
  const fs::path folder = parent.empty() ? "." : parent;
  std::error_code failed;
  std::vector<fs::path> found;
  for (fs::directory_iterator it(folder, failed), end; !failed && it != end; it.increment(failed)) {
    const std::string name = it->path().filename().string();
    if (IsStagingName(name)) found.push_back(folder / name);
  }
  for (const fs::path& path : found) RemoveIfDead(folder, path);
}

// 0, else errno's number, EAGAIN where another run took it for a dead one's in between.
int StagingFolder::MakeAndLock() {
  const fs::path lock_path = path_ / kLock;
  if (::mkdir(path_.c_str(), 0700) != 0) return errno;
  made_ = true;
  const int lock =
      ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  int failed = lock < 0 ? errno : 0;
  descriptors().lock = lock;
  for (std::atomic<int>& spare : descriptors().spare) {
    if (failed == 0) spare = ::fcntl(lock, F_DUPFD_CLOEXEC, 0);
    if (failed == 0 && spare < 0) failed = errno;
  }
  if (failed == 0 && ::flock(lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) failed = EAGAIN;
  struct stat status {};
  if (failed == 0 && (::fstat(lock, &status) != 0 || status.st_nlink == 0)) failed = EAGAIN;
  const fs::path parts[] = {path_ / "new", path_ / "old"};
  for (const fs::path& part : parts) {
    if (failed == 0 && ::mkdir(part.c_str(), 0700) != 0) failed = errno;
  }
  if (failed == 0) return 0;
  // By name: another thread may take the descriptors that there are.
  for (const fs::path& part : parts) ::rmdir(part.c_str());
  ::unlink(lock_path.c_str());
  made_ = ::rmdir(path_.c_str()) != 0;
  return failed;
}

Result<std::unique_ptr<StagingFolder>> StagingFolder::Create(const fs::path& parent) {
  const fs::path folder = parent.empty() ? "." : parent;
  RemoveLeftovers(folder);
  for (int attempt = 0;; ++attempt) {
    CKPT_ASSIGN_OR_RETURN(const std::string name, RandomName());
    const fs::path path = folder / name;
    // Registered first: a signal may come as soon as it is there.
    std::unique_ptr<StagingFolder> made(new StagingFolder(parent, path, Slot::Take(path.string())));
    const int failed = made->MakeAndLock();
    if (failed == 0) return made;
    std::error_code ignored;
    const bool again = failed == EAGAIN || failed == EEXIST ||
                       (failed == ENOENT && fs::is_directory(folder, ignored));
    if (!again || attempt == kTries) return Fail(SystemErrorOf(folder, "cannot create", failed));
  }
}

StagingFolder::StagingFolder(fs::path parent, fs::path path, Slot* slot)
    : parent_(std::move(parent)), path_(std::move(path)), slot_(slot) {}

StagingFolder::Descriptors& StagingFolder::descriptors() noexcept {
  return slot_ == nullptr ? own_ : slot_->descriptors;
}

StagingFolder::~StagingFolder() {
  descriptors().CloseSpare();
  if (made_) RemoveTree(path_.c_str(), kLock);
  if (const int lock = descriptors().lock.exchange(-1); lock >= 0) ::close(lock);
  Slot::Release(slot_);
}

void RemoveStagingFolders() noexcept {
  for (StagingFolder::Slot& slot : StagingFolder::Slot::All()) {
    if (!slot.ready.load(std::memory_order_acquire)) continue;
    slot.descriptors.CloseSpare();
    RemoveTree(slot.path.data(), kLock);
  }
}

}  // namespace ckpt::formats
