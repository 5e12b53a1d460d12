// Kernels against what PyTorch, NumPy and ONNX's reference evaluator computed in float64.
#include <gmock/gmock.h>

#include <set>

#include "ckpt/execution/run.h"
#include "formats/npz/npz.h"
#include "tests/execution/reference_kernels.h"
#include "tests/support/paths.h"

namespace ckpt::execution::kernels_test {
namespace {

using namespace network;  // NOLINT: every operation is named here

class Recorded : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto opened = formats::OpenNpz(formats::SystemFiles(),
                                   ckpt::testing::TestData() + "/execution/kernels.npz", {});
    ASSERT_TRUE(opened) << ToString(opened.error());
    file_ = std::move(*opened);
  }
  static void TearDownTestSuite() { file_.reset(); }

  static bool Has(const std::string& name) {
    return FindTensor(file_->manifest(), name).has_value();
  }
  static Array Load(const std::string& name) {
    const auto id = FindTensor(file_->manifest(), name);
    if (!id) {
      ADD_FAILURE() << "no " << name;
      return reference::Zeros({0});
    }
    auto array = ReadConstant(StoredConstant{*id}, *file_, {});
    if (!array) ADD_FAILURE() << ToString(array.error());
    return array ? *std::move(array) : reference::Zeros({0});
  }

  // Operands by name; "" is one that is left out. Results by name.
  static void Check(const std::string& name, const Computation& computation,
                    const std::vector<std::string>& operands = {"x"},
                    const std::vector<std::string>& results = {"y"}, double tolerance = 1e-12) {
    std::vector<Array> loaded;
    for (const std::string& operand : operands) {
      loaded.push_back(operand.empty() ? Array{} : Load(name + "/" + operand));
    }
    std::vector<const Array*> read;
    for (std::size_t i = 0; i < operands.size(); ++i) {
      read.push_back(operands[i].empty() ? nullptr : &loaded[i]);
    }
    const auto made = Evaluate(computation, read, results.size(), {});
    ASSERT_TRUE(made) << name << ": " << ToString(made.error());
    for (std::size_t r = 0; r < results.size(); ++r) {
      const Array expected = Load(name + "/" + results[r]);
      ASSERT_EQ((*made)[r].shape, expected.shape) << name;
      for (std::size_t i = 0; i < expected.elements.size(); ++i) {
        ASSERT_NEAR((*made)[r].elements[i], expected.elements[i], tolerance)
            << name << "/" << results[r] << " element " << i;
      }
    }
  }

  static std::unique_ptr<Checkpoint> file_;
};
std::unique_ptr<Checkpoint> Recorded::file_;

TEST_F(Recorded, Convolutions) {
  Convolution c{{2, 1}, {2, 1}, {PaddingRule::kExplicit, {1, 2}, {1, 2}}, 2};
  c.layout = KernelLayout::kOutInSpatial;
  c.channel_axis = 1;
  Check("conv_groups", c, {"x", "w", "b"});
  c = {{2, 3}, {}, {PaddingRule::kSameUpper}, 1, KernelLayout::kOutInSpatial, 1};
  Check("conv_same_upper", c, {"x", "w"});
  c.padding.rule = PaddingRule::kSameLower;
  Check("conv_same_lower", c, {"x", "w"});
  TransposedConvolution t{{3, 2}, {1, 2}, {PaddingRule::kExplicit, {1, 0}, {1, 0}}, {2, 1}};
  t.groups = 2;
  t.layout = KernelLayout::kInOutSpatial;
  t.channel_axis = 1;
  Check("conv_transpose", t, {"x", "w", "b"});
}

TEST_F(Recorded, Pooling) {
  const network::Padding one{PaddingRule::kExplicit, {1, 1}, {1, 1}};
  Pool pool{Pool::Kind::kMaximum, {3, 3}, {2, 2}, {2, 2}, one, true, false, 1};
  Check("max_pool_ceil", pool);
  pool = {Pool::Kind::kAverage, {3, 3}, {2, 3}, {}, one, true, false, 1};
  Check("avg_pool_ceil", pool);
  pool.count_padding = true;
  Check("avg_pool_counted", pool);
}

TEST_F(Recorded, ResizesOfPyTorch) {
  for (const bool corners : {false, true}) {
    for (const bool cubic : {false, true}) {
      Resize resize{cubic ? Resize::Mode::kCubic : Resize::Mode::kLinear,
                    corners ? Resize::Place::kAlignCorners : Resize::Place::kHalfPixel};
      resize.axes = {2, 3};
      resize.sizes = {8, 4};
      Check(std::string("resize_") + (cubic ? "bicubic_" : "bilinear_") + (corners ? "1" : "0"),
            resize);
      if (corners) continue;
      resize.sizes = {3, 4};
      resize.antialias = true;
      if (cubic) resize.cubic = -0.5;
      Check(cubic ? "resize_bicubic_antialias" : "resize_bilinear_antialias", resize);
    }
  }
}

TEST_F(Recorded, ResizesOfOnnx) {
  const std::pair<const char*, Resize::Place> places[] = {
      {"asymmetric", Resize::Place::kAsymmetric},
      {"half_pixel", Resize::Place::kHalfPixel},
      {"pytorch_half_pixel", Resize::Place::kPytorchHalfPixel},
      {"align_corners", Resize::Place::kAlignCorners},
      {"half_pixel_symmetric", Resize::Place::kHalfPixelSymmetric}};
  const std::pair<const char*, Resize::Mode> modes[] = {{"nearest", Resize::Mode::kNearest},
                                                        {"linear", Resize::Mode::kLinear},
                                                        {"cubic", Resize::Mode::kCubic}};
  for (const auto& [place_name, place] : places) {
    for (const auto& [mode_name, mode] : modes) {
      Resize resize{mode, place, Resize::Rounding::kHalfDown};
      if (place == Resize::Place::kAlignCorners) {
        resize.sizes = {1, 2, 8, 4};
      } else {
        resize.scales = {1, 1, static_cast<double>(1.7F), static_cast<double>(0.6F)};
      }
      resize.cubic = -0.5;
      resize.exclude_outside = mode == Resize::Mode::kCubic;
      // The evaluator's cubic results agree to single precision only; PyTorch's, above, to double.
      const double tolerance = mode == Resize::Mode::kCubic ? 2e-6 : 1e-12;
      Check(std::string("resize_") + place_name + "_" + mode_name, resize, {"x"}, {"y"}, tolerance);
    }
  }
}

TEST_F(Recorded, Normalisations) {
  Check("group_norm", GroupNormalization{3, 1, 1e-3}, {"x", "g", "b"});
  Check("instance_norm", GroupNormalization{0, 1, 1e-3}, {"x", "g", "b"});
  Check("batch_norm_of_batch", BatchNormalization{1, 1e-3, true}, {"x", "g", "b"});
  Check("batch_norm", BatchNormalization{1, 1e-3}, {"x", "g", "b", "m", "v"});
  // PyTorch divides alpha by the size.
  Check("local_response", LocalResponseNormalization{5, 1, 0.4 / 5, 0.6, 1.5});
  Check("layer_norm", LayerNormalization{{-2, -1}, 1e-3}, {"x", "g", "b"});
  Check("rms_norm", LayerNormalization{{-2, -1}, 1e-3, true}, {"x", "g"});
}

TEST_F(Recorded, Reductions) {
  Reduction reduction{Reduction::Kind::kLogSumExp, {Axes::Which::kListed, {0, 2}}, false};
  Check("logsumexp", reduction);
  reduction = {Reduction::Kind::kVariance, {Axes::Which::kListed, {1}}, false};
  Check("variance", reduction);
  Check("log_softmax", Softmax{1, true});
  Check("cumsum", CumulativeSum{1, false, true});
}

TEST_F(Recorded, PaddingAndSlices) {
  const std::pair<const char*, Pad::Mode> modes[] = {{"reflect", Pad::Mode::kReflect},
                                                     {"symmetric", Pad::Mode::kSymmetric},
                                                     {"edge", Pad::Mode::kEdge},
                                                     {"wrap", Pad::Mode::kWrap}};
  for (const auto& [name, mode] : modes) {
    Check(std::string("pad_") + name, Pad{mode, {1, 0, 2}, {2, 3, 0}});
  }
  Check("slice", Slice{{}, {0, -1, 1}, {Slice::kToEnd, 0, -1}, {2, -2, 1}});
}

TEST_F(Recorded, Products) {
  Check("matmul", MatrixProduct{}, {"x", "w"});
  Check("einsum_product", Einsum{"bij,bkj->bki"}, {"x", "w"});
  Check("einsum_diagonal", Einsum{"bij,jj->i"}, {"x", "w"});
}

TEST_F(Recorded, FunctionsOfOneElement) {
  const double inf = std::numeric_limits<double>::infinity();
  const std::pair<const char*, Unary> functions[] = {
      {"elu", {UnaryFunction::kElu, 0.7}},
      {"selu", {UnaryFunction::kSelu, 1.6732632423543772, 1.0507009873554805}},
      {"celu", {UnaryFunction::kCelu, 0.7}},
      {"silu", {UnaryFunction::kSilu, 1}},
      {"mish", {UnaryFunction::kMish}},
      {"gelu", {UnaryFunction::kGelu}},
      {"gelu_tanh", {UnaryFunction::kGeluTanh}},
      {"hard_swish", {UnaryFunction::kHardSwish, 1.0 / 6, 0.5}},
      {"hard_sigmoid", {UnaryFunction::kHardSigmoid, 1.0 / 6, 0.5}},
      {"softplus", {UnaryFunction::kSoftplus}},
      {"softsign", {UnaryFunction::kSoftsign}},
      {"log_sigmoid", {UnaryFunction::kLogSigmoid}},
      {"sigmoid", {UnaryFunction::kSigmoid}},
      {"leaky_relu", {UnaryFunction::kLeakyRelu, 0.2}},
      {"relu6", {UnaryFunction::kClip, 0, 6}},
      {"hard_shrink", {UnaryFunction::kShrink, 1, 0}},
      {"round", {UnaryFunction::kRound}},
      {"erf", {UnaryFunction::kErf}},
  };
  for (const auto& [name, unary] : functions) Check(std::string("unary_") + name, unary);
  // NaN stays NaN, and infinity where it belongs.
  for (const auto& [name, unary] : functions) {
    const Array x{{3}, {std::nan(""), inf, -inf}};
    const Array* operands[] = {&x};
    const auto y = Evaluate(unary, operands, 1, {});
    ASSERT_TRUE(y) << name;
    EXPECT_TRUE(std::isnan((*y)[0].elements[0])) << name;
  }
}

TEST_F(Recorded, RecurrentLayers) {
  Recurrent lstm;
  lstm.units = 6;
  lstm.transposed = true;
  const std::vector<std::string> weights = {"x",       "weight_ih", "weight_hh",
                                            "bias_ih", "bias_hh",   "h"};
  std::vector<std::string> with_cell = weights;
  with_cell.push_back("c");
  Check("lstm", lstm, with_cell, {"y", "last", "cell"});
  Recurrent gru = lstm;
  gru.cell = Recurrent::Cell::kGru;
  gru.gates = {1, 0, 2, 0};
  gru.reset_after = true;
  Check("gru", gru, weights, {"y", "last"});
  Recurrent rnn = lstm;
  rnn.cell = Recurrent::Cell::kSimple;
  Check("rnn", rnn, weights, {"y", "last"});
}

}  // namespace
}  // namespace ckpt::execution::kernels_test
