#include "formats/container/running_digest.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <vector>

#include "formats/container/memory_headroom.h"
#include "formats/container/system_error.h"

namespace ckpt::formats {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{1} << 20;

}  // namespace

struct RunningDigest::Shared {
  std::mutex mutex;
  std::condition_variable work, done;
  std::vector<std::unique_ptr<RunningDigest>> files = {};
  bool stopping = false, ended = false;
};

void RunningDigest::Settle(std::uint64_t bytes) {
  const std::lock_guard lock(shared_.mutex);
  settled_ = std::max(settled_, bytes);
  if (settled_ - announced_ < kChunkBytes) return;  // the thread is not woken for little
  announced_ = settled_;
  shared_.work.notify_one();
}

void RunningDigest::Spoil() {
  const std::lock_guard lock(shared_.mutex);
  spoiled_ = true;
}

std::unique_ptr<RunningDigests> RunningDigests::Start() {
  auto digests = std::unique_ptr<RunningDigests>(new RunningDigests);
  try {
    digests->thread_ = std::async(std::launch::async, [raw = digests.get()] { raw->Run(); });
  } catch (const std::system_error&) {
    return nullptr;
  }
  return digests;
}

RunningDigests::RunningDigests() : shared_(std::make_unique<RunningDigest::Shared>()) {}

RunningDigests::~RunningDigests() {
  if (!thread_.valid()) return;
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->stopping = true;
  }
  shared_->work.notify_one();
  thread_.wait();
}

RunningDigest* RunningDigests::Follow(int descriptor, std::string path) {
  RequireHeadroom();
  const std::lock_guard lock(shared_->mutex);
  return shared_->files.emplace_back(new RunningDigest(*shared_, descriptor, std::move(path)))
      .get();
}

// REQUIRES: the mutex is held.
RunningDigest* RunningDigests::Next() {
  for (const auto& file : shared_->files) {
    if (file->taken_ < file->settled_ && !file->spoiled_ && !file->failed_) return file.get();
  }
  return nullptr;
}

void RunningDigests::Run() {
  // However it ends, nobody waits for it any more.
  const std::unique_ptr<RunningDigest::Shared, void (*)(RunningDigest::Shared*)> at_end(
      shared_.get(), [](RunningDigest::Shared* shared) {
        const std::lock_guard lock(shared->mutex);
        shared->ended = true;
        shared->done.notify_all();
      });
  RequireHeadroom();
  std::vector<std::byte> chunk(kChunkBytes);
  std::unique_lock lock(shared_->mutex);
  while (!shared_->stopping) {
    RunningDigest* const file = Next();
    if (file == nullptr) {
      shared_->done.notify_all();
      shared_->work.wait(lock);
      continue;
    }
    const std::uint64_t from = file->taken_;
    const auto size =
        static_cast<std::size_t>(std::min<std::uint64_t>(file->settled_ - from, chunk.size()));
    lock.unlock();
    Take(*file, from, std::span(chunk).first(size));
    lock.lock();
  }
}

void RunningDigests::Take(RunningDigest& file, std::uint64_t from, std::span<std::byte> chunk) {
  std::optional<Error> failed;
  std::size_t filled = 0;
  while (filled < chunk.size() && !failed) {
    const ssize_t got = ::pread(file.descriptor_, chunk.data() + filled, chunk.size() - filled,
                                static_cast<off_t>(from + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) failed = ReadErrorOf(file.path_, "cannot read", got < 0 ? errno : EIO);
    if (got > 0) filled += static_cast<std::size_t>(got);
  }
  file.digest_.Update(chunk.first(filled));
  const std::lock_guard lock(shared_->mutex);
  file.taken_ += filled;
  if (failed) file.failed_ = std::move(failed);
}

Result<std::optional<FileDigest>> RunningDigests::Finish(RunningDigest& file, std::uint64_t bytes) {
  std::unique_lock lock(shared_->mutex);
  if (file.settled_ != bytes || file.spoiled_) return std::nullopt;
  shared_->work.notify_one();
  shared_->done.wait(lock, [&] { return file.taken_ == bytes || file.failed_ || shared_->ended; });
  if (file.failed_) return Fail(*file.failed_);
  if (file.taken_ != bytes) {
    lock.unlock();
    if (thread_.valid()) thread_.get();  // throws what ended it
    return std::nullopt;
  }
  std::string finished = std::move(file.digest_).Finish();
  if (finished.empty()) return std::nullopt;  // the file's own reader says why
  return FileDigest{bytes, std::move(finished)};
}

}  // namespace ckpt::formats
