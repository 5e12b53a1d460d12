// What the networks of ONNX models yield when they run, against what onnx.reference computed
// (testdata/generators/onnx_networks.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "ckpt/execution/run.h"
#include "ckpt/formats/format.h"
#include "tests/support/paths.h"

namespace ckpt::testing::network_values_test {
namespace {

namespace fs = std::filesystem;
using execution::Array;

const fs::path kFolder = fs::path(ckpt::testing::TestData()) / "onnx_networks";

std::vector<std::string> Models() {
  std::vector<std::string> models;
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    if (entry.path().extension() == ".onnx") models.push_back(entry.path().stem());
  }
  std::sort(models.begin(), models.end());
  return models;
}

struct Recorded {
  Array array;
  bool in_float32 = false;
};

std::optional<Recorded> Find(const Checkpoint& values, const std::string& name) {
  const auto id = FindTensor(values.manifest(), name);
  if (!id) return std::nullopt;
  const TensorInfo& tensor = values.manifest().tensors[id->index];
  const auto elements = ReadDoubles(values, *id, 1u << 22);
  if (!elements) return std::nullopt;
  Recorded recorded;
  recorded.array.shape.assign(tensor.shape.dims().begin(), tensor.shape.dims().end());
  recorded.array.elements = *elements;
  recorded.in_float32 = tensor.dtype == Dtype::kF32;
  if (!IsFloat(tensor.dtype)) {
    recorded.array.kind = tensor.dtype == Dtype::kBool ? network::ElementKind::kBoolean
                                                       : network::ElementKind::kInteger;
  }
  return recorded;
}

// The largest difference over the size of the values; NaN and infinities must agree.
double Difference(const Array& a, const Array& b) {
  double largest = 0, size = 1;
  for (std::size_t i = 0; i < a.elements.size(); ++i) {
    const double x = a.elements[i], y = b.elements[i];
    if ((std::isnan(x) && std::isnan(y)) || x == y) continue;
    largest = std::isfinite(x) && std::isfinite(y) ? std::max(largest, std::abs(x - y)) : INFINITY;
    if (std::isfinite(y)) size = std::max(size, std::abs(y));
  }
  return largest / size;
}

// How far from the reference a value may be; nothing where the reference is not the operator. It
// normalises LRN over as many channels as there are examples, sums signed elements for the first
// norm, takes the unrounded length for aligned corners of given scales, and repeats the edge where
// antialiasing leaves out what lies beyond it (ONNX Runtime and PyTorch do neither).
std::optional<double> Tolerance(const network::Network& net, const network::Port& output) {
  const auto& producer = net.value(output.value).producer;
  if (!producer) return 0;
  const network::Operation& op = net.operation(*producer);
  const std::string& type = net.layers[op.layer].op_type;
  if (type == "LRN" || output.name == "LpNormalization_2") return std::nullopt;
  if (const auto* resize = std::get_if<network::Resize>(&op.computation)) {
    const bool by_scales = resize->sizes.empty() && !resize->scales.empty();
    const bool operand = op.operands.size() > 1;
    if (resize->antialias ||
        (resize->place == network::Resize::Place::kAlignCorners && (by_scales || operand))) {
      return std::nullopt;
    }
    return 1e-6;  // its cubic coefficients are of float32
  }
  // Its erf is of float32, as are the parameters of activations.
  for (const char* rounded : {"Erf", "Gelu", "HardSwish", "LSTM", "GRU"}) {
    if (type == rounded) return 5e-8;
  }
  return 1e-11;
}

class OnnxValues : public ::testing::TestWithParam<std::string> {};

TEST_P(OnnxValues, AreThoseOfTheReference) {
  const auto model = formats::OpenCheckpoint(kFolder / (GetParam() + ".onnx"));
  const auto values = formats::OpenCheckpoint(kFolder / (GetParam() + ".npz"));
  ASSERT_TRUE(model && values);
  const auto net = (*model)->MakeNetwork();
  ASSERT_TRUE(net) << net.error().message;
  std::vector<Array> inputs;
  for (const network::Port& input : net->inputs) {
    const auto recorded = Find(**values, "in_" + input.name);
    ASSERT_TRUE(recorded) << input.name;
    inputs.push_back(recorded->array);
  }
  for (const network::Port& output : net->outputs) {
    SCOPED_TRACE(output.name);
    const auto tolerance = Tolerance(*net, output);
    if (!tolerance) continue;
    execution::RunOptions options;
    options.wanted = {output.value};
    const auto made = execution::Run(*net, **model, inputs, options);
    EXPECT_TRUE(made) << made.error().message;
    const auto expected = Find(**values, "out_" + output.name);
    ASSERT_TRUE(expected);
    if (!made) continue;
    EXPECT_EQ(made->front().shape, expected->array.shape);
    if (made->front().shape != expected->array.shape) continue;
    EXPECT_LT(Difference(made->front(), expected->array), expected->in_float32 ? 2e-6 : *tolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Onnx, OnnxValues, ::testing::ValuesIn(Models()),
                         [](const auto& model) { return model.param; });

}  // namespace
}  // namespace ckpt::testing::network_values_test
