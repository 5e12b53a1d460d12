// What the networks of TensorFlow's graphs yield, against what TensorFlow itself computed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <set>

#include "ckpt/execution/run.h"
#include "ckpt/formats/format.h"
#include "ckpt/serving_network.h"
#include "tests/support/paths.h"

namespace ckpt::values_test {
namespace {

namespace fs = std::filesystem;
using execution::Array;

const fs::path kFolder = fs::path(ckpt::testing::TestData()) / "tf_operations";

std::vector<std::string> Families() {
  std::set<std::string> families;
  for (const auto& entry : fs::directory_iterator(kFolder))
    families.insert(entry.path().filename());
  return {families.begin(), families.end()};
}

struct Recorded {
  Array array;
  bool in_float32 = false;  // TensorFlow's kernel computed so
};

std::map<std::string, Recorded> ReadValues(const Checkpoint& values) {
  std::map<std::string, Recorded> read;
  for (std::uint32_t i = 0; i < values.manifest().tensors.size(); ++i) {
    const TensorInfo& tensor = values.manifest().tensors[i];
    if (tensor.name.starts_with("shape/")) continue;
    const auto elements = ReadDoubles(values, {i}, 1u << 20);
    if (!elements) continue;
    const auto dims = tensor.shape.dims();
    Array array{{dims.begin(), dims.end()}, *elements, network::ElementKind::kReal};
    if (!IsFloat(tensor.dtype)) {
      array.kind = tensor.dtype == Dtype::kBool ? network::ElementKind::kBoolean
                                                : network::ElementKind::kInteger;
    }
    read.emplace(tensor.name, Recorded{std::move(array), tensor.dtype == Dtype::kF32});
  }
  return read;
}

// The largest difference over the size of the values.
double Difference(const Array& a, const Array& b) {
  double largest = 0, size = 1e-300;
  for (std::size_t i = 0; i < a.elements.size(); ++i) {
    const double difference = std::abs(a.elements[i] - b.elements[i]);
    largest = std::isnan(difference) ? INFINITY : std::max(largest, difference);
    size = std::max(size, std::abs(b.elements[i]));
  }
  return largest / std::max(size, 1.0);
}

class Values : public ::testing::TestWithParam<std::string> {};

TEST_P(Values, AreThoseOfTensorFlow) {
  const auto graph = formats::OpenCheckpoint(kFolder / GetParam());
  const auto recorded = formats::OpenCheckpoint(kFolder / GetParam() / "values.npz");
  ASSERT_TRUE(graph && recorded);
  const auto served = NetworkOf(**graph, {});
  ASSERT_TRUE(served) << served.error().message;
  const auto values = ReadValues(**recorded);
  std::vector<Array> inputs;
  for (const network::Port& input : served->network.inputs) {
    inputs.push_back(values.at("in/" + input.name).array);
  }
  for (const network::Port& output : served->network.outputs) {
    SCOPED_TRACE(output.name);
    execution::RunOptions options;
    options.wanted = {output.value};
    const auto made = execution::Run(served->network, *served->model, inputs, options);
    ASSERT_TRUE(made) << made.error().message;
    const Recorded& expected = values.at("out/" + output.name);
    EXPECT_EQ(made->front().shape, expected.array.shape);
    if (made->front().shape != expected.array.shape) continue;
    EXPECT_EQ(made->front().kind, expected.array.kind);
    EXPECT_LT(Difference(made->front(), expected.array), expected.in_float32 ? 2e-6 : 1e-12);
  }
}

INSTANTIATE_TEST_SUITE_P(TensorFlow, Values, ::testing::ValuesIn(Families()),
                         [](const auto& family) { return family.param; });

}  // namespace
}  // namespace ckpt::values_test
