#include <algorithm>
#include <cstring>
#include <utility>

#include "ckpt/axis_order.h"

namespace ckpt {
namespace {

// Fills one part of the result after another; each part takes one pass over the source.
class PermutedStream : public TensorStream {
 public:
  PermutedStream(OpenStream open, std::size_t element_size, AxisOrder order, std::size_t budget)
      : open_(std::move(open)), size_(element_size), order_(std::move(order)) {
    total_ = order_.result.element_count();
    part_ = std::max<std::uint64_t>(1, budget / size_);
    // The step in the result that one step along an axis of the source makes.
    strides_.resize(order_.split.size());
    std::uint64_t stride = 1;
    for (std::size_t k = order_.axes.size(); k-- > 0;) {
      strides_[order_.axes[k]] = stride;
      stride *= static_cast<std::uint64_t>(order_.split[order_.axes[k]]);
    }
  }

  Result<std::span<const std::byte>> Next() override {
    if (sent_ == buffer_.size()) {
      if (done_ == total_) {
        if (total_ == 0) CKPT_RETURN_IF_ERROR(Fill(0, 0));
        return std::span<const std::byte>();
      }
      const std::uint64_t count = std::min(part_, total_ - done_);
      CKPT_RETURN_IF_ERROR(Fill(done_, count));
      done_ += count;
      sent_ = 0;
    }
    const std::size_t now = std::min(buffer_.size() - sent_, kChunk - kChunk % size_);
    const auto piece = std::span<const std::byte>(buffer_).subspan(sent_, now);
    sent_ += now;
    return piece;
  }

 private:
  static constexpr std::size_t kChunk = std::size_t{1} << 20;

  // Elements [first, first + count) of the result.
  Status Fill(std::uint64_t first, std::uint64_t count) {
    buffer_.resize(static_cast<std::size_t>(count) * size_);
    CKPT_ASSIGN_OR_RETURN(const auto stream, open_());
    Cursor cursor{std::vector<std::int64_t>(order_.split.size(), 0)};
    std::uint64_t seen = 0;
    while (true) {
      CKPT_ASSIGN_OR_RETURN(const auto chunk, stream->Next());
      if (chunk.empty()) break;
      const std::uint64_t elements = chunk.size() / size_;
      if (chunk.size() % size_ != 0 || elements > total_ - seen) return WrongSize();
      seen += elements;
      switch (size_) {  // so that the compiler knows how much is copied
        case 2:
          Scatter<2>(chunk, first, count, cursor);
          break;
        case 4:
          Scatter<4>(chunk, first, count, cursor);
          break;
        case 8:
          Scatter<8>(chunk, first, count, cursor);
          break;
        default:
          Scatter<0>(chunk, first, count, cursor);
          break;
      }
    }
    return seen == total_ ? Status{} : WrongSize();
  }

  // Where the next element of the source goes.
  struct Cursor {
    std::vector<std::int64_t> index;
    std::uint64_t place = 0;
  };

  template <std::size_t kSize>  // 0: any
  void Scatter(std::span<const std::byte> chunk, std::uint64_t first, std::uint64_t count,
               Cursor& cursor) {
    const std::size_t size = kSize == 0 ? size_ : kSize;
    for (std::size_t at = 0; at < chunk.size(); at += size) {
      const std::uint64_t place = cursor.place - first;  // wraps around below `first`
      if (place < count) std::memcpy(buffer_.data() + place * size, chunk.data() + at, size);
      Step(cursor);
    }
  }

  void Step(Cursor& cursor) const {
    for (std::size_t axis = cursor.index.size(); axis-- > 0;) {
      cursor.place += strides_[axis];
      if (++cursor.index[axis] < order_.split[axis]) return;
      cursor.place -= strides_[axis] * static_cast<std::uint64_t>(order_.split[axis]);
      cursor.index[axis] = 0;
    }
  }

  static Status WrongSize() {
    return Fail(ErrorCode::kCorrupt, "does not have as many elements as its shape says");
  }

  OpenStream open_;
  std::size_t size_;
  AxisOrder order_;
  std::uint64_t total_ = 0, part_ = 1, done_ = 0;
  std::vector<std::uint64_t> strides_;
  std::vector<std::byte> buffer_;
  std::size_t sent_ = 0;
};

}  // namespace

std::unique_ptr<TensorStream> Permute(OpenStream open, std::size_t element_size, AxisOrder order,
                                      std::size_t budget) {
  return std::make_unique<PermutedStream>(std::move(open), element_size, std::move(order), budget);
}

}  // namespace ckpt
