// Convolutions and poolings.
#include <algorithm>
#include <array>
#include <utility>

#include "formats/onnx/network_step.h"

namespace ckpt::formats::onnx {
namespace {

using network::kNoValue;
using network::Padding;
using network::PaddingRule;
using network::Sizes;
using network::ValueId;

// `auto_pad` and `pads` [all before, all after]; absent: they say nothing sound.
std::optional<Padding> PaddingOf(const Step& step) {
  const std::string rule = step.Text("auto_pad", "NOTSET");
  if (rule == "SAME_UPPER") return Padding{PaddingRule::kSameUpper};
  if (rule == "SAME_LOWER") return Padding{PaddingRule::kSameLower};
  if (rule == "VALID") return Padding{};
  if (rule != "NOTSET" && !rule.empty()) return std::nullopt;
  const Sizes pads = step.Ints("pads");
  if (pads.size() % 2 != 0 || std::any_of(pads.begin(), pads.end(), [](auto p) { return p < 0; })) {
    return std::nullopt;
  }
  const auto middle = pads.begin() + static_cast<std::ptrdiff_t>(pads.size() / 2);
  Padding padding;
  padding.before.assign(pads.begin(), middle);
  padding.after.assign(middle, pads.end());
  return padding;
}
constexpr const char* kOddPadding = "its padding is negative or of a kind that ONNX does not have";

// A convolution yields as many axes as its kernel has.
Outcome OfKernelsRank(Step& step, Outcome outcome) {
  const auto rank = step.RankOf(step.Input(1));
  return rank ? step.OfRank(static_cast<std::size_t>(*rank), std::move(outcome)) : outcome;
}

Outcome Conv(Step& step) {
  const auto convolution = ConvolutionOf(step);
  if (!convolution) return Cannot(convolution.error());
  if (!step.Given(0) || !step.Given(1)) return Cannot("it lacks an operand");
  return OfKernelsRank(step,
                       step.Yield(*convolution, {step.Input(0), step.Input(1), step.Input(2)}));
}

// The dilated kernel's sizes along the spatial axes; absent: not known.
std::optional<Sizes> ReachOf(const Step& step) {
  const network::PartialShape& kernel = step.ShapeOf(step.Input(1));
  if (!kernel || kernel->size() < 3) return std::nullopt;
  const Sizes dilation = ListOr(step.Ints("dilations"), kernel->size() - 2, 1);
  if (dilation.size() != kernel->size() - 2) return std::nullopt;
  Sizes reach;
  for (std::size_t i = 2; i < kernel->size(); ++i) {
    constexpr std::int64_t kLarge = 1 << 24;
    const std::int64_t size = (*kernel)[i], pace = dilation[i - 2];
    if (size < 1 || size > kLarge || pace < 1 || pace > kLarge) return std::nullopt;
    reach.push_back((size - 1) * pace + 1);
  }
  return reach;
}

constexpr const char* kOpenKernel = "its padding depends on a kernel whose shape is not known";
// The specification makes y as long as i * s, ONNX Runtime (1.32) as long as (i - 1) * s + kernel.
constexpr const char* kGapsBetween =
    "its kernel reaches less far than its strides: the specification and ONNX Runtime differ on "
    "how long the padding makes what it yields";
// The specification counts the dilated window, ONNX Runtime (1.32) the plain one.
constexpr const char* kDilatedSame =
    "its window is dilated: the specification and ONNX Runtime differ on its padding";

using Checked = tl::expected<void, std::string>;

// The length of y is i * s: what is cut off does not depend on i.
Checked PadToStrides(const Step& step, bool upper, network::TransposedConvolution& convolution) {
  const auto reach = ReachOf(step);
  if (!reach) return Cannot(kOpenKernel);
  const Sizes stride = ListOr(convolution.stride, reach->size(), 1);
  const Sizes more = ListOr(convolution.more, reach->size(), 0);
  if (stride.size() != reach->size() || more.size() != reach->size()) return Cannot(kOpenKernel);
  convolution.padding = {};
  convolution.more.clear();
  for (std::size_t i = 0; i < reach->size(); ++i) {
    const std::int64_t total = (*reach)[i] + more[i] - stride[i];
    if (total < 0) return Cannot(kGapsBetween);
    const std::int64_t before = upper ? total / 2 : total - total / 2;
    convolution.padding.before.push_back(before);
    convolution.padding.after.push_back(total - before);
    convolution.more.push_back(more[i]);
  }
  return {};
}

Outcome ConvTranspose(Step& step) {
  const auto padding = PaddingOf(step);
  if (!padding) return Cannot(kOddPadding);
  if (!step.Given(0) || !step.Given(1)) return Cannot("it lacks an operand");
  using Length = network::TransposedConvolution::Length;
  network::TransposedConvolution convolution;
  convolution.stride = step.Ints("strides");
  convolution.dilation = step.Ints("dilations");
  convolution.padding = *padding;
  convolution.more = step.Ints("output_padding");
  convolution.groups = step.Int("group", 1);
  convolution.layout = KernelLayout::kInOutSpatial;
  convolution.channel_axis = 1;
  const bool upper = padding->rule == PaddingRule::kSameUpper;
  if (const Sizes given = step.Ints("output_shape"); !given.empty()) {
    if (std::any_of(convolution.more.begin(), convolution.more.end(), [](auto m) { return m; })) {
      return Cannot("it has both an output_shape and an output_padding");
    }
    convolution.length = Length::kGiven;
    convolution.given = given;
    convolution.more.clear();
    convolution.padding = {upper ? PaddingRule::kSameUpper : PaddingRule::kSameLower};
  } else if (padding->rule != PaddingRule::kExplicit) {
    const Checked padded = PadToStrides(step, upper, convolution);
    if (!padded) return Cannot(padded.error());
  }
  return OfKernelsRank(step,
                       step.Yield(convolution, {step.Input(0), step.Input(1), step.Input(2)}));
}

// The window of any pooling.
tl::expected<network::Pool, std::string> PoolOf(const Step& step, network::Pool::Kind kind) {
  const auto padding = PaddingOf(step);
  if (!padding) return Cannot(kOddPadding);
  network::Pool pool;
  pool.kind = kind;
  pool.size = step.Ints("kernel_shape");
  pool.stride = step.Ints("strides");
  pool.dilation = step.Ints("dilations");
  pool.padding = *padding;
  pool.ceil = padding->rule == PaddingRule::kExplicit && step.Int("ceil_mode", 0) != 0;
  pool.channel_axis = 1;
  if (pool.size.empty()) return Cannot("it has no kernel_shape");
  if (padding->rule != PaddingRule::kExplicit &&
      std::any_of(pool.dilation.begin(), pool.dilation.end(), [](auto d) { return d != 1; })) {
    return Cannot(kDilatedSame);
  }
  return pool;
}

Outcome MaxPool(Step& step) {
  const auto pool = PoolOf(step, network::Pool::Kind::kMaximum);
  if (!pool) return Cannot(pool.error());
  return step.Yield(*pool, {step.Input(0)});
}

Outcome AveragePool(Step& step) {
  auto pool = PoolOf(step, network::Pool::Kind::kAverage);
  if (!pool) return Cannot(pool.error());
  pool->count_padding = step.opset() >= 7 && step.Int("count_include_pad", 0) != 0;
  return step.Yield(*pool, {step.Input(0)});
}

// A float attribute in operator set 1.
double NormOf(const Step& step) {
  const auto* p = step.Find("p");
  if (p == nullptr) return 2;
  return p->has_f() ? static_cast<double>(p->f()) : static_cast<double>(p->i());
}

Outcome LpPool(Step& step) {
  auto pool = PoolOf(step, network::Pool::Kind::kNorm2);
  if (!pool) return Cannot(pool.error());
  const double p = NormOf(step);
  if (p == 2) return step.Yield(*pool, {step.Input(0)});
  if (p != 1 || pool->ceil) return Cannot("its norm is neither the first nor the second");
  // The sum of a window is its average, padding counted, times its size.
  pool->kind = network::Pool::Kind::kAverage;
  pool->count_padding = true;
  double elements = 1;
  for (const std::int64_t size : pool->size) elements *= static_cast<double>(size);
  const ValueId absolute = step.Inner(network::UnaryFunction::kAbs, step.Input(0));
  const ValueId average = step.Inner(*pool, {absolute});
  return step.Yield(network::Unary{network::UnaryFunction::kLinear, elements, 0}, {average});
}

Outcome Global(Step& step, network::Reduction::Kind kind) {
  network::Axes axes;
  axes.which = network::Axes::Which::kSpatial;
  axes.channel_axis = 1;
  return step.Yield(network::Reduction{kind, axes, true}, {step.Input(0)});
}
Outcome GlobalAveragePool(Step& step) { return Global(step, network::Reduction::Kind::kMean); }
Outcome GlobalMaxPool(Step& step) { return Global(step, network::Reduction::Kind::kMaximum); }
Outcome GlobalLpPool(Step& step) {
  const double p = NormOf(step);
  if (p != 1 && p != 2) return Cannot("its norm is neither the first nor the second");
  return Global(step, p == 1 ? network::Reduction::Kind::kNorm1 : network::Reduction::Kind::kNorm2);
}

constexpr std::array<OperatorRule, 8> kWindowOperators = {{
    {"Conv", Conv},
    {"ConvTranspose", ConvTranspose},
    {"MaxPool", MaxPool},
    {"AveragePool", AveragePool},
    {"LpPool", LpPool},
    {"GlobalAveragePool", GlobalAveragePool},
    {"GlobalMaxPool", GlobalMaxPool},
    {"GlobalLpPool", GlobalLpPool},
}};

}  // namespace

std::span<const OperatorRule> WindowOperators() { return kWindowOperators; }

tl::expected<network::Convolution, std::string> ConvolutionOf(const Step& step) {
  const auto padding = PaddingOf(step);
  if (!padding) return Cannot(kOddPadding);
  network::Convolution convolution;
  convolution.stride = step.Ints("strides");
  convolution.dilation = step.Ints("dilations");
  convolution.padding = *padding;
  convolution.groups = step.Int("group", 1);
  convolution.layout = KernelLayout::kOutInSpatial;
  convolution.channel_axis = 1;
  return convolution;
}

}  // namespace ckpt::formats::onnx
