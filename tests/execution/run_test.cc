// Whole networks: which values live, what is computed on the way, what is refused.
#include "ckpt/execution/run.h"

#include <gmock/gmock.h>

#include "tests/execution/reference_kernels.h"
#include "tests/support/memory_checkpoint.h"

namespace ckpt::execution::run_test {
namespace {

using network::NetworkBuilder;
using network::ValueId;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kOrigin = network::Origin::kOnnxGraph;

Array Of(network::Sizes shape, std::vector<double> elements) {
  return {std::move(shape), std::move(elements)};
}

network::Network Finished(NetworkBuilder builder) {
  auto network = std::move(builder).Finish();
  if (!network) ADD_FAILURE() << ToString(network.error());
  return network ? *std::move(network) : network::Network{};
}

struct Failing {
  ErrorCode code;
  std::string message;
};
Failing Fails(const network::Network& network, std::vector<Array> inputs,
              const RunOptions& options = {}) {
  const auto run = execution::Run(network, ckpt::testing::MemoryCheckpoint(), inputs, options);
  if (run) return {ErrorCode::kInternal, "it ran"};
  return {run.error().code, run.error().message};
}

TEST(Run, ReadsConstantsAndKeepsNothingBehindItsLastReader) {
  ckpt::testing::MemoryCheckpoint weights;
  weights.Add("w", {2, 3}, {1, 2, 3, 4, 5, 6});
  weights.Seal();
  NetworkBuilder builder(kOrigin);
  const ValueId x = builder.AddInput("x", network::Sizes{network::kUnknownSize, 3});
  builder.StartLayer("dense", "Dense");
  // [2, 3] read as [3, 2].
  const ValueId w = builder.AddStored("w", {TensorId{0}, {}, {1, 0}}, {3, 2});
  const ValueId y = builder.Add(network::MatrixProduct{}, {x, w}, "y");
  const ValueId z = builder.Add(network::Unary{network::UnaryFunction::kRelu}, {y}, "z");
  const ValueId twice = builder.Add(network::Binary{}, {z, z}, "twice");
  builder.AddOutput("twice", twice);
  const network::Network network = Finished(std::move(builder));
  const Array input = Of({1, 3}, {1, 0, -1});
  const auto run = execution::Run(network, weights, std::span(&input, 1), {});
  ASSERT_TRUE(run) << ToString(run.error());
  EXPECT_THAT((*run)[0].elements, ElementsAre(0, 0));
  const Array other = Of({1, 3}, {1, 1, 1});
  EXPECT_THAT((*execution::Run(network, weights, std::span(&other, 1), {}))[0].elements,
              ElementsAre(12, 30));
}

class Recorder : public Observer {
 public:
  Status Made(ValueId id, const Array& value) override {
    seen.emplace_back(id, value.elements);
    return {};
  }
  std::vector<std::pair<ValueId, std::vector<double>>> seen;
};

TEST(Run, ShowsEachValueAsItWasBeforeAnythingOverwroteIt) {
  NetworkBuilder builder(kOrigin);
  const ValueId x = builder.AddInput("x", network::Sizes{3});
  const ValueId a = builder.Add(network::Unary{network::UnaryFunction::kNegate}, {x});
  const ValueId b = builder.Add(network::Unary{network::UnaryFunction::kRelu}, {a});
  const ValueId c = builder.Add(network::Binary{}, {a, b});  // a lives until here
  builder.AddOutput("c", c);
  const network::Network network = Finished(std::move(builder));
  Recorder recorder;
  RunOptions options;
  options.observer = &recorder;
  const Array input = Of({3}, {1, -2, 3});
  const auto run =
      execution::Run(network, ckpt::testing::MemoryCheckpoint(), std::span(&input, 1), options);
  ASSERT_TRUE(run) << ToString(run.error());
  EXPECT_THAT((*run)[0].elements, ElementsAre(-1, 4, -3));
  ASSERT_EQ(recorder.seen.size(), 3U);
  EXPECT_THAT(recorder.seen[0].second, ElementsAre(-1, 2, -3));
  EXPECT_THAT(recorder.seen[1].second, ElementsAre(0, 2, 0));
  EXPECT_THAT(input.elements, ElementsAre(1, -2, 3));
}

TEST(Run, GivesBatchNormsOtherStatisticsWhereTheyAreAskedFor) {
  NetworkBuilder builder(kOrigin);
  const ValueId x = builder.AddInput("x", network::Sizes{2, 1});
  const ValueId mean = builder.AddInline({{1}, {100}}), variance = builder.AddInline({{1}, {100}});
  const ValueId y = builder.Add(network::BatchNormalization{},
                                {x, network::kNoValue, network::kNoValue, mean, variance});
  builder.AddOutput("y", y);
  const network::Network network = Finished(std::move(builder));
  RunOptions options;
  options.statistics = [](network::OperationId, const Array&) -> Result<std::optional<Statistics>> {
    return std::optional<Statistics>(Statistics{{1}, {4}});
  };
  const Array input = Of({2, 1}, {1, 5});
  const auto run =
      execution::Run(network, ckpt::testing::MemoryCheckpoint(), std::span(&input, 1), options);
  ASSERT_TRUE(run) << ToString(run.error());
  EXPECT_THAT((*run)[0].elements, ElementsAre(0, 2));
}

// A flatten as an exporter writes it: Shape, Gather, Concat, Reshape.
TEST(Plan, FollowsShapesThroughIntegersThatAreComputed) {
  NetworkBuilder builder(kOrigin);
  const ValueId x = builder.AddInput("x", network::PartialShape{});
  const ValueId shape = builder.Add(network::ShapeOf{}, {x});
  const ValueId zero = builder.AddIntegers({0}), rest = builder.AddIntegers({-1});
  const ValueId first = builder.Add(network::Gather{}, {shape, zero});
  const ValueId target = builder.Add(network::Concatenate{0}, {first, rest});
  const ValueId y = builder.Add(network::Reshape{}, {x, target});
  builder.AddOutput("y", y);
  const network::Network network = Finished(std::move(builder));
  const network::Sizes input = {2, 3, 4};
  const auto plan = PlanRun(network, ckpt::testing::MemoryCheckpoint(), std::span(&input, 1), {});
  ASSERT_TRUE(plan) << ToString(plan.error());
  EXPECT_EQ(plan->shapes[y.index], (network::Sizes{2, 12}));
}

TEST(Plan, CountsMultiplyAddsAndBytes) {
  NetworkBuilder builder(kOrigin);
  const ValueId x = builder.AddInput("x", network::Sizes{1, 8, 8, 3});
  const ValueId kernel = builder.AddInline({{3, 3, 3, 5}, std::vector<double>(135, 0.0)});
  network::Convolution convolution;
  convolution.padding.rule = network::PaddingRule::kSameUpper;
  builder.AddOutput("y", builder.Add(convolution, {x, kernel}));
  const network::Network network = Finished(std::move(builder));
  const network::Sizes input = {1, 8, 8, 3};
  const auto plan = PlanRun(network, ckpt::testing::MemoryCheckpoint(), std::span(&input, 1), {});
  ASSERT_TRUE(plan) << ToString(plan.error());
  EXPECT_EQ(plan->total_multiply_adds, 8U * 8 * 5 * 27);
  EXPECT_GE(plan->peak_bytes, 8U * (8 * 8 * 3 + 135 + 8 * 8 * 5));
}

TEST(Run, RefusesWhatIsNotUnderstoodByLayerAndName) {
  NetworkBuilder builder(kOrigin);
  const ValueId x = builder.AddInput("x", network::Sizes{1});
  builder.StartLayer("head/odd", "Lambda");
  builder.AddOutput("y", builder.Add(network::Unknown{"Lambda", "a function of its own"}, {x}));
  const Failing failing = Fails(Finished(std::move(builder)), {Of({1}, {1})});
  EXPECT_EQ(failing.code, ErrorCode::kUnsupported);
  EXPECT_THAT(failing.message, AllOf(HasSubstr("head/odd"), HasSubstr("Lambda")));
}

// Nothing of it may be allocated: the test would not survive that.
TEST(Run, RefusesWhatIsTooLargeBeforeItIsMade) {
  const std::vector<std::pair<network::Computation, network::Sizes>> cases = {
      {network::BroadcastTo{{1000000000}}, {1}},
      {network::BroadcastTo{{1 << 20, 1 << 20, 1 << 20}}, {1}},
      {network::Tile{{int64_t{1} << 40}}, {1}},
      {network::Resize{network::Resize::Mode::kNearest,
                       network::Resize::Place::kAsymmetric,
                       network::Resize::Rounding::kFloor,
                       {},
                       {1000000, 1000000}},
       {1, 1}},
      {network::Pad{network::Pad::Mode::kConstant, {int64_t{1} << 50}, {0}}, {1}},
  };
  for (const auto& [computation, shape] : cases) {
    NetworkBuilder builder(kOrigin);
    const ValueId x = builder.AddInput("x", shape);
    builder.StartLayer("grow", "Grow");
    builder.AddOutput("y", builder.Add(computation, {x}));
    const Failing failing = Fails(Finished(std::move(builder)), {reference::Zeros(shape)});
    EXPECT_EQ(failing.code, ErrorCode::kLimitExceeded) << failing.message;
    EXPECT_THAT(failing.message, HasSubstr("grow"));
  }
}

TEST(Run, RefusesMoreOperationsThanTheBudgetHas) {
  NetworkBuilder builder(kOrigin);
  const ValueId x = builder.AddInput("x", network::Sizes{100, 100});
  builder.AddOutput("y", builder.Add(network::MatrixProduct{}, {x, x}));
  RunOptions options;
  options.budget.operations = 999999;
  const network::Network network = Finished(std::move(builder));
  EXPECT_EQ(Fails(network, {reference::Zeros({100, 100})}, options).code,
            ErrorCode::kLimitExceeded);
  options.budget.operations = 1000000;
  EXPECT_EQ(Fails(network, {reference::Zeros({100, 100})}, options).message, "it ran");
}

TEST(Run, RefusesAnIndexThatIsNotThere) {
  NetworkBuilder builder(kOrigin);
  const ValueId x = builder.AddInput("x", network::Sizes{3});
  const ValueId index = builder.AddInput("i", network::Sizes{1}, network::ElementKind::kInteger);
  builder.AddOutput("y", builder.Add(network::Gather{}, {x, index}));
  const network::Network network = Finished(std::move(builder));
  for (const double at : {3.0, -4.0, 1e300, std::nan("")}) {
    Array indices = Of({1}, {at});
    indices.kind = network::ElementKind::kInteger;
    EXPECT_EQ(Fails(network, {Of({3}, {1, 2, 3}), indices}).code, ErrorCode::kCorrupt) << at;
  }
}

TEST(Evaluate, StretchesAKernelNoFurtherThanTheData) {
  network::Resize resize{network::Resize::Mode::kLinear};
  resize.antialias = true;
  resize.axes = {0};
  resize.scales = {1e-300};
  const Array x = reference::Zeros({4, 2});
  const Array* operands[] = {&x};
  const auto none = Evaluate(resize, operands, 1, {});
  ASSERT_TRUE(none) << ToString(none.error());
  EXPECT_EQ((*none)[0].shape, (network::Sizes{0, 2}));
}

TEST(Evaluate, RefusesARangeThatEndsBeforeItBegins) {
  const Array x = Of({2}, {1, 2}), scale = Of({}, {0.5});
  const Array* operands[] = {&x, &scale};
  const auto refused = Evaluate(network::Quantize{-1, 5, -5}, operands, 1, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt);
  const auto rounded = Evaluate(network::Quantize{-1, 0, 3}, operands, 1, {});
  ASSERT_TRUE(rounded) << ToString(rounded.error());
  EXPECT_THAT((*rounded)[0].elements, ElementsAre(2, 3));
}

// A kernel that takes 18 MB as doubles, in each way in which a product may read it.
struct LargeKernel {
  bool stored_transposed, read_in_order, product_transposes;
};
class StreamedKernel : public ::testing::TestWithParam<LargeKernel> {
 protected:
  static constexpr std::int64_t kIn = 1500, kOut = 1507;
  static double Weight(std::int64_t in, std::int64_t out) {
    return static_cast<double>((in * 31 + out * 17) % 64 - 32) / 8;
  }
};

TEST_P(StreamedKernel, YieldsWhatItsElementsSayAndIsNeverHeld) {
  const auto [stored_transposed, read_in_order, product_transposes] = GetParam();
  // What the file has: [in, out], or [out, in] where one of the two turns it round.
  std::vector<double> elements;
  const std::int64_t rows = stored_transposed ? kOut : kIn, columns = kIn + kOut - rows;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      elements.push_back(stored_transposed ? Weight(j, i) : Weight(i, j));
    }
  }
  ckpt::testing::MemoryCheckpoint weights;
  weights.Add("kernel", {rows, columns}, elements);
  weights.chunk_bytes = 1 << 16;
  weights.Seal();
  NetworkBuilder builder(kOrigin);
  const ValueId x = builder.AddInput("x", network::Sizes{2, kIn});
  network::StoredConstant stored{*FindTensor(weights.manifest(), "kernel"), {}, {}};
  if (!read_in_order) stored.order = {1, 0};
  const bool read_transposed = stored_transposed == read_in_order;
  const ValueId kernel = builder.AddStored(
      "kernel", stored, read_transposed ? network::Sizes{kOut, kIn} : network::Sizes{kIn, kOut});
  ASSERT_EQ(read_transposed, product_transposes);
  network::MatrixProduct product;
  product.transpose_b = product_transposes;
  product.factor = 0.5;
  builder.AddOutput("y", builder.Add(product, {x, kernel}));
  const network::Network network = Finished(std::move(builder));

  Array input{{2, kIn}, {}};
  for (std::int64_t i = 0; i < 2 * kIn; ++i) input.elements.push_back(static_cast<double>(i % 13));
  const auto plan = PlanRun(network, weights, std::span<const Array>(&input, 1), {});
  ASSERT_TRUE(plan) << ToString(plan.error());
  EXPECT_LT(plan->peak_bytes, static_cast<std::uint64_t>(kIn * kOut) * sizeof(double));
  const auto made = execution::Run(network, weights, std::span(&input, 1), {});
  ASSERT_TRUE(made) << ToString(made.error());
  ASSERT_EQ((*made)[0].shape, (network::Sizes{2, kOut}));
  for (std::int64_t n = 0; n < 2; ++n) {
    for (std::int64_t out = 0; out < kOut; ++out) {
      double sum = 0;  // exact: eighths far below 2^53
      for (std::int64_t in = 0; in < kIn; ++in) {
        sum += static_cast<double>((n * kIn + in) % 13) * Weight(in, out);
      }
      ASSERT_EQ((*made)[0].elements[static_cast<std::size_t>(n * kOut + out)], sum / 2)
          << n << " " << out;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, StreamedKernel,
                         ::testing::Values(LargeKernel{false, true, false},
                                           LargeKernel{false, false, true},
                                           LargeKernel{true, true, true},
                                           LargeKernel{true, false, false}));

// The kernel of a convolution that takes 21 MB as doubles, where it may be read in blocks.
struct LargeConvolution {
  KernelLayout layout;
  std::int64_t channel_axis;
  bool flipped;
};
class StreamedConvolution : public ::testing::TestWithParam<LargeConvolution> {
 protected:
  static constexpr std::int64_t kIn = 480, kOut = 607, kExamples = 2, kHeight = 3, kWidth = 2;
  static double Weight(std::int64_t in, std::int64_t out, std::int64_t y, std::int64_t x) {
    return static_cast<double>((in * 31 + out * 17 + y * 5 + x * 3) % 64 - 32) / 8;
  }
  static double Datum(std::int64_t n, std::int64_t in, std::int64_t y, std::int64_t x) {
    return static_cast<double>((n * 7 + in * 3 + y * 5 + x) % 13);
  }
  // Of a 3x3 window around (y, x), zeros outside.
  static double Expected(std::int64_t n, std::int64_t out, std::int64_t y, std::int64_t x,
                         bool flipped) {
    double sum = 0;  // exact: eighths far below 2^53
    for (std::int64_t in = 0; in < kIn; ++in) {
      for (std::int64_t tap = 0; tap < 9; ++tap) {
        const std::int64_t at_y = y + tap / 3 - 1, at_x = x + tap % 3 - 1;
        if (at_y < 0 || at_y >= kHeight || at_x < 0 || at_x >= kWidth) continue;
        const std::int64_t read = flipped ? 8 - tap : tap;
        sum += Datum(n, in, at_y, at_x) * Weight(in, out, read / 3, read % 3);
      }
    }
    return sum;
  }
  static std::vector<double> Kernel(KernelLayout layout) {
    std::vector<double> elements;
    if (layout == KernelLayout::kOutInSpatial) {
      for (std::int64_t i = 0; i < kOut * kIn * 9; ++i) {
        elements.push_back(Weight(i / 9 % kIn, i / 9 / kIn, i % 9 / 3, i % 3));
      }
      return elements;
    }
    for (std::int64_t i = 0; i < 9 * kIn * kOut; ++i) {
      const std::int64_t tap = i / kOut / kIn;
      elements.push_back(Weight(i / kOut % kIn, i % kOut, tap / 3, tap % 3));
    }
    return elements;
  }
};

TEST_P(StreamedConvolution, YieldsWhatItsElementsSayAndIsNeverHeld) {
  const auto [layout, channel_axis, flipped] = GetParam();
  const bool out_first = layout == KernelLayout::kOutInSpatial, first = channel_axis == 1;
  const network::Sizes kernel_shape =
      out_first ? network::Sizes{kOut, kIn, 3, 3} : network::Sizes{3, 3, kIn, kOut};
  ckpt::testing::MemoryCheckpoint weights;
  weights.Add("kernel", kernel_shape, Kernel(layout));
  weights.chunk_bytes = 1 << 16;
  weights.Seal();
  Array input{first ? network::Sizes{kExamples, kIn, kHeight, kWidth}
                    : network::Sizes{kExamples, kHeight, kWidth, kIn},
              {}};
  const std::int64_t points = kHeight * kWidth;
  for (std::int64_t i = 0; i < kExamples * points * kIn; ++i) {
    const std::int64_t point = first ? i % points : i / kIn % points;
    const std::int64_t in = first ? i / points % kIn : i % kIn;
    input.elements.push_back(Datum(i / points / kIn, in, point / kWidth, point % kWidth));
  }
  NetworkBuilder builder(kOrigin);
  const ValueId x = builder.AddInput("x", input.shape);
  const network::StoredConstant stored{*FindTensor(weights.manifest(), "kernel"), {}, {}};
  network::Convolution convolution;
  convolution.layout = layout;
  convolution.channel_axis = first ? 1 : -1;
  convolution.flipped = flipped;
  convolution.padding.rule = network::PaddingRule::kSameUpper;
  builder.AddOutput(
      "y", builder.Add(convolution, {x, builder.AddStored("kernel", stored, kernel_shape)}));
  const network::Network network = Finished(std::move(builder));

  const auto plan = PlanRun(network, weights, std::span<const Array>(&input, 1), {});
  ASSERT_TRUE(plan) << ToString(plan.error());
  EXPECT_LT(plan->peak_bytes, static_cast<std::uint64_t>(kIn * kOut * 9) * sizeof(double));
  const auto made = execution::Run(network, weights, std::span(&input, 1), {});
  ASSERT_TRUE(made) << ToString(made.error());
  ASSERT_EQ((*made)[0].elements.size(), static_cast<std::size_t>(kExamples * kOut * points));
  for (std::int64_t i = 0; i < kExamples * kOut * points; i += 7) {
    const std::int64_t point = first ? i % points : i / kOut % points;
    const std::int64_t out = first ? i / points % kOut : i % kOut;
    ASSERT_EQ((*made)[0].elements[static_cast<std::size_t>(i)],
              Expected(i / points / kOut, out, point / kWidth, point % kWidth, flipped))
        << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, StreamedConvolution,
                         ::testing::Values(LargeConvolution{KernelLayout::kOutInSpatial, 1, false},
                                           LargeConvolution{KernelLayout::kOutInSpatial, 1, true},
                                           LargeConvolution{KernelLayout::kOutInSpatial, 3, false},
                                           LargeConvolution{KernelLayout::kSpatialInOut, 1, false},
                                           LargeConvolution{KernelLayout::kSpatialInOut, 3,
                                                            false}));

TEST(Run, RunsALongChainOfOperations) {
  NetworkBuilder builder(kOrigin);
  ValueId x = builder.AddInput("x", network::Sizes{1});
  const ValueId one = builder.AddScalar(1);
  for (int i = 0; i < 100000; ++i) x = builder.Add(network::Binary{}, {x, one});
  builder.AddOutput("y", x);
  const network::Network network = Finished(std::move(builder));
  const Array input = Of({1}, {0});
  const auto run =
      execution::Run(network, ckpt::testing::MemoryCheckpoint(), std::span(&input, 1), {});
  ASSERT_TRUE(run) << ToString(run.error());
  EXPECT_THAT((*run)[0].elements, ElementsAre(100000));
}

}  // namespace
}  // namespace ckpt::execution::run_test
