// Source: tensorflow/core/ops/nn_ops.cc, core/kernels/{fused_batch_norm,lrn,softmax}_op.cc.
#include "tensorflow_network/windows.h"

namespace ckpt::tf_network {
namespace {

using network::BatchNormalization;

// Inputs: x, scale, offset, mean, variance. At serving the statistics that it yields are those that
// it read.
Outcome FusedBatchNorm(Node& node) {
  const auto channel_axis = ChannelAxis(node);
  if (!channel_axis) return NotUnderstood("the data format " + node.Text("data_format", ""));
  BatchNormalization norm;
  norm.axis = *channel_axis;
  norm.epsilon = node.Real("epsilon", 1e-4F);
  norm.of_batch = node.Bool("is_training", true);
  const std::size_t rank = node.Text("data_format", "NHWC").size() == 5 ? 5 : 4;  // "NDHWC"
  if (norm.of_batch) {
    if (node.results() > 1) return NotUnderstood("the statistics of a batch are read");
    norm.momentum = 1 - node.Real("exponential_avg_factor", 1);
    return node.YieldOfRank(rank, norm, {node.Input(0), node.Input(1), node.Input(2)});
  }
  if (node.results() > 3) return NotUnderstood("what only its gradient needs is read");
  Outcome y = node.YieldOfRank(rank, norm, node.Inputs());
  if (node.results() > 1) y->push_back(node.Input(3));
  if (node.results() > 2) y->push_back(node.Input(4));
  return y;
}

// Inputs: t, m, v, beta, gamma.
Outcome GlobalNormalization(Node& node) {
  BatchNormalization norm;
  norm.epsilon = node.Real("variance_epsilon", 0);
  const bool scales = node.Bool("scale_after_normalization", true);
  return node.Yield(norm, {node.Input(0), scales ? node.Input(4) : kNoValue, node.Input(3),
                           node.Input(1), node.Input(2)});
}

Outcome Lrn(Node& node) {
  network::LocalResponseNormalization norm;
  const std::int64_t radius = node.Int("depth_radius", 5);
  if (radius < 0 || radius > (1 << 20)) return NotUnderstood("its radius");
  norm.size = 2 * radius + 1;
  norm.alpha = node.Real("alpha", 1);
  norm.beta = node.Real("beta", 0.5);
  norm.bias = node.Real("bias", 1);
  return node.Yield(norm, {node.Input(0)});
}

template <bool kLog>
Outcome SoftmaxOf(Node& node) {
  network::Softmax softmax;
  softmax.log = kLog;
  return node.Yield(softmax, {node.Input(0)});
}

constexpr Row kNormalizationRows[] = {
    {"FusedBatchNorm", 5, FusedBatchNorm},
    {"FusedBatchNormV2", 5, FusedBatchNorm},
    {"FusedBatchNormV3", 5, FusedBatchNorm},
    {"BatchNormWithGlobalNormalization", 5, GlobalNormalization},
    {"LRN", 1, Lrn},
    {"Softmax", 1, SoftmaxOf<false>},
    {"LogSoftmax", 1, SoftmaxOf<true>},
};

}  // namespace

std::span<const Row> NormalizationRows() { return kNormalizationRows; }

}  // namespace ckpt::tf_network
