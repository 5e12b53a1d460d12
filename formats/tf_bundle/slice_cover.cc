#include "formats/tf_bundle/slice_cover.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace ckpt::formats {
namespace {

// Corners of slices looked at, 2^(partitioned dimensions) for each.
constexpr std::uint64_t kMaxCorners = std::uint64_t{1} << 20;

// Dimensions that some slice does not span.
std::vector<std::size_t> PartitionedAxes(const Shape& shape, std::span<const BundleSlice> slices) {
  std::vector<std::size_t> axes;
  for (std::size_t axis = 0; axis < shape.rank(); ++axis) {
    const bool split = std::any_of(slices.begin(), slices.end(), [&](const BundleSlice& slice) {
      return slice.shape[axis] != shape[axis];
    });
    if (split) axes.push_back(axis);
  }
  return axes;
}

struct Corner {
  std::vector<std::int64_t> at;
  std::int64_t weight;
};

// The corners of the box [start, start + size), with the sign of each times `weight`: positive at
// `start`, and once negative for each dimension in which the corner is the upper one.
void AddCorners(const std::vector<std::int64_t>& start, const std::vector<std::int64_t>& size,
                std::int64_t weight, std::vector<Corner>* corners) {
  const std::size_t rank = start.size();
  for (std::uint64_t upper = 0; upper < std::uint64_t{1} << rank; ++upper) {
    Corner corner{start, weight};
    for (std::size_t axis = 0; axis < rank; ++axis) {
      if ((upper >> axis & 1) == 0) continue;
      corner.at[axis] += size[axis];
      corner.weight = -corner.weight;
    }
    corners->push_back(std::move(corner));
  }
}

std::string ToString(const std::vector<std::size_t>& axes, const Corner& corner, std::size_t rank) {
  std::string text = "[";
  for (std::size_t axis = 0, next = 0; axis < rank; ++axis) {
    if (axis > 0) text += ", ";
    const bool partitioned = next < axes.size() && axes[next] == axis;
    text += std::to_string(partitioned ? corner.at[next++] : 0);
  }
  return text + "]";
}

}  // namespace

// How often each element is held is a function of its place: the sum of the slices' indicator
// functions. It is 1 throughout exactly if its mixed differences are those of the whole tensor's
// indicator function; and the mixed differences of a box are its corners, with alternating signs.
// So the signed corners of all slices, less those of the tensor, must cancel. Where they do not,
// the first left over in lexicographic order is the value, less 1, at that element: no other corner
// lies below it in every dimension.
Status CheckCover(const Shape& shape, std::span<const BundleSlice> slices) {
  if (shape.element_count() == 0) return {};
  const std::vector<std::size_t> axes = PartitionedAxes(shape, slices);
  if (axes.size() >= 20 || (slices.size() + 1) << axes.size() > kMaxCorners) {
    return Fail(ErrorCode::kLimitExceeded, "is cut into " + std::to_string(slices.size()) +
                                               " slices along " + std::to_string(axes.size()) +
                                               " dimensions, more than can be checked");
  }
  std::vector<Corner> corners;
  corners.reserve((slices.size() + 1) << axes.size());
  std::vector<std::int64_t> start(axes.size()), size(axes.size());
  const auto add = [&](const BundleSlice* slice, std::int64_t weight) {
    for (std::size_t i = 0; i < axes.size(); ++i) {
      start[i] = slice == nullptr ? 0 : slice->start[axes[i]];
      size[i] = slice == nullptr ? shape[axes[i]] : slice->shape[axes[i]];
    }
    AddCorners(start, size, weight, &corners);
  };
  add(nullptr, -1);
  for (const BundleSlice& slice : slices) add(&slice, 1);

  std::sort(corners.begin(), corners.end(),
            [](const Corner& a, const Corner& b) { return a.at < b.at; });
  for (std::size_t i = 0; i < corners.size();) {
    std::int64_t sum = 0;
    std::size_t end = i;
    for (; end < corners.size() && corners[end].at == corners[i].at; ++end) {
      sum += corners[end].weight;
    }
    if (sum != 0) {
      return Fail(ErrorCode::kCorrupt, "the element " + ToString(axes, corners[i], shape.rank()) +
                                           " of " + ckpt::ToString(shape) + " is in " +
                                           (sum < 0 ? "none" : std::to_string(sum + 1)) +
                                           " of its " + std::to_string(slices.size()) + " slices");
    }
    i = end;
  }
  return {};
}

}  // namespace ckpt::formats
