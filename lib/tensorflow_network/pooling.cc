// Source: tensorflow/core/ops/nn_ops.cc, core/kernels/{avgpooling,maxpooling}_op.cc: an average
// divides by the elements that the window covers, and padding is none.
#include "tensorflow_network/windows.h"

namespace ckpt::tf_network {
namespace {

using network::Pool;

Outcome PoolOver(Node& node, std::size_t rank, Pool::Kind kind, const Sizes& size,
                 const Sizes& strides) {
  const auto windows = WindowsOf(node, rank);
  if (!windows) return NotUnderstood(windows.error());
  const auto spatial = Spatial(size, rank, windows->channel_axis, 1);
  const auto stride = Spatial(strides, rank, windows->channel_axis, 1);
  if (!spatial || spatial->empty() || !stride) {
    return NotUnderstood("windows over the examples or the channels");
  }
  Pool pool;
  pool.kind = kind;
  pool.size = *spatial;
  pool.stride = *stride;
  pool.padding = windows->padding;
  pool.channel_axis = windows->channel_axis;
  return node.Yield(pool, {node.Input(0)});
}

template <std::size_t kRank, Pool::Kind kKind>
Outcome PoolByAttributes(Node& node) {
  return PoolOver(node, kRank, kKind, node.List("ksize"), node.List("strides"));
}

Outcome MaxPoolV2(Node& node) {
  const auto size = node.Integers(1), strides = node.Integers(2);
  if (!size || !strides) return NotUnderstood("windows that the data decide");
  return PoolOver(node, 4, Pool::Kind::kMaximum, *size, *strides);
}

Outcome MaxPoolWithArgmax(Node& node) {
  if (node.results() > 1) return NotUnderstood("the places of the maxima are read");
  return PoolByAttributes<4, Pool::Kind::kMaximum>(node);
}

constexpr Row kPoolingRows[] = {
    {"MaxPool", 1, PoolByAttributes<4, Pool::Kind::kMaximum>},
    {"AvgPool", 1, PoolByAttributes<4, Pool::Kind::kAverage>},
    {"MaxPool3D", 1, PoolByAttributes<5, Pool::Kind::kMaximum>},
    {"AvgPool3D", 1, PoolByAttributes<5, Pool::Kind::kAverage>},
    {"MaxPoolV2", 3, MaxPoolV2},
    {"MaxPoolWithArgmax", 1, MaxPoolWithArgmax},
};

}  // namespace

std::span<const Row> PoolingRows() { return kPoolingRows; }

}  // namespace ckpt::tf_network
