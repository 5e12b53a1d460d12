#include <algorithm>
#include <cstring>
#include <utility>

#include "ckpt/axis_order.h"
#include "layout/reordered_array.h"

namespace ckpt {
namespace {

Status WrongSize() {
  return Fail(ErrorCode::kCorrupt, "does not have as many elements as its shape says");
}

// Bytes that are written before they are read, so that nothing clears them.
class Buffer {
 public:
  void Resize(std::size_t size) {
    if (size > capacity_) {
      bytes_ = std::make_unique_for_overwrite<std::byte[]>(size);
      capacity_ = size;
    }
    size_ = size;
  }
  std::span<std::byte> bytes() const { return {bytes_.get(), size_}; }
  std::size_t size() const { return size_; }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  std::size_t size_ = 0, capacity_ = 0;
};

// A result that fits into the budget is put in order as a whole. A larger one is filled part after
// part; each part takes one pass over the source.
class PermutedStream : public TensorStream {
 public:
  PermutedStream(OpenStream open, std::size_t element_size, AxisOrder order, std::size_t budget)
      : open_(std::move(open)),
        size_(element_size),
        order_(std::move(order)),
        total_(order_.result.element_count()),
        part_(std::max<std::uint64_t>(1, budget / size_)) {}

  Result<std::span<const std::byte>> Next() override {
    if (sent_ == buffer_.size()) {
      if (done_ == total_) {
        if (total_ == 0) CKPT_RETURN_IF_ERROR(Scatter(0, 0));
        return std::span<const std::byte>();
      }
      const std::uint64_t count = std::min(part_, total_ - done_);
      CKPT_RETURN_IF_ERROR(count == total_ ? Gather() : Scatter(done_, count));
      done_ += count;
      sent_ = 0;
    }
    const std::size_t now = std::min(buffer_.size() - sent_, kChunk - kChunk % size_);
    const auto piece = std::span<const std::byte>(buffer_.bytes()).subspan(sent_, now);
    sent_ += now;
    return piece;
  }

 private:
  static constexpr std::size_t kChunk = std::size_t{1} << 20;

  // Hands all bytes of the source to `take`, a whole number of elements at a time.
  template <class Take>
  Status ReadSource(const Take& take) const {
    CKPT_ASSIGN_OR_RETURN(const auto stream, open_());
    std::uint64_t seen = 0;
    while (true) {
      CKPT_ASSIGN_OR_RETURN(const auto chunk, stream->Next());
      if (chunk.empty()) break;
      if (chunk.size() % size_ != 0 || chunk.size() / size_ > total_ - seen) return WrongSize();
      take(chunk, seen);
      seen += chunk.size() / size_;
    }
    return seen == total_ ? Status{} : WrongSize();
  }

  // The whole result.
  Status Gather() {
    Buffer source;
    source.Resize(static_cast<std::size_t>(total_) * size_);
    CKPT_RETURN_IF_ERROR(ReadSource([&](std::span<const std::byte> chunk, std::uint64_t seen) {
      std::memcpy(source.bytes().data() + seen * size_, chunk.data(), chunk.size());
    }));
    buffer_.Resize(source.size());
    ReorderArray(order_, size_, source.bytes(), buffer_.bytes());
    return {};
  }

  // Elements [first, first + count) of the result.
  Status Scatter(std::uint64_t first, std::uint64_t count) {
    buffer_.Resize(static_cast<std::size_t>(count) * size_);
    ArrayScatter scatter(order_, size_, first, buffer_.bytes());
    return ReadSource(
        [&](std::span<const std::byte> chunk, std::uint64_t) { scatter.Take(chunk); });
  }

  OpenStream open_;
  std::size_t size_;
  AxisOrder order_;
  std::uint64_t total_, part_, done_ = 0;
  Buffer buffer_;
  std::size_t sent_ = 0;
};

}  // namespace

std::unique_ptr<TensorStream> Permute(OpenStream open, std::size_t element_size, AxisOrder order,
                                      std::size_t budget) {
  return std::make_unique<PermutedStream>(std::move(open), element_size, std::move(order), budget);
}

}  // namespace ckpt
