// Every operation with a row, against what TensorFlow itself computed (testdata/tf_operations).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <set>

#include "ckpt/formats/format.h"
#include "ckpt/serving_network.h"
#include "tensorflow_network/node.h"
#include "tests/support/paths.h"
#include "tests/tensorflow_network/network_reading.h"

namespace ckpt::operations_test {
namespace {

namespace fs = std::filesystem;
using network::kUnknownSize;
using network::Network;
using network::Sizes;

std::vector<std::string> Families() {
  std::set<std::string> families;
  for (const auto& entry :
       fs::directory_iterator(fs::path(ckpt::testing::TestData()) / "tf_operations")) {
    families.insert(entry.path().filename());
  }
  return {families.begin(), families.end()};
}

// What TensorFlow recorded of a family: arrays by name ("out/same_stride").
std::map<std::string, Sizes> ShapesOf(const Checkpoint& values) {
  std::map<std::string, Sizes> shapes;
  for (std::uint32_t i = 0; i < values.manifest().tensors.size(); ++i) {
    const TensorInfo& tensor = values.manifest().tensors[i];
    if (!tensor.name.starts_with("shape/")) {
      const auto dims = tensor.shape.dims();
      shapes[tensor.name] = Sizes(dims.begin(), dims.end());
      continue;
    }
    const auto elements = ReadDoubles(values, {i}, 16);
    if (!elements) continue;
    for (const double element : *elements) {
      shapes[tensor.name].push_back(static_cast<std::int64_t>(element));
    }
    shapes.try_emplace(tensor.name);
  }
  return shapes;
}

// By value: whether its shape may hang on sizes that are left open, or on numbers of the data.
std::vector<bool> OpenValues(const Network& net) {
  std::vector<bool> open(net.values.size(), false);
  for (const network::Port& input : net.inputs) {
    const network::Value& value = net.value(input.value);
    open[input.value.index] =
        !value.shape || value.kind == network::ElementKind::kInteger ||
        std::find(value.shape->begin(), value.shape->end(), kUnknownSize) != value.shape->end();
  }
  for (const network::Operation& operation : net.operations) {
    const bool any = std::any_of(operation.operands.begin(), operation.operands.end(),
                                 [&](network::ValueId operand) {
                                   return operand != network::kNoValue && open[operand.index];
                                 });
    for (const network::ValueId result : operation.results) open[result.index] = any;
  }
  return open;
}

class OfFamily : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const fs::path folder = fs::path(ckpt::testing::TestData()) / "tf_operations" / GetParam();
    auto graph = formats::OpenCheckpoint(folder);
    auto values = formats::OpenCheckpoint(folder / "values.npz");
    ASSERT_TRUE(graph) << graph.error().message;
    ASSERT_TRUE(values) << values.error().message;
    graph_ = *std::move(graph);
    values_ = *std::move(values);
    auto served = NetworkOf(*graph_, {});
    ASSERT_TRUE(served) << served.error().message;
    served_ = *std::move(served);
  }
  std::unique_ptr<Checkpoint> graph_, values_;
  ServedNetwork served_;
};

TEST_P(OfFamily, IsUnderstood) {
  std::vector<std::string> unknown = testing::UnknownOnThePath(served_.network);
  EXPECT_THAT(unknown, ::testing::IsEmpty());
}

TEST_P(OfFamily, HasTheShapesThatTensorFlowFound) {
  const Network& net = served_.network;
  const std::vector<bool> open = OpenValues(net);
  std::size_t compared = 0;
  for (const auto& [name, expected] : ShapesOf(*values_)) {
    if (!name.starts_with("shape/")) continue;
    const network::Value* value = testing::FindValue(net, name.substr(6));
    if (value == nullptr) continue;
    SCOPED_TRACE(name);
    ++compared;
    ASSERT_TRUE(value->shape);
    ASSERT_EQ(value->shape->size(), expected.size());
    const bool may_be_open = open[static_cast<std::size_t>(value - net.values.data())];
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const std::int64_t size = (*value->shape)[i];
      if (may_be_open && size == kUnknownSize) continue;
      EXPECT_EQ(size, expected[i]) << "axis " << i;
    }
  }
  EXPECT_GE(compared, net.outputs.size() / 2);
}

TEST_P(OfFamily, NamesItsInputsAndOutputsAsTheSignatureDoes) {
  std::set<std::string> expected, ports;
  for (const auto& [name, shape] : ShapesOf(*values_)) {
    if (!name.starts_with("shape/")) expected.insert(name);
  }
  for (const network::Port& input : served_.network.inputs) ports.insert("in/" + input.name);
  for (const network::Port& output : served_.network.outputs) ports.insert("out/" + output.name);
  EXPECT_EQ(ports, expected);
}

INSTANTIATE_TEST_SUITE_P(TensorFlow, OfFamily, ::testing::ValuesIn(Families()),
                         [](const auto& family) { return family.param; });

// An operation that nothing shows is one that nothing checks.
TEST(Rows, AreShownByTheTestData) {
  std::set<std::string> shown;
  for (const std::string& family : Families()) {
    const auto opened =
        formats::OpenCheckpoint(fs::path(ckpt::testing::TestData()) / "tf_operations" / family);
    ASSERT_TRUE(opened) << opened.error().message;
    for (const Op& op : (*opened)->manifest().ops->top.ops) shown.insert(op.type);
  }
  // TensorFlow 2 makes none of these any more, or not in a graph by themselves.
  const std::set<std::string> elsewhere = {"BatchNormWithGlobalNormalization", "CheckNumericsV2",
                                           "Conv", "DeepCopy", "RefIdentity"};
  std::vector<std::string> missing;
  for (const auto& family : tf_network::AllRows()) {
    for (const tf_network::Row& row : family) {
      if (!shown.contains(std::string(row.type)) && !elsewhere.contains(std::string(row.type))) {
        missing.emplace_back(row.type);
      }
    }
  }
  EXPECT_THAT(missing, ::testing::IsEmpty());
}

}  // namespace
}  // namespace ckpt::operations_test
