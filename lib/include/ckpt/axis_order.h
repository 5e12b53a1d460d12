// Another order of a tensor's elements: its axes split, permuted and joined again. What turns a
// kernel of one framework's layout into another's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/model_graph.h"
#include "ckpt/shape.h"
#include "ckpt/tensor.h"

namespace ckpt {

enum class Framework : std::uint8_t;  // checkpoint.h

// The elements of a source in C order, seen as an array of dimensions `split`; its axes taken in
// the order `axes` (axes[k] is the axis of `split` that becomes axis k); the outcome given the
// shape `result`.
struct AxisOrder {
  std::vector<std::int64_t> split;
  std::vector<std::size_t> axes;
  Shape result;
  std::string name = {};  // "HWIO -> OIHW"; empty where there is nothing to say
};

// Does every element keep its place?
bool IsIdentity(const AxisOrder& order) noexcept;

// A kernel of shape `from_shape` in layout `from` as one of layout `to`, where both are layouts of
// one kind of layer: convolution or dense ([K..., I, O] and [O, I, K...]), transposed convolution
// ([K..., O, I] and [I, O, K...]), depthwise convolution ([K..., I, M] and [I * M, 1, K...]; the
// latter needs `multiplier`). kUnfit where they are not, or the shape is no such kernel.
Result<AxisOrder> OrderBetween(const Shape& from_shape, KernelLayout from, KernelLayout to,
                               std::int64_t multiplier = 1);

// Do this framework's kernels have channels before spatial axes, and its images too?
bool IsChannelsFirst(Framework framework) noexcept;

// A dense kernel behind a flatten. Channels-last to channels-first: [S * C, O] to [O, C * S]; the
// inverse for kOutInSpatial. kUnfit where the rows are no multiple of `channels`.
Result<AxisOrder> OrderBehindFlatten(const Shape& from_shape, KernelLayout from,
                                     std::int64_t channels);

// The elements of a stream in another order. A stream of `open` yields the source front to back,
// elements of `element_size` bytes; it is opened once for every `budget` bytes of the result, which
// are held in memory. Errors of the streams are passed on; kCorrupt where one does not yield what
// `order.split` says.
using OpenStream = std::function<Result<std::unique_ptr<TensorStream>>()>;
inline constexpr std::size_t kPermutedBudget = std::size_t{32} << 20;
std::unique_ptr<TensorStream> Permute(OpenStream open, std::size_t element_size, AxisOrder order,
                                      std::size_t budget = kPermutedBudget);

}  // namespace ckpt
