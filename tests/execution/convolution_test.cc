// Windows over data against their definitions, over random sizes.
#include <gmock/gmock.h>

#include "ckpt/execution/run.h"
#include "tests/execution/reference_kernels.h"

namespace ckpt::execution::convolution_test {
namespace {

using network::Padding;
using network::PaddingRule;
using network::Sizes;
using reference::At;
using reference::DataIndex;
using reference::ForEach;
using reference::KernelAt;
using reference::KernelShape;
using Stretch = reference::Span;
using reference::SpanOf;
using reference::Zeros;

std::int64_t Draw(std::mt19937& engine, std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(engine);
}

Array One(const network::Computation& computation, std::vector<const Array*> operands,
          Precision precision = Precision::kFloat64) {
  auto results = Evaluate(computation, operands, 1, {}, precision);
  if (!results) {
    ADD_FAILURE() << ToString(results.error());
    return Zeros({0});
  }
  return (*results)[0];
}

void ExpectNear(const Array& got, const Array& expected, double tolerance,
                const std::string& what) {
  ASSERT_EQ(got.shape, expected.shape) << what;
  for (std::size_t i = 0; i < got.elements.size(); ++i) {
    ASSERT_NEAR(got.elements[i], expected.elements[i], tolerance) << what << " element " << i;
  }
}

// A random problem: data, kernel or window, strides.
struct Windowed {
  bool channels_first = false;
  std::int64_t examples = 1, ins = 1, outs = 1, groups = 1;
  Sizes data = {}, size = {}, stride = {}, dilation = {};
  Padding padding = {};
};

Windowed DrawWindowed(std::mt19937& engine) {
  Windowed w;
  const std::int64_t axes = Draw(engine, 1, 3);
  w.channels_first = Draw(engine, 0, 1) == 1;
  w.examples = Draw(engine, 1, 3);
  w.groups = Draw(engine, 0, 2) == 0 ? Draw(engine, 2, 4) : 1;
  w.ins = w.groups * Draw(engine, 1, 4);
  w.outs = w.groups * Draw(engine, 1, 4);
  w.padding.rule = static_cast<PaddingRule>(Draw(engine, 0, 2));
  for (std::int64_t i = 0; i < axes; ++i) {
    w.data.push_back(Draw(engine, 4, 8));
    w.size.push_back(Draw(engine, 1, 3));
    w.stride.push_back(Draw(engine, 1, 3));
    w.dilation.push_back(Draw(engine, 1, 2));
    if (w.padding.rule != PaddingRule::kExplicit) continue;
    w.padding.before.push_back(Draw(engine, 0, 2));
    w.padding.after.push_back(Draw(engine, 0, 2));
  }
  return w;
}

std::vector<Stretch> SpansOf(const Windowed& w, bool ceil) {
  std::vector<Stretch> spans;
  for (std::size_t i = 0; i < w.data.size(); ++i) {
    spans.push_back(SpanOf(w.data[i], w.size[i], w.stride[i], w.dilation[i], w.padding, i, ceil));
  }
  return spans;
}

Array Convolved(const Windowed& w, const Array& x, const Array& kernel, const Array& bias,
                KernelLayout layout, bool flipped) {
  const std::vector<Stretch> spans = SpansOf(w, false);
  Sizes out;
  for (const Stretch& span : spans) out.push_back(span.windows);
  Array y = Zeros(DataIndex(w.examples, w.outs, out, w.channels_first));
  const std::int64_t ins = w.ins / w.groups;
  ForEach({w.examples, w.outs}, [&](const Sizes& no) {
    ForEach(out, [&](const Sizes& at) {
      double sum = bias.elements[static_cast<std::size_t>(no[1])];
      const std::int64_t group = no[1] / (w.outs / w.groups);
      for (std::int64_t in = 0; in < ins; ++in) {
        ForEach(w.size, [&](const Sizes& tap) {
          Sizes place = at;
          for (std::size_t i = 0; i < at.size(); ++i) {
            place[i] = at[i] * w.stride[i] + tap[i] * w.dilation[i] - spans[i].before;
            if (place[i] < 0 || place[i] >= w.data[i]) return;
          }
          sum += At(x, DataIndex(no[0], group * ins + in, place, w.channels_first)) *
                 KernelAt(kernel, layout, tap, in, no[1], w.groups, w.outs, flipped, w.size, ins);
        });
      }
      At(y, DataIndex(no[0], no[1], at, w.channels_first)) = sum;
    });
  });
  return y;
}

bool Fits(const Windowed& w) {
  for (const Stretch& span : SpansOf(w, false)) {
    if (span.windows < 1) return false;
  }
  return true;
}

TEST(Convolution, AgreesWithItsDefinitionInEveryLayout) {
  std::mt19937 engine(1);
  for (int trial = 0; trial < 120; ++trial) {
    Windowed w = DrawWindowed(engine);
    if (!Fits(w)) continue;
    const auto layout = static_cast<KernelLayout>(trial % 5);
    if (layout == KernelLayout::kSpatialInMultiplier) {
      w.groups = w.ins;
      w.outs = w.ins * Draw(engine, 1, 3);
    }
    const bool flipped = trial % 7 == 0;
    const Array x =
        reference::Random(DataIndex(w.examples, w.ins, w.data, w.channels_first), engine);
    const Array kernel =
        reference::Random(KernelShape(layout, w.size, w.ins, w.outs, w.groups), engine);
    const Array bias = reference::Random({w.outs}, engine);
    const Array expected = Convolved(w, x, kernel, bias, layout, flipped);
    const network::Convolution convolution{
        w.stride, w.dilation, w.padding, w.groups, layout, w.channels_first ? 1 : -1, flipped};
    const std::string what = "trial " + std::to_string(trial);
    ExpectNear(One(convolution, {&x, &kernel, &bias}), expected, 1e-12, what);
    ExpectNear(One(convolution, {&x, &kernel, &bias}, Precision::kFloat32), expected, 1e-3, what);
  }
}

TEST(Convolution, OfManyChannelsCrossesTheBlocksOfItsSums) {
  std::mt19937 engine(2);
  for (const bool channels_first : {false, true}) {
    Windowed w{channels_first, 1,      70,     37,     1,
               {9, 7},         {3, 3}, {1, 1}, {1, 1}, {PaddingRule::kSameUpper}};
    const auto layout = channels_first ? KernelLayout::kOutInSpatial : KernelLayout::kSpatialInOut;
    const Array x = reference::Random(DataIndex(1, 70, w.data, channels_first), engine);
    const Array kernel = reference::Random(KernelShape(layout, w.size, 70, 37, 1), engine);
    const Array bias = reference::Random({37}, engine);
    const network::Convolution convolution{{}, {}, w.padding, 1, layout, channels_first ? 1 : -1};
    ExpectNear(One(convolution, {&x, &kernel, &bias}), Convolved(w, x, kernel, bias, layout, false),
               1e-11, "blocks");
  }
}

TEST(TransposedConvolution, SpreadsEachElementAsItsDefinitionSays) {
  std::mt19937 engine(3);
  for (int trial = 0; trial < 60; ++trial) {
    Windowed w = DrawWindowed(engine);
    const auto layout = static_cast<KernelLayout>(trial % 5);
    if (layout == KernelLayout::kSpatialInMultiplier) continue;
    network::TransposedConvolution convolution{w.stride, w.dilation, {}, {}};
    convolution.groups = w.groups;
    convolution.layout = layout;
    convolution.channel_axis = w.channels_first ? 1 : -1;
    using Length = network::TransposedConvolution::Length;
    convolution.length = trial % 3 == 0 ? Length::kTimesStride : Length::kFromPadding;
    Sizes out, before;
    for (std::size_t i = 0; i < w.data.size(); ++i) {
      const std::int64_t reach = (w.size[i] - 1) * w.dilation[i] + 1;
      convolution.padding.before.push_back(Draw(engine, 0, 1));
      convolution.padding.after.push_back(Draw(engine, 0, 1));
      convolution.more.push_back(Draw(engine, 0, 1));
      if (convolution.length == Length::kTimesStride) {
        out.push_back(w.data[i] * w.stride[i]);
        before.push_back(std::max<std::int64_t>(reach - w.stride[i], 0) / 2);
      } else {
        out.push_back((w.data[i] - 1) * w.stride[i] + reach - convolution.padding.before[i] -
                      convolution.padding.after[i] + convolution.more[i]);
        before.push_back(convolution.padding.before[i]);
      }
    }
    const Array x =
        reference::Random(DataIndex(w.examples, w.ins, w.data, w.channels_first), engine);
    const Array kernel =
        reference::Random(KernelShape(layout, w.size, w.ins, w.outs, w.groups), engine);
    const Array bias = reference::Random({w.outs}, engine);
    Array expected = Zeros(DataIndex(w.examples, w.outs, out, w.channels_first));
    const std::int64_t ins = w.ins / w.groups, outs = w.outs / w.groups;
    ForEach(expected.shape, [&](const Sizes& at) {
      At(expected, at) =
          bias.elements[static_cast<std::size_t>(w.channels_first ? at[1] : at.back())];
    });
    ForEach({w.examples, w.ins, outs}, [&](const Sizes& nio) {
      const std::int64_t o = nio[1] / ins * outs + nio[2];
      ForEach(w.data, [&](const Sizes& at) {
        ForEach(w.size, [&](const Sizes& tap) {
          Sizes place = at;
          for (std::size_t i = 0; i < at.size(); ++i) {
            place[i] = at[i] * w.stride[i] + tap[i] * w.dilation[i] - before[i];
            if (place[i] < 0 || place[i] >= out[i]) return;
          }
          At(expected, DataIndex(nio[0], o, place, w.channels_first)) +=
              At(x, DataIndex(nio[0], nio[1], at, w.channels_first)) *
              KernelAt(kernel, layout, tap, nio[1] % ins, o, w.groups, w.outs, false, w.size, ins);
        });
      });
    });
    ExpectNear(One(convolution, {&x, &kernel, &bias}), expected, 1e-12,
               "trial " + std::to_string(trial));
  }
}

TEST(Pool, AgreesWithItsDefinition) {
  std::mt19937 engine(4);
  using Kind = network::Pool::Kind;
  for (int trial = 0; trial < 120; ++trial) {
    const Windowed w = DrawWindowed(engine);
    if (!Fits(w)) continue;
    network::Pool pool{static_cast<Kind>(trial % 3), w.size, w.stride, w.dilation, w.padding};
    pool.ceil = trial % 2 == 0;
    pool.count_padding = trial % 5 < 2;
    pool.channel_axis = w.channels_first ? 1 : -1;
    const std::vector<Stretch> spans = SpansOf(w, pool.ceil);
    Sizes out;
    for (const Stretch& span : spans) out.push_back(span.windows);
    const Array x =
        reference::Random(DataIndex(w.examples, w.ins, w.data, w.channels_first), engine);
    Array expected = Zeros(DataIndex(w.examples, w.ins, out, w.channels_first));
    bool all_seen = true;
    ForEach({w.examples, w.ins}, [&](const Sizes& nc) {
      ForEach(out, [&](const Sizes& at) {
        std::vector<double> seen;
        std::int64_t counted = 0;
        ForEach(w.size, [&](const Sizes& tap) {
          Sizes place = at;
          bool inside = true, padded = true;
          for (std::size_t i = 0; i < at.size(); ++i) {
            place[i] = at[i] * w.stride[i] + tap[i] * w.dilation[i] - spans[i].before;
            inside = inside && place[i] >= 0 && place[i] < w.data[i];
            padded = padded && place[i] < w.data[i] + spans[i].after;
          }
          counted += padded ? 1 : 0;
          if (inside) seen.push_back(At(x, DataIndex(nc[0], nc[1], place, w.channels_first)));
        });
        if (seen.empty()) all_seen = false;
        double sum = 0, squares = 0, largest = -std::numeric_limits<double>::infinity();
        for (const double one : seen) {
          sum += one;
          squares += one * one;
          largest = std::max(largest, one);
        }
        const auto divisor = pool.count_padding ? counted : static_cast<std::int64_t>(seen.size());
        At(expected, DataIndex(nc[0], nc[1], at, w.channels_first)) =
            pool.kind == Kind::kMaximum   ? largest
            : pool.kind == Kind::kAverage ? sum / static_cast<double>(divisor)
                                          : std::sqrt(squares);
      });
    });
    // What a window of padding alone yields no framework says.
    if (all_seen) ExpectNear(One(pool, {&x}), expected, 1e-13, "trial " + std::to_string(trial));
  }
}

}  // namespace
}  // namespace ckpt::execution::convolution_test
