// The keys under which a bundle keeps the slices of a partitioned tensor.
//
// A key is TensorFlow's "ordered code" of: the number 0, the tensor's name, its rank, and for each
// dimension the start and the length of the slice (length -1 and start 0: all of it). Source:
// saved_tensor_slice_util.cc and ordered_code.cc of TensorFlow.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ckpt::formats {

struct SliceExtent {
  std::int64_t start = 0;
  std::int64_t length = kAll;

  static constexpr std::int64_t kAll = -1;  // with start 0
  bool operator==(const SliceExtent&) const = default;
};

std::string EncodeSliceKey(std::string_view name, const std::vector<SliceExtent>& extents);

struct SliceKey {
  std::string name;
  std::vector<SliceExtent> extents;
};
// Nothing if `key` is not such a key: then it is an ordinary name.
std::optional<SliceKey> DecodeSliceKey(std::string_view key);

}  // namespace ckpt::formats
