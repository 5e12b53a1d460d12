#include "formats/torch/strided_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "formats/container/range_stream.h"

namespace ckpt::formats {
namespace {

constexpr std::uint64_t kOutputBlockBytes = std::uint64_t{16} << 20;  // of output
constexpr std::uint64_t kStorageWindowBytes = std::uint64_t{32}
                                              << 20;  // of the storage, read at once
constexpr std::uint64_t kMaxLineWaste = 16;           // bytes read for each byte used, at most

struct Axis {
  std::uint64_t size, stride;
};

// The axes without those of size 1, neighbours merged where they are one run.
std::vector<Axis> Simplify(const Shape& shape, std::span<const std::int64_t> strides) {
  std::vector<Axis> axes;
  for (std::size_t i = 0; i < shape.rank(); ++i) {
    const Axis axis{static_cast<std::uint64_t>(shape[i]), static_cast<std::uint64_t>(strides[i])};
    if (axis.size == 1) continue;
    if (!axes.empty() && axes.back().stride == axis.size * axis.stride) {
      axes.back() = {axes.back().size * axis.size, axis.stride};
    } else {
      axes.push_back(axis);
    }
  }
  return axes;
}

class StridedStream : public TensorStream {
 public:
  StridedStream(ReadStorage read, std::vector<Axis> axes, std::uint64_t offset,
                std::size_t element_bytes)
      : read_(std::move(read)), axes_(std::move(axes)), offset_(offset), item_(element_bytes) {
    if (axes_.empty()) axes_.push_back({1, 1});
    // The block is a range of axis split_ over all of the axes behind it.
    std::uint64_t inner = item_;
    split_ = axes_.size() - 1;
    while (split_ > 0 && inner * axes_[split_].size <= kOutputBlockBytes)
      inner *= axes_[split_--].size;
    step_ = std::max<std::uint64_t>(1, kOutputBlockBytes / inner);
    index_.assign(split_ + 1, 0);
  }

  Result<std::span<const std::byte>> Next() override {
    if (given_ == block_.size()) {
      if (done_) return std::span<const std::byte>();
      CKPT_RETURN_IF_ERROR(GatherBlock());
    }
    const std::size_t whole = std::max<std::size_t>(kStreamChunkBytes / item_, 1) * item_;
    const std::size_t size = std::min(block_.size() - given_, whole);
    const auto chunk = std::span<const std::byte>(block_).subspan(given_, size);
    given_ += size;
    return chunk;
  }

 private:
  Status GatherBlock() {
    std::uint64_t start = offset_;
    for (std::size_t i = 0; i <= split_; ++i) start += index_[i] * axes_[i].stride;
    std::vector<Axis> part(axes_.begin() + static_cast<std::ptrdiff_t>(split_), axes_.end());
    part[0].size = std::min(step_, axes_[split_].size - index_[split_]);
    std::uint64_t count = 1, reach = 0;
    for (const Axis& axis : part) {
      count *= axis.size;
      reach += (axis.size - 1) * axis.stride;
    }
    block_.resize(static_cast<std::size_t>(count * item_));
    given_ = 0;
    if ((reach + 1) <= kStorageWindowBytes / item_) {
      CKPT_RETURN_IF_ERROR(GatherFromWindow(part, start, reach + 1));
    } else {
      CKPT_RETURN_IF_ERROR(GatherLines(part, start));
    }
    Advance(part[0].size);
    return {};
  }

  void Advance(std::uint64_t taken) {
    index_[split_] += taken;
    for (std::size_t i = split_; index_[i] == axes_[i].size; --i) {
      if (i == 0) {
        done_ = true;
        return;
      }
      index_[i] = 0;
      ++index_[i - 1];
    }
  }

  // All that the block touches lies in one range, which is read at once.
  Status GatherFromWindow(const std::vector<Axis>& part, std::uint64_t start,
                          std::uint64_t elements) {
    window_.resize(static_cast<std::size_t>(elements * item_));
    CKPT_RETURN_IF_ERROR(read_(start * item_, window_));
    const Axis& last = part.back();
    std::vector<std::uint64_t> at(part.size(), 0);
    std::byte* out = block_.data();
    std::byte* const end = out + block_.size();
    std::uint64_t from = 0;
    while (out != end) {
      CopyLine(window_.data() + from * item_, last, out);
      out += last.size * item_;
      from = NextLine(part, part.size() - 1, at, from);
    }
    return {};
  }

  void CopyLine(const std::byte* from, const Axis& axis, std::byte* out) const {
    if (axis.stride == 1) {
      std::memcpy(out, from, axis.size * item_);
      return;
    }
    const std::size_t step = static_cast<std::size_t>(axis.stride) * item_;
    for (std::uint64_t i = 0; i < axis.size; ++i, from += step, out += item_) {
      std::memcpy(out, from, item_);
    }
  }

  // Steps over all axes but `line`, the last fastest.
  static std::uint64_t NextLine(const std::vector<Axis>& part, std::size_t line,
                                std::vector<std::uint64_t>& at, std::uint64_t place) {
    for (std::size_t i = part.size(); i-- > 0;) {
      if (i == line) continue;
      place += part[i].stride;
      if (++at[i] < part[i].size) return place;
      place -= part[i].size * part[i].stride;
      at[i] = 0;
    }
    return place;
  }

  // Reads along the axis whose elements lie closest together.
  Status GatherLines(const std::vector<Axis>& part, std::uint64_t start) {
    std::size_t line = 0;
    for (std::size_t i = 0; i < part.size(); ++i) {
      const bool closer = part[i].stride < part[line].stride;
      if (part[i].size > 1 && (part[line].size == 1 || closer)) line = i;
    }
    std::vector<std::uint64_t> out_strides(part.size(), 1);
    for (std::size_t i = part.size() - 1; i-- > 0;) {
      out_strides[i] = out_strides[i + 1] * part[i + 1].size;
    }
    const std::uint64_t lines = block_.size() / item_ / part[line].size;
    std::vector<std::uint64_t> at(part.size(), 0);
    std::uint64_t from = start;
    for (std::uint64_t i = 0; i < lines; ++i) {
      std::uint64_t to = 0;
      for (std::size_t axis = 0; axis < part.size(); ++axis) to += at[axis] * out_strides[axis];
      CKPT_RETURN_IF_ERROR(ReadLine(part[line], from, to, out_strides[line]));
      from = NextLine(part, line, at, from);
    }
    return {};
  }

  Status ReadLine(const Axis& axis, std::uint64_t from, std::uint64_t to, std::uint64_t to_stride) {
    const std::uint64_t span = (axis.size - 1) * axis.stride + 1;
    const bool at_once = axis.stride <= kMaxLineWaste && span <= kStorageWindowBytes / item_;
    window_.resize(at_once ? static_cast<std::size_t>(span * item_) : item_);
    if (at_once) CKPT_RETURN_IF_ERROR(read_(from * item_, window_));
    for (std::uint64_t i = 0; i < axis.size; ++i) {
      const std::uint64_t place = from + i * axis.stride;
      if (!at_once) CKPT_RETURN_IF_ERROR(read_(place * item_, window_));
      std::memcpy(block_.data() + (to + i * to_stride) * item_,
                  window_.data() + (at_once ? i * axis.stride * item_ : 0), item_);
    }
    return {};
  }

  ReadStorage read_;
  std::vector<Axis> axes_;
  std::uint64_t offset_;
  std::size_t item_;
  std::size_t split_ = 0;
  std::uint64_t step_ = 1;
  std::vector<std::uint64_t> index_;  // of the axes up to split_: where the next block begins
  bool done_ = false;
  std::vector<std::byte> block_, window_;
  std::size_t given_ = 0;  // bytes of block_ that were handed out
};

}  // namespace

bool IsContiguous(const Shape& shape, std::span<const std::int64_t> strides) {
  if (shape.element_count() == 0) return true;
  std::uint64_t due = 1;
  for (std::size_t i = shape.rank(); i-- > 0;) {
    if (shape[i] == 1) continue;
    if (static_cast<std::uint64_t>(strides[i]) != due) return false;
    due *= static_cast<std::uint64_t>(shape[i]);
  }
  return true;
}

std::unique_ptr<TensorStream> GatherStrided(ReadStorage read, const Shape& shape,
                                            std::vector<std::int64_t> strides, std::uint64_t offset,
                                            std::size_t element_bytes) {
  return std::make_unique<StridedStream>(std::move(read), Simplify(shape, strides), offset,
                                         element_bytes);
}

}  // namespace ckpt::formats
