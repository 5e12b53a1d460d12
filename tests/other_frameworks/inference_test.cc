// What networks of Darknet, Caffe and MXNet yield, against values that another program computed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "ckpt/execution/run.h"
#include "ckpt/formats/format.h"
#include "tests/support/paths.h"

namespace ckpt::inference_test {
namespace {

namespace fs = std::filesystem;
using execution::Array;
using network::Sizes;
using network::Unknown;

std::unique_ptr<Checkpoint> Open(const fs::path& path) {
  auto opened = formats::OpenCheckpoint(path);
  EXPECT_TRUE(opened) << opened.error().message;
  return opened ? *std::move(opened) : nullptr;
}

Array Read(const Checkpoint& values, const std::string& name) {
  const auto id = FindTensor(values.manifest(), name);
  EXPECT_TRUE(id) << name;
  if (!id) return {};
  const auto dims = values.manifest().tensors[id->index].shape.dims();
  auto elements = ReadDoubles(values, *id, 1u << 20);
  EXPECT_TRUE(elements);
  return {{dims.begin(), dims.end()}, elements.value_or(std::vector<double>{}), {}};
}

std::vector<std::string> UnknownOf(const network::Network& net) {
  std::vector<std::string> unknown;
  for (const network::Operation& operation : net.operations) {
    const auto* what = std::get_if<Unknown>(&operation.computation);
    if (what != nullptr) unknown.push_back(what->what + ": " + what->why);
  }
  return unknown;
}

struct Case {
  std::string file, values, output;  // of the npz
  std::string wanted = {};           // a value of the network; empty: its output
  double bound = 1e-12;
};
void PrintTo(const Case& one, std::ostream* out) { *out << one.file; }

class Inference : public ::testing::TestWithParam<Case> {};

TEST_P(Inference, YieldsTheRecordedValues) {
  const Case& one = GetParam();
  const auto checkpoint = Open(fs::path(ckpt::testing::TestData()) / one.file);
  const auto values = Open(fs::path(ckpt::testing::TestData()) / one.values);
  ASSERT_TRUE(checkpoint && values);
  const auto net = checkpoint->MakeNetwork();
  ASSERT_TRUE(net) << net.error().message;
  EXPECT_THAT(UnknownOf(*net), ::testing::IsEmpty());
  ASSERT_EQ(net->inputs.size(), 1u);
  ASSERT_EQ(net->outputs.size(), 1u);
  execution::RunOptions options;
  for (std::uint32_t i = 0; i < net->values.size(); ++i) {
    if (!one.wanted.empty() && net->values[i].name == one.wanted) options.wanted = {{i}};
  }
  if (one.wanted.empty()) options.wanted = {net->outputs[0].value};
  const std::vector<Array> inputs = {Read(*values, "input")};
  const auto made = execution::Run(*net, *checkpoint, inputs, options);
  ASSERT_TRUE(made) << made.error().message;
  const Array expected = Read(*values, one.output);
  ASSERT_EQ(made->front().shape, expected.shape);
  double largest = 0;
  for (std::size_t i = 0; i < expected.elements.size(); ++i) {
    largest = std::max(largest, std::abs(made->front().elements[i] - expected.elements[i]));
  }
  EXPECT_LT(largest, one.bound);
}

INSTANTIATE_TEST_SUITE_P(
    OtherFrameworks, Inference,
    ::testing::Values(
        Case{"darknet/small.weights", "darknet/small.npz", "output"},
        Case{"caffe/small.caffemodel", "caffe/small.npz", "output"},
        Case{"mxnet/net-0010.params", "mxnet/net.npz", "output"},
        Case{"mxnet_real/net-0010.params", "mxnet_real/net.npz", "bn1_output", "bn1", 1e-5},
        Case{"mxnet_real/fixed-0010.params", "mxnet_real/fixed.npz", "bn1_output", "bn1", 1e-5}),
    [](const auto& one) {
      std::string name = one.param.file;
      for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
      return name;
    });

// A detector that is published: all of it is understood, and its shapes are those of its prototxt.
TEST(CaffeNetwork, OfAPublicDetectorIsUnderstood) {
  const fs::path model =
      fs::path(ckpt::testing::Corpus()) / "H1/caffe/model/RFB-320/RFB-320.caffemodel";
  if (!fs::exists(model)) GTEST_SKIP() << "no corpus";
  const auto checkpoint = Open(model);
  ASSERT_TRUE(checkpoint);
  const auto net = checkpoint->MakeNetwork();
  ASSERT_TRUE(net) << net.error().message;
  EXPECT_THAT(UnknownOf(*net), ::testing::IsEmpty());
  // Its prior boxes are 4420 for an image of 320 by 240.
  const std::vector<Sizes> inputs = {{1, 3, 240, 320}};
  const auto plan = execution::PlanRun(*net, *checkpoint, inputs, {});
  ASSERT_TRUE(plan) << plan.error().message;
  std::map<std::string, Sizes> outputs;
  for (const network::Port& port : net->outputs) {
    outputs[port.name] = plan->shapes[port.value.index].value_or(Sizes{});
  }
  EXPECT_EQ(outputs,
            (std::map<std::string, Sizes>{{"boxes", {1, 4420, 4}}, {"scores", {1, 4420, 2}}}));
}

}  // namespace
}  // namespace ckpt::inference_test
