// The bytes of one remote file, fetched as they are asked for and kept in a nameless file on the
// disk, so that none is fetched twice.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ckpt/result.h"
#include "formats/container/file.h"
#include "formats/container/scratch_file.h"
#include "formats/remote/covered_ranges.h"
#include "formats/remote/fetch_client.h"

namespace ckpt::formats {

// Is told of bytes as they arrive, and with no bytes when what was asked for is there; from any
// thread.
using FetchProgress = std::function<void(const std::string& shown, std::uint64_t bytes)>;

// Safe for use from several threads.
class RemoteBody {
 public:
  static Result<std::shared_ptr<RemoteBody>> Open(std::shared_ptr<FetchClient> client,
                                                  std::string shown, FetchProgress progress);
  ~RemoteBody();
  RemoteBody(const RemoteBody&) = delete;
  RemoteBody& operator=(const RemoteBody&) = delete;

  const std::string& shown() const noexcept { return shown_; }
  std::uint64_t size() const noexcept { return size_; }
  // The server's word for what is read; empty where it has none.
  const std::string& version() const noexcept { return version_; }
  // As RandomAccessFile has them.
  Status ReadAt(std::uint64_t offset, std::span<std::byte> out);
  void WillRead(std::uint64_t offset, std::uint64_t size);
  Result<std::shared_ptr<const RandomAccessFile>> OnDisk(std::uint64_t offset, std::uint64_t size);

 private:
  RemoteBody(std::shared_ptr<FetchClient> client, std::string shown, FetchProgress progress,
             std::unique_ptr<ScratchFile> disk)
      : client_(std::move(client)),
        shown_(std::move(shown)),
        progress_(std::move(progress)),
        disk_(std::move(disk)) {}

  // Until all of `range` is there.
  Status Fetch(ByteRange range);
  // What to ask for now, `missing` first; marked as on its way. mutex_ is held.
  std::vector<ByteRange> Plan(const std::vector<ByteRange>& missing);
  void PlanWished(std::vector<ByteRange>& plan);
  bool GoesOn(ByteRange missing) const;
  ByteRange Widened(ByteRange missing);
  void AddPieces(ByteRange range, std::vector<ByteRange>& plan);
  bool IsFull(const std::vector<ByteRange>& plan) const;
  bool MayAdd(std::uint64_t extra) const;  // bytes that nobody asked for
  Status Ask(const std::vector<ByteRange>& plan);
  class Arrival;

  const std::shared_ptr<FetchClient> client_;
  const std::string shown_;
  const FetchProgress progress_;
  const std::unique_ptr<ScratchFile> disk_;
  std::uint64_t file_ = 0, size_ = 0;
  std::string version_;

  std::mutex mutex_;  // of all below
  std::condition_variable changed_;
  CoveredRanges here_, coming_;
  std::vector<ByteRange> wished_;        // that will be read front to back
  std::uint64_t last_end_ = 0;           // of the last range that was missing
  std::uint64_t streak_ = 0;             // bytes that were missing one after the other
  std::uint64_t turns_ = 0;              // in so many reads
  std::uint64_t asked_ = 0, extra_ = 0;  // bytes that were missing or wished; beyond these
  std::uint64_t planned_ = 0;            // bytes of the plan that is being made
  bool is_sorted_ = true;                // wished_
  std::optional<Error> broken_;          // the first failure; nothing is asked for after it
};

}  // namespace ckpt::formats
