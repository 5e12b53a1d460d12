#include "audit/predicted_means.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ckpt/execution/run.h"

namespace ckpt::audit {

using execution::Array;
using network::BatchNormalization;
using network::Computation;
using network::kNoValue;
using network::Network;
using network::Operation;
using network::Sizes;
using network::ValueId;

namespace {

using Moments = std::optional<ChannelMoments>;

// A normal distribution as points and their weights: steps of 1/8 deviation, to 4.
constexpr std::size_t kPoints = 65;
double Point(std::size_t i) { return (static_cast<double>(i) - 32) / 8; }
double WeightOf(std::size_t i) { return std::exp(-Point(i) * Point(i) / 2); }

// A layer with more channels is not followed.
constexpr std::size_t kMostChannels = std::size_t{1} << 17;
// A file may lead many operations to one constant: what is read in all is bounded.
constexpr std::uint64_t kMostReadElements = std::uint64_t{1} << 31;

class Prediction {
 public:
  Prediction(const Network& net, const Checkpoint& weights, std::uint64_t most_bytes)
      : net_(net), weights_(weights), moments_(net.values.size()) {
    budget_.memory_bytes = most_bytes;
  }

  std::vector<Moments> Run() {
    const std::vector<bool> needed = NeededBehindNorms();
    for (const Operation& op : net_.operations) {
      if (op.results.size() != 1 || op.results[0] == kNoValue) continue;
      if (!needed[op.results[0].index]) continue;
      Moments moments = Of(op);
      if (moments && Fits(*moments, op.results[0]) && Holds(*moments)) {
        moments_[op.results[0].index] = std::move(moments);
      }
    }
    return std::move(moments_);
  }

 private:
  // By value: does a batch norm read it by a way on which every operation has one result? What lies
  // before a batch norm is not needed for what lies behind it.
  std::vector<bool> NeededBehindNorms() const {
    std::vector<bool> needed(net_.values.size());
    for (std::size_t i = net_.operations.size(); i-- > 0;) {
      const Operation& op = net_.operations[i];
      const bool norm = std::holds_alternative<BatchNormalization>(op.computation);
      const bool wanted =
          op.results.size() == 1 && op.results[0] != kNoValue && needed[op.results[0].index];
      if (norm && !op.operands.empty()) needed[op.operands[0].index] = true;
      if (norm || !wanted) continue;
      for (const ValueId id : op.operands) {
        if (id != kNoValue) needed[id.index] = true;
      }
    }
    return needed;
  }

  bool Fits(const ChannelMoments& moments, ValueId id) const {
    const auto& shape = net_.value(id).shape;
    const auto finite = [](double x) { return std::isfinite(x); };
    return shape && moments.axis < shape->size() &&
           ((*shape)[moments.axis] == network::kUnknownSize ||
            (*shape)[moments.axis] == static_cast<std::int64_t>(moments.mean.size())) &&
           std::all_of(moments.mean.begin(), moments.mean.end(), finite) &&
           std::all_of(moments.variance.begin(), moments.variance.end(), finite);
  }

  // All that is predicted is held, and is bounded as one weight is.
  bool Holds(const ChannelMoments& moments) {
    held_bytes_ += 2 * moments.mean.size() * sizeof(double);
    return held_bytes_ <= budget_.memory_bytes;
  }

  std::optional<std::size_t> FromFront(std::int64_t axis, ValueId id) const {
    const auto& shape = net_.value(id).shape;
    if (!shape) return std::nullopt;
    const auto rank = static_cast<std::int64_t>(shape->size());
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank) return std::nullopt;
    return static_cast<std::size_t>(axis);
  }

  static bool IsAbsent(const Operation& op, std::size_t operand) {
    return op.operands.size() <= operand || op.operands[operand] == kNoValue;
  }
  std::optional<Array> Constant(const Operation& op, std::size_t operand) {
    if (IsAbsent(op, operand) || read_elements_ > kMostReadElements) return std::nullopt;
    const auto& constant = net_.value(op.operands[operand]).constant;
    if (!constant) return std::nullopt;
    auto array = execution::ReadConstant(*constant, weights_, budget_);
    if (!array) return std::nullopt;
    read_elements_ += array->elements.size();
    return *std::move(array);
  }
  const Moments& OfOperand(const Operation& op, std::size_t operand) const {
    static const Moments kNone;
    return IsAbsent(op, operand) ? kNone : moments_[op.operands[operand].index];
  }

  std::optional<std::vector<double>> Evaluated(const Computation& computation,
                                               std::initializer_list<const Array*> operands) const {
    const std::vector<const Array*> list(operands);
    auto results = execution::Evaluate(computation, list, 1, budget_);
    if (!results) return std::nullopt;
    return std::move(results->front().elements);
  }

  Moments Of(const Operation& op) {
    return std::visit([&](const auto& computation) { return Of(computation, op); }, op.computation);
  }
  template <typename Other>
  Moments Of(const Other&, const Operation&) const {
    return std::nullopt;
  }
  // Channels stay what they are: their means do, or nearly so.
  Moments Of(const network::Pool&, const Operation& op) const { return OfOperand(op, 0); }
  Moments Of(const network::Pad&, const Operation& op) const { return OfOperand(op, 0); }
  Moments Of(const network::Resize&, const Operation& op) const { return OfOperand(op, 0); }
  Moments Of(const network::Cast&, const Operation& op) const { return OfOperand(op, 0); }
  Moments Of(const BatchNormalization& norm, const Operation& op);
  Moments Of(const network::Unary& unary, const Operation& op);
  Moments Of(const network::Binary& binary, const Operation& op);
  Moments Of(const network::Convolution& convolution, const Operation& op);
  Moments Of(const network::MatrixProduct& product, const Operation& op);
  Moments Of(const network::Concatenate& concatenate, const Operation& op) const;
  Moments Of(const network::Transpose& transpose, const Operation& op) const;

  std::optional<Array> WindowOf(const ChannelMoments& x, const Array& kernel,
                                KernelLayout layout) const;
  Array PointsOf(const ChannelMoments& moments) const;
  static Moments OverPoints(const ChannelMoments& x, const std::vector<double>& y);

  const Network& net_;
  const Checkpoint& weights_;
  execution::Budget budget_ = {};
  std::uint64_t held_bytes_ = 0, read_elements_ = 0;
  std::vector<Moments> moments_;
};

Moments Prediction::Of(const BatchNormalization& norm, const Operation& op) {
  const auto axis = FromFront(norm.axis, op.results[0]);
  if (!axis || op.operands.size() < 4) return std::nullopt;
  const auto gamma = Constant(op, 1), beta = Constant(op, 2), mean = Constant(op, 3);
  if (!mean || (!gamma && !IsAbsent(op, 1)) || (!beta && !IsAbsent(op, 2))) return std::nullopt;
  const std::size_t channels = mean->elements.size();
  if (channels > kMostChannels) return std::nullopt;
  ChannelMoments moments{*axis, std::vector<double>(channels, 0), std::vector<double>(channels, 1)};
  if (beta) moments.mean = beta->elements;
  if (gamma) {
    moments.variance = gamma->elements;
    for (double& element : moments.variance) element *= element;
  }
  if (moments.mean.size() != channels || moments.variance.size() != channels) return std::nullopt;
  return moments;
}

// [C, points]
Array Prediction::PointsOf(const ChannelMoments& moments) const {
  const std::size_t channels = moments.mean.size();
  Array array{{static_cast<std::int64_t>(channels), static_cast<std::int64_t>(kPoints)}, {}};
  array.elements.clear();
  array.elements.reserve(channels * kPoints);
  for (std::size_t c = 0; c < channels; ++c) {
    const double deviation = std::sqrt(moments.variance[c]);
    for (std::size_t i = 0; i < kPoints; ++i) {
      array.elements.push_back(moments.mean[c] + deviation * Point(i));
    }
  }
  return array;
}

Moments Prediction::OverPoints(const ChannelMoments& x, const std::vector<double>& y) {
  if (y.size() != x.mean.size() * kPoints) return std::nullopt;
  double all = 0;
  for (std::size_t i = 0; i < kPoints; ++i) all += WeightOf(i);
  ChannelMoments result{x.axis, {}, {}};
  for (std::size_t c = 0; c < x.mean.size(); ++c) {
    double mean = 0, squares = 0;
    for (std::size_t i = 0; i < kPoints; ++i) mean += WeightOf(i) / all * y[c * kPoints + i];
    for (std::size_t i = 0; i < kPoints; ++i) {
      const double deviation = y[c * kPoints + i] - mean;
      squares += WeightOf(i) / all * deviation * deviation;
    }
    result.mean.push_back(mean);
    result.variance.push_back(squares);
  }
  return result;
}

Moments Prediction::Of(const network::Unary& unary, const Operation& op) {
  const Moments& x = OfOperand(op, 0);
  if (!x || unary.function == network::UnaryFunction::kIdentity) return x;
  const Array points = PointsOf(*x);
  const auto y = Evaluated(unary, {&points});
  return y ? OverPoints(*x, *y) : std::nullopt;
}

Moments Prediction::Of(const network::Binary& binary, const Operation& op) {
  if (op.operands.size() != 2) return std::nullopt;
  const Moments &a = OfOperand(op, 0), &b = OfOperand(op, 1);
  if (a && b) {  // of a residual connection
    if (binary.function != network::BinaryFunction::kAdd || a->axis != b->axis ||
        a->mean.size() != b->mean.size()) {
      return std::nullopt;
    }
    ChannelMoments sum = *a;
    for (std::size_t c = 0; c < sum.mean.size(); ++c) {
      sum.mean[c] += b->mean[c];
      sum.variance[c] += b->variance[c];
    }
    return sum;
  }
  const std::size_t constant = a ? 1 : 0;
  const Moments& x = a ? a : b;
  if (!x) return std::nullopt;
  auto c = Constant(op, constant);
  const auto& shape = net_.value(op.results[0]).shape;
  if (!c || !shape || x->axis >= shape->size()) return std::nullopt;
  // One number, or one a channel where broadcasting puts it there.
  const std::size_t behind = shape->size() - 1 - x->axis;
  const bool of_channel =
      c->shape.size() > behind && c->elements.size() == x->mean.size() &&
      c->shape[c->shape.size() - 1 - behind] == static_cast<std::int64_t>(c->elements.size());
  if (!of_channel && c->elements.size() != 1) return std::nullopt;
  c->shape = {static_cast<std::int64_t>(c->elements.size()), 1};
  const Array points = PointsOf(*x);
  const auto y = a ? Evaluated(binary, {&points, &*c}) : Evaluated(binary, {&*c, &points});
  return y ? OverPoints(*x, *y) : std::nullopt;
}

// An image of one window of the kernel, each channel constant: its mean.
std::optional<Array> Prediction::WindowOf(const ChannelMoments& x, const Array& kernel,
                                          KernelLayout layout) const {
  if (kernel.elements.empty()) return std::nullopt;  // else no product of sizes overflows
  const auto rank = static_cast<std::ptrdiff_t>(kernel.shape.size());
  const auto first = kernel.shape.begin() + (layout == KernelLayout::kOutInSpatial ? 2 : 0);
  const Sizes window(first, first + (rank - 2));
  std::int64_t area = 1;
  for (const std::int64_t size : window) area *= size;
  const auto channels = static_cast<std::int64_t>(x.mean.size());
  const auto most = static_cast<std::int64_t>(budget_.memory_bytes / sizeof(double));
  if (channels > most / area) return std::nullopt;
  Array image{{1}, {}};
  image.shape.insert(image.shape.end(), window.begin(), window.end());
  image.shape.insert(x.axis == 1 ? image.shape.begin() + 1 : image.shape.end(), channels);
  image.elements.clear();
  for (std::int64_t i = 0; i < area * channels; ++i) {
    const std::int64_t channel = x.axis == 1 ? i / area : i % channels;
    image.elements.push_back(x.mean[static_cast<std::size_t>(channel)]);
  }
  return image;
}

// Of one window the convolution is the product of the summed kernel and the means.
Moments Prediction::Of(const network::Convolution& convolution, const Operation& op) {
  const Moments& x = OfOperand(op, 0);
  auto kernel = x ? Constant(op, 1) : std::nullopt;
  const auto axis = FromFront(convolution.channel_axis, op.operands[0]);
  if (!kernel || !axis || *axis != x->axis || kernel->shape.size() < 2) return std::nullopt;
  const auto bias = Constant(op, 2);
  if (!bias && !IsAbsent(op, 2)) return std::nullopt;

  auto means = WindowOf(*x, *kernel, convolution.layout);
  auto variances = WindowOf({x->axis, x->variance, {}}, *kernel, convolution.layout);
  if (!means || !variances) return std::nullopt;
  network::Convolution once = convolution;
  once.stride = once.dilation = {};
  once.padding = {};
  auto mean = Evaluated(once, {&*means, &*kernel, bias ? &*bias : nullptr});
  for (double& element : kernel->elements) element *= element;
  auto variance = Evaluated(once, {&*variances, &*kernel, nullptr});
  if (!mean || !variance) return std::nullopt;
  return ChannelMoments{*axis, *std::move(mean), *std::move(variance)};
}

Moments Prediction::Of(const network::MatrixProduct& product, const Operation& op) {
  const Moments& x = OfOperand(op, 0);
  auto kernel = x && !product.transpose_a ? Constant(op, 1) : std::nullopt;
  const auto last = FromFront(-1, op.operands[0]);
  if (!kernel || !last || *last != x->axis || kernel->shape.size() != 2) return std::nullopt;
  Array row{{1, static_cast<std::int64_t>(x->mean.size())}, x->mean};
  auto mean = Evaluated(product, {&row, &*kernel});
  row.elements = x->variance;
  for (double& element : kernel->elements) element *= element;
  network::MatrixProduct squared = product;
  squared.factor *= squared.factor;
  auto variance = Evaluated(squared, {&row, &*kernel});
  if (!mean || !variance) return std::nullopt;
  return ChannelMoments{*last, *std::move(mean), *std::move(variance)};
}

Moments Prediction::Of(const network::Concatenate& concatenate, const Operation& op) const {
  const auto axis = FromFront(concatenate.axis, op.results[0]);
  if (!axis) return std::nullopt;
  ChannelMoments all{*axis, {}, {}};
  for (std::size_t i = 0; i < op.operands.size(); ++i) {
    const Moments& part = OfOperand(op, i);
    if (!part || part->axis != *axis) return std::nullopt;
    all.mean.insert(all.mean.end(), part->mean.begin(), part->mean.end());
    all.variance.insert(all.variance.end(), part->variance.begin(), part->variance.end());
    if (all.mean.size() > kMostChannels) return std::nullopt;
  }
  return all;
}

Moments Prediction::Of(const network::Transpose& transpose, const Operation& op) const {
  Moments moments = OfOperand(op, 0);
  if (!moments) return std::nullopt;
  const auto found = std::find(transpose.order.begin(), transpose.order.end(),
                               static_cast<std::int64_t>(moments->axis));
  if (found == transpose.order.end()) return std::nullopt;
  moments->axis = static_cast<std::size_t>(found - transpose.order.begin());
  return moments;
}

}  // namespace

std::vector<Moments> PredictMoments(const Network& network, const Checkpoint& weights,
                                    std::uint64_t most_bytes) {
  return Prediction(network, weights, most_bytes).Run();
}

}  // namespace ckpt::audit
