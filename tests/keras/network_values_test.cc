// What the networks of Keras files yield when they run, against what Keras computed in float64
// (testdata/generators/keras_networks.py).
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

const fs::path kFolder = fs::path(ckpt::testing::TestData()) / "keras_networks";

std::vector<std::string> Models() {
  std::vector<std::string> models;
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    if (entry.path().extension() != ".npz") models.push_back(entry.path().filename());
  }
  std::sort(models.begin(), models.end());
  return models;
}

std::optional<Array> Recorded(const Checkpoint& values, const std::string& name) {
  const auto id = FindTensor(values.manifest(), name);
  if (!id) return std::nullopt;
  const auto elements = ReadDoubles(values, *id, 1u << 22);
  if (!elements) return std::nullopt;
  const auto dims = values.manifest().tensors[id->index].shape.dims();
  return Array{{dims.begin(), dims.end()}, *elements, {}};
}

// The largest difference over the size of the values.
double Difference(const Array& a, const Array& b) {
  double largest = 0, size = 1;
  for (std::size_t i = 0; i < a.elements.size(); ++i) {
    const double difference = std::abs(a.elements[i] - b.elements[i]);
    largest = difference <= largest ? largest : difference;  // NaN stays
    size = std::max(size, std::abs(b.elements[i]));
  }
  return largest / size;
}

// Keras and TensorFlow have some constants in float32 whatever the type of the data: the factor of
// a MultiHeadAttention, sqrt(2), the slope of a leaky rectifier; a bilinear resize yields float32.
double Tolerance(const std::string& output) {
  if (output == "bilinear") return 1e-6;
  for (const char* rounded : {"scored", "scored:1", "causal", "tf.nn.gelu", "gelu", "leaky_relu"}) {
    if (output == rounded) return 5e-8;
  }
  return 1e-12;
}

class KerasValues : public ::testing::TestWithParam<std::string> {};

TEST_P(KerasValues, AreThoseOfKeras) {
  const fs::path path = kFolder / GetParam();
  const auto model = formats::OpenCheckpoint(path);
  const auto values = formats::OpenCheckpoint(fs::path(path).replace_extension(".npz"));
  ASSERT_TRUE(model && values);
  const auto net = (*model)->MakeNetwork();
  ASSERT_TRUE(net) << net.error().message;
  for (const network::Operation& op : net->operations) {
    const auto* unknown = std::get_if<network::Unknown>(&op.computation);
    EXPECT_EQ(unknown, nullptr) << net->layers[op.layer].name << ": " << unknown->why;
  }
  std::vector<Array> inputs;
  for (const network::Port& input : net->inputs) {
    const auto recorded = Recorded(**values, "in_" + input.name);
    ASSERT_TRUE(recorded) << input.name;
    inputs.push_back(*recorded);
  }
  ASSERT_GT(net->outputs.size(), 3u);
  for (const network::Port& output : net->outputs) {
    SCOPED_TRACE(output.name);
    execution::RunOptions options;
    options.wanted = {output.value};
    const auto made = execution::Run(*net, **model, inputs, options);
    const auto expected = Recorded(**values, "out_" + output.name);
    ASSERT_TRUE(expected);
    EXPECT_TRUE(made) << made.error().message;
    if (!made) continue;
    EXPECT_EQ(made->front().shape, expected->shape);
    if (made->front().shape != expected->shape) continue;
    EXPECT_LT(Difference(made->front(), *expected), Tolerance(output.name));
  }
}

std::string NameOf(const ::testing::TestParamInfo<std::string>& model) {
  std::string name = model.param;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Keras, KerasValues, ::testing::ValuesIn(Models()), NameOf);

}  // namespace
}  // namespace ckpt::testing::network_values_test
