#include "diff/compare.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace ckpt {
namespace {

using Bytes = std::span<const std::byte>;

// The unread rest of one tensor.
class Source {
 public:
  Source(const TensorInfo& info, std::unique_ptr<TensorStream> stream)
      : info_(info), stream_(std::move(stream)) {}

  // Makes `rest` non-empty, unless the tensor ends.
  Status Refill() {
    if (!rest_.empty()) return {};
    CKPT_ASSIGN_OR_RETURN(rest_, stream_->Next());
    read_ += rest_.size();
    return {};
  }
  Bytes rest() const { return rest_; }
  Bytes Take(std::size_t size) {
    const Bytes taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }
  std::uint64_t read() const { return read_; }

  tl::unexpected<Error> EndsEarly() const {
    Error error{ErrorCode::kCorrupt, "ends after " + std::to_string(read_) + " bytes of " +
                                         std::to_string(info_.byte_size)};
    error.file = info_.data_file;
    error.tensor = info_.name;
    return Fail(std::move(error));
  }

 private:
  const TensorInfo& info_;
  std::unique_ptr<TensorStream> stream_;
  Bytes rest_;
  std::uint64_t read_ = 0;
};

Result<Source> OpenSource(const Checkpoint& checkpoint, TensorId id,
                          const AxisOrder* order = nullptr) {
  const TensorInfo& info = checkpoint.manifest().tensors[id.index];
  if (order != nullptr && !IsIdentity(*order)) {
    return Source(info, Permute([&checkpoint, id] { return checkpoint.Open(id); },
                                BitSize(info.dtype) / 8, *order));
  }
  CKPT_ASSIGN_OR_RETURN(auto stream, checkpoint.Open(id));
  return Source(info, std::move(stream));
}

bool SameBytes(Bytes a, Bytes b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

// Bytes of one element, where all have the same number.
std::uint64_t ElementSize(const TensorInfo& info) {
  if (const unsigned bits = BitSize(info.dtype); bits != 0) return bits % 8 == 0 ? bits / 8 : 1;
  const std::uint64_t count = info.shape.element_count();
  const bool even = count != 0 && info.byte_size % count == 0;
  return even ? std::max<std::uint64_t>(1, info.byte_size / count) : 1;
}

// Calls `each(a, b)` for the bytes of both in pieces of as many elements on either side.
template <class Each>
Status ForEachPiece(Source& a, std::uint64_t size_a, Source& b, std::uint64_t size_b, Each each) {
  while (true) {
    CKPT_RETURN_IF_ERROR(a.Refill());
    CKPT_RETURN_IF_ERROR(b.Refill());
    const std::size_t count = std::min(a.rest().size() / size_a, b.rest().size() / size_b);
    if (count == 0) {
      if (a.rest().empty() && b.rest().empty()) return {};
      return a.rest().size() < size_a ? a.EndsEarly() : b.EndsEarly();
    }
    const Bytes part_a = a.Take(count * size_a), part_b = b.Take(count * size_b);
    CKPT_RETURN_IF_ERROR(each(part_a, part_b));
  }
}

// Adds the first `size` bytes of a tensor, which are the same in both.
Status AddEqualStart(const Checkpoint& checkpoint, TensorId id, std::uint64_t size,
                     TensorComparison& result, ElementComparison& elements) {
  CKPT_ASSIGN_OR_RETURN(Source source, OpenSource(checkpoint, id));
  while (size > 0) {
    CKPT_RETURN_IF_ERROR(source.Refill());
    if (source.rest().empty()) return source.EndsEarly();
    const std::uint64_t now = std::min<std::uint64_t>(size, source.rest().size());
    elements.AddEqual(source.Take(static_cast<std::size_t>(now)));
    size -= now;
  }
  result.bytes_read += source.read();
  return {};
}

Status CompareNumbers(const Checkpoint& checkpoint_a, TensorId id_a, Source& a, Dtype dtype_a,
                      Source& b, Dtype dtype_b, Tolerance tolerance, TensorComparison& result) {
  std::optional<ElementComparison> elements;  // from the first difference on
  std::uint64_t same_start = 0;               // bytes before it
  const bool one_type = dtype_a == dtype_b;
  if (!one_type) elements.emplace(dtype_a, dtype_b, tolerance);
  const auto add = [&](Bytes x, Bytes y) -> Status {
    const bool same = one_type && SameBytes(x, y);
    if (same && !elements) {
      same_start += x.size();
      return {};
    }
    if (!elements) {
      elements.emplace(dtype_a, dtype_b, tolerance);
      CKPT_RETURN_IF_ERROR(AddEqualStart(checkpoint_a, id_a, same_start, result, *elements));
    }
    if (same) {
      elements->AddEqual(x);
    } else {
      elements->Add(x, y);
    }
    return {};
  };
  CKPT_RETURN_IF_ERROR(ForEachPiece(a, BitSize(dtype_a) / 8, b, BitSize(dtype_b) / 8, add));
  result.same_bits = !elements;
  if (elements) result.statistics = elements->Finish();
  return {};
}

Status CompareOpaque(Source& a, Source& b, std::uint64_t size, TensorComparison& result) {
  return ForEachPiece(a, size, b, size, [&](Bytes x, Bytes y) -> Status {
    if (SameBytes(x, y)) return {};
    for (std::size_t at = 0; at < x.size(); at += size) {
      if (!SameBytes(x.subspan(at, size), y.subspan(at, size))) ++result.statistics.differing;
    }
    return {};
  });
}

// The length in front of the next string; the stream may be cut anywhere.
Result<std::uint64_t> TakeLength(Source& source) {
  std::uint64_t length = 0;
  for (int shift = 0; shift < 64; shift += 8) {
    CKPT_RETURN_IF_ERROR(source.Refill());
    if (source.rest().empty()) return source.EndsEarly();
    length |= std::to_integer<std::uint64_t>(source.Take(1)[0]) << shift;
  }
  return length;
}

Status Skip(Source& source, std::uint64_t size) {
  while (size > 0) {
    CKPT_RETURN_IF_ERROR(source.Refill());
    if (source.rest().empty()) return source.EndsEarly();
    size -= source.Take(std::min<std::uint64_t>(size, source.rest().size())).size();
  }
  return {};
}

// Takes `size` bytes of both.
Result<bool> TakeSame(Source& a, Source& b, std::uint64_t size) {
  bool same = true;
  while (size > 0) {
    CKPT_RETURN_IF_ERROR(a.Refill());
    CKPT_RETURN_IF_ERROR(b.Refill());
    const std::uint64_t now = std::min<std::uint64_t>({size, a.rest().size(), b.rest().size()});
    if (now == 0) return a.rest().empty() ? a.EndsEarly() : b.EndsEarly();
    const Bytes x = a.Take(now), y = b.Take(now);
    same = same && SameBytes(x, y);
    size -= now;
  }
  return same;
}

Status CompareStrings(Source& a, Source& b, std::uint64_t count, TensorComparison& result) {
  for (std::uint64_t i = 0; i < count; ++i) {
    CKPT_ASSIGN_OR_RETURN(const std::uint64_t length_a, TakeLength(a));
    CKPT_ASSIGN_OR_RETURN(const std::uint64_t length_b, TakeLength(b));
    bool same = length_a == length_b;
    if (same) {
      CKPT_ASSIGN_OR_RETURN(same, TakeSame(a, b, length_a));
    } else {
      CKPT_RETURN_IF_ERROR(Skip(a, length_a));
      CKPT_RETURN_IF_ERROR(Skip(b, length_b));
    }
    if (!same) ++result.statistics.differing;
  }
  CKPT_RETURN_IF_ERROR(a.Refill());  // so that checksums at the end are checked
  return b.Refill();
}

}  // namespace

bool CanCompare(const TensorInfo& a, const TensorInfo& b) noexcept {
  if (AreComparable(a.dtype, b.dtype)) return true;
  return a.dtype == b.dtype && (a.dtype == Dtype::kString || ElementSize(a) == ElementSize(b));
}

Result<TensorComparison> CompareTensors(const Checkpoint& a, TensorId id_a, const Checkpoint& b,
                                        TensorId id_b, Tolerance tolerance,
                                        const AxisOrder* order_of_b) {
  const TensorInfo& info_a = a.manifest().tensors[id_a.index];
  const TensorInfo& info_b = b.manifest().tensors[id_b.index];
  CKPT_ASSIGN_OR_RETURN(Source source_a, OpenSource(a, id_a));
  CKPT_ASSIGN_OR_RETURN(Source source_b, OpenSource(b, id_b, order_of_b));
  TensorComparison result;
  if (AreComparable(info_a.dtype, info_b.dtype)) {
    CKPT_RETURN_IF_ERROR(
        CompareNumbers(a, id_a, source_a, info_a.dtype, source_b, info_b.dtype, tolerance, result));
  } else {
    result.as_bytes = true;
    const std::uint64_t count = info_a.shape.element_count();
    CKPT_RETURN_IF_ERROR(info_a.dtype == Dtype::kString
                             ? CompareStrings(source_a, source_b, count, result)
                             : CompareOpaque(source_a, source_b, ElementSize(info_a), result));
    result.same_bits = result.statistics.differing == 0;
    result.statistics.beyond_tolerance = result.statistics.differing;
  }
  result.bytes_read += source_a.read() + source_b.read();
  return result;
}

Result<bool> HoldSame(const Checkpoint& a, TensorId id_a, const Checkpoint& b, TensorId id_b,
                      const AxisOrder& order_of_b) {
  const Dtype dtype_a = a.manifest().tensors[id_a.index].dtype;
  const Dtype dtype_b = b.manifest().tensors[id_b.index].dtype;
  CKPT_ASSIGN_OR_RETURN(Source source_a, OpenSource(a, id_a));
  CKPT_ASSIGN_OR_RETURN(Source source_b, OpenSource(b, id_b, &order_of_b));
  const std::size_t size_a = BitSize(dtype_a) / 8, size_b = BitSize(dtype_b) / 8;
  while (true) {
    CKPT_RETURN_IF_ERROR(source_a.Refill());
    CKPT_RETURN_IF_ERROR(source_b.Refill());
    const std::size_t count =
        std::min(source_a.rest().size() / size_a, source_b.rest().size() / size_b);
    if (count == 0) return source_a.rest().empty() && source_b.rest().empty();
    const Bytes x = source_a.Take(count * size_a), y = source_b.Take(count * size_b);
    if (dtype_a == dtype_b && SameBytes(x, y)) continue;
    ElementComparison elements(dtype_a, dtype_b, {});
    elements.Add(x, y);
    if (elements.Finish().differing != 0) return false;
  }
}

}  // namespace ckpt
