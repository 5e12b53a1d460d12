// SHA-256 of files while they are written: a thread beside the writer takes what was written from
// the system's cache, where it still is.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "ckpt/sha256.h"
#include "formats/container/file_digest.h"

namespace ckpt::formats {

// One file. What its writer calls does not wait.
class RunningDigest {
 public:
  // The first `bytes` of the file are as they will stay. They never get fewer.
  void Settle(std::uint64_t bytes);
  // Bytes that were settled were written over: the digest is not to be had here.
  void Spoil();

 private:
  friend class RunningDigests;
  struct Shared;
  RunningDigest(Shared& shared, int descriptor, std::string path)
      : shared_(shared), descriptor_(descriptor), path_(std::move(path)) {}

  Shared& shared_;
  const int descriptor_;
  const std::string path_;  // for messages
  Sha256Digest digest_;     // the thread's alone until `taken_` is all of it
  // Guarded by the mutex of `shared_`.
  std::uint64_t settled_ = 0, announced_ = 0, taken_ = 0;
  bool spoiled_ = false;
  std::optional<Error> failed_ = {};
};

class RunningDigests {
 public:
  // Null where no thread is to be had: digests are taken afterwards then.
  static std::unique_ptr<RunningDigests> Start();
  // Takes nothing more.
  ~RunningDigests();
  RunningDigests(const RunningDigests&) = delete;
  RunningDigests& operator=(const RunningDigests&) = delete;

  // `descriptor` is read from and has to stay open as long as this lives.
  RunningDigest* Follow(int descriptor, std::string path);

  // Waits for the first `bytes`, which the writer settled. Absent where it was spoiled, or is not
  // of this size. What went wrong in the thread, memory that was not to be had included, comes out
  // here.
  Result<std::optional<FileDigest>> Finish(RunningDigest& file, std::uint64_t bytes);

 private:
  RunningDigests();
  void Run();
  RunningDigest* Next();
  void Take(RunningDigest& file, std::uint64_t from, std::span<std::byte> chunk);

  std::unique_ptr<RunningDigest::Shared> shared_;
  std::future<void> thread_;
};

}  // namespace ckpt::formats
