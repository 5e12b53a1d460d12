#include "ckpt/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/verification/test_networks.h"

namespace ckpt::verify_test {
namespace {

using ckpt::testing::Made;
using ckpt::testing::NetMaker;
using ckpt::testing::TestNet;
using ::testing::HasSubstr;

Verification Verified(const Made& a, const Made& b, const VerifyOptions& options = {}) {
  const auto found =
      VerifySameFunction({&a.network, &a.weights}, {&b.network, &b.weights}, options);
  EXPECT_TRUE(found) << (found ? "" : found.error().message);
  return found ? *found : Verification{};
}

// The fold of a network that was changed somewhere, held against the network as it was.
struct Mutant {
  const char* what;
  void (*change)(TestNet& net, int block);
  const char* layer;  // where it must be found: "conv" or "relu" of the block
};

constexpr Mutant kMutants[] = {
    {"epsilon a tenth larger", [](TestNet& net, int i) { net.epsilon[i] *= 1.1; }, "conv"},
    {"one beta more by 1e-5",
     [](TestNet& net, int i) { net.weights[TestNet::Name("beta", i)][2] += 1e-5; }, "conv"},
    {"the variance over n - 1 of 1024",
     [](TestNet& net, int i) {
       for (double& v : net.weights[TestNet::Name("variance", i)]) v *= 1024.0 / 1023;
     },
     "conv"},
    {"two channels swapped",
     [](TestNet& net, int i) {
       auto& gamma = net.weights[TestNet::Name("gamma", i)];
       std::swap(gamma[0], gamma[3]);
     },
     "conv"},
    {"kernel axes of one length transposed",
     [](TestNet& net, int i) {
       auto& kernel = net.weights[TestNet::Name("kernel", i)];
       for (std::size_t at = 0; at < kernel.size(); at += 9) {
         std::swap(kernel[at + 1], kernel[at + 3]);
         std::swap(kernel[at + 2], kernel[at + 6]);
         std::swap(kernel[at + 5], kernel[at + 7]);
       }
     },
     "conv"},
    {"padding on the other side",
     [](TestNet& net, int i) {
       for (std::int64_t& before : net.padding[i].before) ++before;
       for (std::int64_t& after : net.padding[i].after) --after;
     },
     "conv"},
    {"a rectifier cut off", [](TestNet& net, int i) { net.clip[i] = 0.5; }, "relu"},
    {"a kernel through bfloat16",
     [](TestNet& net, int i) {
       for (double& w : net.weights[TestNet::Name("kernel", i)]) {
         const float scaled = static_cast<float>(w) * 257.0F;
         w = static_cast<double>(scaled - (scaled - static_cast<float>(w)));
       }
     },
     "conv"},
};

TEST(Verify, SixtySoundFoldsAreTheSameUpToRounding) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    const TestNet net(seed);
    Made a, b;
    NetMaker(net, a).MakePlain();
    NetMaker(net, b).MakeFolded();
    const Verification found = Verified(a, b);
    ASSERT_EQ(found.verdict, Verdict::kSameUpToRounding) << seed << ": " << found.reason;
    EXPECT_EQ(found.factor, 1);
    ASSERT_TRUE(found.worst);
    EXPECT_LE(found.worst->ratio, 1);
    EXPECT_GT(found.worst->ratio, 0);
  }
}

TEST(Verify, AFoldThatAnotherToolComputedInFloat32IsNeverDifferent) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    const TestNet net(seed);
    Made a, b;
    NetMaker(net, a).MakePlain();
    NetMaker(net, b).MakeFolded(/*in_float=*/true);
    const Verification found = Verified(a, b);
    EXPECT_EQ(found.verdict, Verdict::kSameUpToRounding) << seed << ": " << found.reason;
  }
}

TEST(Verify, TheOriginalHeldAgainstItsFoldIsTheSame) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    const TestNet net(seed);
    Made a, b;
    NetMaker(net, a).MakeFolded();
    NetMaker(net, b).MakePlain();
    EXPECT_EQ(Verified(a, b).verdict, Verdict::kSameUpToRounding) << seed;
  }
}

TEST(Verify, EveryFaultIsFoundAtItsOwnStep) {
  unsigned seed = 100;
  int found_all = 0;
  for (const Mutant& mutant : kMutants) {
    for (int block = 0; block < TestNet::kBlocks; ++block) {
      for (int repeat = 0; repeat < 3; ++repeat) {
        const TestNet net(++seed);
        TestNet changed = net;
        mutant.change(changed, block);
        Made a, b;
        NetMaker(net, a).MakePlain();
        NetMaker(changed, b).MakeFolded();
        VerifyOptions options;
        options.batch = 2;
        const Verification found = Verified(a, b, options);
        const std::string where = std::string(mutant.what) + " in block " + std::to_string(block);
        EXPECT_EQ(found.verdict, Verdict::kDifferent) << where << ": " << found.reason;
        ASSERT_TRUE(found.first_beyond) << where;
        EXPECT_EQ(found.first_beyond->layer_b, TestNet::Name(mutant.layer, block)) << where;
        EXPECT_GT(found.first_beyond->ratio, 1) << where;
        ++found_all;
      }
    }
  }
  EXPECT_GE(found_all, 60);
}

TEST(Verify, AFaultBetweenTwoUnfoldedNetworksIsFoundAtItsOwnStep) {
  for (const Mutant& mutant : kMutants) {
    const TestNet net(7);
    TestNet changed = net;
    mutant.change(changed, 1);
    Made a, b;
    NetMaker(net, a).MakePlain();
    NetMaker(changed, b).MakePlain();
    const Verification found = Verified(a, b);
    EXPECT_EQ(found.verdict, Verdict::kDifferent) << mutant.what << ": " << found.reason;
    ASSERT_TRUE(found.first_beyond) << mutant.what;
    EXPECT_THAT(found.first_beyond->layer_b, ::testing::AnyOf("conv1", "bn1", "relu1"))
        << mutant.what;
  }
}

TEST(Verify, TheSameNetworkIsTheSameAndSaysTheSameTwice) {
  const TestNet net(3);
  Made a, b;
  NetMaker(net, a).MakePlain();
  NetMaker(net, b).MakePlain();
  const Verification first = Verified(a, b), second = Verified(a, b);
  EXPECT_EQ(first.verdict, Verdict::kSame);
  EXPECT_EQ(first.factor, 0);
  EXPECT_EQ(first.outputs[0].max_abs, 0);
  EXPECT_EQ(first.outputs[0].noise, second.outputs[0].noise);
  EXPECT_EQ(first.outputs[0].size, second.outputs[0].size);
}

// Of 64 examples at 9x9, the values of A do not fit an eighth of 9 MiB.
TEST(Verify, ValuesThatDoNotFitMemoryAreComputedAgainAndTheVerdictIsTheSame) {
  VerifyOptions roomy, narrow;
  roomy.batch = narrow.batch = 64;
  narrow.budget.memory_bytes = std::uint64_t{9} << 20;
  for (const bool faulty : {false, true}) {
    const TestNet net(11);
    TestNet changed = net;
    if (faulty) changed.weights["beta2"][1] += 1e-4;
    Made a, b;
    NetMaker(net, a).MakePlain();
    NetMaker(changed, b).MakeFolded();
    for (const auto& [first, second] : {std::pair(&a, &b), std::pair(&b, &a)}) {
      const Verification wide = Verified(*first, *second, roomy);
      const Verification small = Verified(*first, *second, narrow);
      EXPECT_EQ(small.verdict, faulty ? Verdict::kDifferent : Verdict::kSameUpToRounding);
      EXPECT_EQ(small.verdict, wide.verdict);
      EXPECT_EQ(small.steps_compared, wide.steps_compared);
      ASSERT_EQ(small.worst.has_value(), wide.worst.has_value());
      if (small.worst) {
        EXPECT_EQ(small.worst->ratio, wide.worst->ratio);
      }
      ASSERT_EQ(small.first_beyond.has_value(), wide.first_beyond.has_value());
      if (!small.first_beyond) continue;
      EXPECT_EQ(small.first_beyond->layer_b, wide.first_beyond->layer_b);
      EXPECT_EQ(small.first_beyond->value_a, wide.first_beyond->value_a);
    }
  }
}

TEST(Verify, MoreMemoryIsAskedForBeforeAnythingIsRun) {
  const TestNet net(11);
  Made a, b;
  NetMaker(net, a).MakePlain();
  NetMaker(net, b).MakeFolded();
  VerifyOptions options;
  options.batch = 64;
  options.budget.memory_bytes = std::uint64_t{1} << 20;
  const auto found =
      VerifySameFunction({&a.network, &a.weights}, {&b.network, &b.weights}, options);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kLimitExceeded);
  EXPECT_EQ(found.error().remedy, Remedy::kMoreMemory);
}

TEST(Verify, AnOutputThatIsAConstantIsComparedToo) {
  const TestNet net(3);
  Made a, b, c;
  const auto make_constant = [&](Made& made, double last) {
    NetMaker(net, made).MakePlain();
    auto& values = made.network.values;
    const auto found = std::find_if(values.begin(), values.end(),
                                    [](const auto& value) { return value.constant.has_value(); });
    ASSERT_NE(found, values.end());
    found->shape = network::Sizes{2};
    found->constant = network::InlineConstant{{2}, {1, last}};
    made.network.outputs = {{"fixed", {static_cast<std::uint32_t>(found - values.begin())}}};
  };
  make_constant(a, 2);
  make_constant(b, 2);
  make_constant(c, 3);
  EXPECT_EQ(Verified(a, b).verdict, Verdict::kSame);
  EXPECT_EQ(Verified(a, c).verdict, Verdict::kDifferent);
}

// Where tanh is flat its results are equal within what its operands may differ by.
TEST(Verify, AFaultThatAFlatFunctionLevelsOutIsSeenBeforeIt) {
  const auto make = [](Made& made, double added) {
    std::vector<double> kernel(8 * 4, 30.0);
    for (std::size_t i = 0; i < kernel.size(); i += 3) kernel[i] = -20;
    kernel[9] += added;
    made.weights.Add("kernel", {8, 4}, kernel, Dtype::kF32);
    made.weights.Seal();
    network::NetworkBuilder builder(network::Origin::kOnnxGraph);
    network::ValueId value = builder.AddInput("x", network::Sizes{1, 8});
    const auto stored = builder.AddStored("kernel", {{0}, {}, {}}, network::Sizes{8, 4});
    builder.StartLayer("dense", "MatMul");
    value = builder.Add(network::MatrixProduct{}, {value, stored});
    builder.StartLayer("tanh", "Tanh");
    value = builder.Add(network::Unary{network::UnaryFunction::kTanh}, {value});
    builder.AddOutput("y", value);
    made.network = *std::move(builder).Finish();
  };
  Made a, same, wrong;
  make(a, 0);
  make(same, 0);
  make(wrong, 0.25);
  VerifyOptions options;
  options.inputs["x"] = {{1, 8}, {1, 1.5, 0.5, 2, 1, 1.25, 0.75, 1}, {}};
  EXPECT_EQ(Verified(a, same, options).verdict, Verdict::kSame);
  const Verdict found = Verified(a, wrong, options).verdict;
  EXPECT_TRUE(found == Verdict::kDifferent || found == Verdict::kCannotTell) << Name(found);
}

// A convolution, `computation` over what it yields, and a second convolution.
void MakeAround(Made& made, unsigned seed, const network::Computation& computation,
                bool has_kernel) {
  const auto numbers = [&](std::size_t count, double step) {
    std::vector<double> result;
    for (std::size_t i = 0; i < count; ++i) {
      result.push_back(std::sin(step * static_cast<double>(i) + seed));
    }
    return result;
  };
  made.weights.Add("first", {4, 3, 3, 3}, numbers(108, 1.7));
  made.weights.Add("middle", {4, 4, 3, 3}, numbers(144, 0.9));
  made.weights.Add("second", {2, 4, 1, 1}, numbers(8, 2.3));
  made.weights.Seal();
  network::NetworkBuilder builder(network::Origin::kOnnxGraph);
  const auto stored = [&](const std::string& name, const network::Sizes& shape) {
    return builder.AddStored(name, {*FindTensor(made.weights.manifest(), name), {}, {}}, shape);
  };
  network::Convolution conv;
  conv.layout = KernelLayout::kOutInSpatial;
  conv.channel_axis = 1;
  const auto x = builder.AddInput("x", network::Sizes{2, 3, 9, 9});
  builder.StartLayer("first", "Conv");
  auto y = builder.Add(conv, {x, stored("first", {4, 3, 3, 3})});
  builder.StartLayer("middle", "Other");
  std::vector<network::ValueId> operands = {y};
  if (has_kernel) operands.push_back(stored("middle", {4, 4, 3, 3}));
  y = builder.Add(computation, operands);
  builder.StartLayer("second", "Conv");
  y = builder.Add(conv, {y, stored("second", {2, 4, 1, 1})});
  builder.AddOutput("y", y);
  made.network = *std::move(builder).Finish();
}

TEST(Verify, FaultsOfPoolsAndResizesAndTransposedConvolutionsAreFoundAtTheirOwnStep) {
  network::Pool pool;
  pool.kind = network::Pool::Kind::kAverage;
  pool.size = pool.stride = {2, 2};
  pool.padding = {network::PaddingRule::kExplicit, {1, 1}, {1, 1}};
  pool.channel_axis = 1;
  network::Pool counting = pool;
  counting.count_padding = true;
  network::Resize resize;
  resize.mode = network::Resize::Mode::kLinear;
  resize.axes = {2, 3};
  resize.sizes = {11, 11};
  network::Resize aligned = resize;
  aligned.place = network::Resize::Place::kAlignCorners;
  network::TransposedConvolution transposed;
  transposed.stride = {2, 2};
  transposed.padding = {network::PaddingRule::kExplicit, {1, 0}, {0, 1}};
  transposed.layout = KernelLayout::kInOutSpatial;
  transposed.channel_axis = 1;
  network::TransposedConvolution cropped = transposed;
  cropped.padding = {network::PaddingRule::kExplicit, {0, 0}, {1, 1}};
  const std::vector<std::pair<network::Computation, network::Computation>> faults = {
      {pool, counting}, {resize, aligned}, {transposed, cropped}};
  for (unsigned seed = 0; seed < 4; ++seed) {
    for (const auto& [right, wrong] : faults) {
      const bool has_kernel = std::holds_alternative<network::TransposedConvolution>(right);
      Made a, twin, b;
      MakeAround(a, seed, right, has_kernel);
      MakeAround(twin, seed, right, has_kernel);
      MakeAround(b, seed, wrong, has_kernel);
      EXPECT_EQ(Verified(a, twin).verdict, Verdict::kSame);
      const Verification found = Verified(a, b);
      EXPECT_EQ(found.verdict, Verdict::kDifferent) << right.index() << ": " << found.reason;
      ASSERT_TRUE(found.first_beyond) << right.index();
      EXPECT_EQ(found.first_beyond->layer_b, "middle");
    }
  }
}

// A product, then the function as one operation or written out with `constants` in float32.
void MakeGated(Made& made, std::optional<network::UnaryFunction> whole, bool by_tanh,
               std::vector<double> constants) {
  std::vector<double> kernel;
  for (int i = 0; i < 8 * 4; ++i) kernel.push_back(std::sin(i));
  made.weights.Add("kernel", {8, 4}, kernel, Dtype::kF32);
  made.weights.Seal();
  network::NetworkBuilder builder(network::Origin::kOnnxGraph);
  const auto input = builder.AddInput("x", network::Sizes{4, 8});
  const auto stored = builder.AddStored("kernel", {{0}, {}, {}}, network::Sizes{8, 4});
  builder.StartLayer("dense", "MatMul");
  const auto x = builder.Add(network::MatrixProduct{}, {input, stored});
  builder.StartLayer("gate", "Gelu");
  if (whole) {
    builder.AddOutput("y", builder.Add(network::Unary{*whole}, {x}));
  } else {
    const auto scalar = [&](double value) { return builder.AddScalar(TestNet::Float(value)); };
    const auto binary = [&](network::BinaryFunction function, auto a, auto b) {
      return builder.Add(network::Binary{function}, {a, b});
    };
    using Function = network::BinaryFunction;
    auto inner = binary(Function::kDivide, x, scalar(constants[0]));
    if (by_tanh) {
      const auto cube = binary(Function::kPower, x, scalar(3));
      const auto term = binary(Function::kMultiply, cube, scalar(constants[1]));
      inner = binary(Function::kMultiply, binary(Function::kAdd, x, term), scalar(constants[0]));
    }
    const auto bent = by_tanh ? network::UnaryFunction::kTanh : network::UnaryFunction::kErf;
    const auto sum = binary(Function::kAdd, builder.Add(network::Unary{bent}, {inner}), scalar(1));
    builder.AddOutput(
        "y", binary(Function::kMultiply, binary(Function::kMultiply, x, sum), scalar(0.5)));
  }
  made.network = *std::move(builder).Finish();
}

TEST(Verify, AFunctionWrittenOutIsThatFunctionUpToRounding) {
  for (const bool by_tanh : {false, true}) {
    const auto function =
        by_tanh ? network::UnaryFunction::kGeluTanh : network::UnaryFunction::kGelu;
    const std::vector<double> right = {by_tanh ? std::sqrt(2 / std::acos(-1)) : std::sqrt(2.0),
                                       0.044715};
    Made whole, written, wrong;
    MakeGated(whole, function, by_tanh, {});
    MakeGated(written, {}, by_tanh, right);
    MakeGated(wrong, {}, by_tanh, {right[0] * 1.001, right[1]});
    EXPECT_EQ(Verified(whole, written).verdict, Verdict::kSameUpToRounding) << by_tanh;
    const Verification found = Verified(written, whole);
    EXPECT_EQ(found.verdict, Verdict::kSameUpToRounding) << by_tanh << found.reason;
    ASSERT_TRUE(found.worst);
    EXPECT_GT(found.worst->ratio, 0);
    for (const auto& [a, b] : {std::pair(&whole, &wrong), std::pair(&wrong, &whole)}) {
      const Verdict verdict = Verified(*a, *b).verdict;
      EXPECT_TRUE(verdict == Verdict::kDifferent || verdict == Verdict::kCannotTell);
    }
  }
}

TEST(Verify, AnInputThatNothingReadsNeedsNoCounterpart) {
  const TestNet net(3);
  Made a, b;
  NetMaker(net, a).MakePlain();
  NetMaker(net, b).MakeFolded();
  b.network.values.push_back({"mask", network::Sizes{network::kUnknownSize}});
  b.network.inputs.insert(b.network.inputs.begin(),
                          {"mask", {static_cast<std::uint32_t>(b.network.values.size() - 1)}});
  for (const auto& [first, second] : {std::pair(&a, &b), std::pair(&b, &a)}) {
    const Verification found = Verified(*first, *second);
    EXPECT_EQ(found.verdict, Verdict::kSameUpToRounding) << found.reason;
    ASSERT_EQ(found.unread_inputs.size(), 1u);
    EXPECT_EQ(found.unread_inputs[0].name, "mask");
    EXPECT_EQ(found.unread_inputs[0].in_b, first == &a);
  }
}

TEST(Verify, ANaNOfOneIsDifferentAndOfBothCannotBeTold) {
  const TestNet net(3);
  TestNet broken = net;
  broken.weights["beta1"][0] = std::nan("");
  Made a, b, c;
  NetMaker(net, a).MakePlain();
  NetMaker(broken, b).MakePlain();
  NetMaker(broken, c).MakePlain();
  const Verification one = Verified(a, b), both = Verified(b, c);
  EXPECT_EQ(one.verdict, Verdict::kDifferent);
  EXPECT_THAT(one.reason, HasSubstr("bn1"));
  EXPECT_EQ(both.verdict, Verdict::kCannotTell);
  EXPECT_THAT(both.reason, HasSubstr("bn1"));
}

TEST(Verify, WhatIsNotUnderstoodIsNamedAndTheStepsBeforeItAreCompared) {
  const TestNet net(3);
  Made a, b;
  NetMaker(net, a).MakePlain();
  NetMaker(net, b).MakePlain();
  for (Made* made : {&a, &b}) {
    made->network.operations.back().computation = network::Unknown{"Lambda", "the user's own"};
  }
  const Verification found = Verified(a, b);
  EXPECT_EQ(found.verdict, Verdict::kCannotTell);
  EXPECT_THAT(found.reason, HasSubstr("relu2"));
  ASSERT_EQ(found.unknown.size(), 2U);
  VerifyOptions until;
  until.until = "bn2";
  EXPECT_EQ(Verified(a, b, until).verdict, Verdict::kSame);
}

TEST(Verify, OptionsThatContradictTheNetworksAreUsageErrors) {
  const TestNet net(3);
  Made a, b;
  NetMaker(net, a).MakePlain();
  NetMaker(net, b).MakePlain();
  const Runnable of_a{&a.network, &a.weights}, of_b{&b.network, &b.weights};
  VerifyOptions shape, name, until, memory;
  shape.shapes["x"] = {1, 4, 9, 9};
  name.inputs["nope"] = {};
  until.until = "nope";
  memory.budget.memory_bytes = 1000;
  for (const VerifyOptions* wrong : {&shape, &name, &until}) {
    const auto found = VerifySameFunction(of_a, of_b, *wrong);
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().code, ErrorCode::kInvalidArgument) << found.error().message;
  }
  const auto found = VerifySameFunction(of_a, of_b, memory);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kLimitExceeded);
}

TEST(Verify, ValuesAreKeptWhereTheyAreAskedFor) {
  Made a, b;
  const TestNet net(1);
  NetMaker(net, a).MakePlain();
  NetMaker(net, b).MakeFolded();
  EXPECT_FALSE(Verified(a, b).kept);
  VerifyOptions options;
  options.keep_values = true;
  const Verification found = Verified(a, b, options);
  ASSERT_TRUE(found.kept);
  ASSERT_EQ(found.kept->inputs_a.size(), 1U);
  EXPECT_EQ(found.kept->inputs_a[0].shape, found.inputs[0].shape);
  EXPECT_EQ(found.kept->inputs_b[0].elements, found.kept->inputs_a[0].elements);
  ASSERT_EQ(found.kept->outputs_a.size(), found.outputs.size());
  EXPECT_EQ(found.kept->outputs[0].first, found.outputs[0].name_a);
  // Each is that of its own file: they differ by what the report says.
  double largest = 0;
  for (std::size_t i = 0; i < found.kept->outputs_a[0].elements.size(); ++i) {
    largest = std::max(largest, std::abs(found.kept->outputs_a[0].elements[i] -
                                         found.kept->outputs_b[0].elements[i]));
  }
  EXPECT_GT(largest, 0);
  EXPECT_EQ(largest, found.outputs[0].max_abs);
}

}  // namespace
}  // namespace ckpt::verify_test
