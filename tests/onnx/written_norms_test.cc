// Norms written out in simple operations, node by node as torch.onnx writes them, under names that
// say batch norm: whether one is a batch norm is settled by its formula.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ckpt/batch_norm.h"
#include "tests/onnx/model_builder.h"

namespace ckpt::testing::written_norms_test {
namespace {

const std::vector<float> kFour = {0.5F, 1.5F, 2.5F, 3.5F};

class Net {
 public:
  explicit Net(std::int64_t opset = 13) : model_(EmptyModel(opset)) {
    model_.mutable_graph()->add_input()->set_name("x");
    AddTensor(model_, "eps", {}, {1e-5F});
    AddTensor(model_, "two", {}, {2.0F});
    AddTensor(model_, "column", {4}, {}).set_data_type(7);
    model_.mutable_graph()->mutable_initializer()->rbegin()->set_raw_data(std::string(32, '\1'));
  }
  std::string Vector(const std::string& name, std::initializer_list<std::int64_t> dims = {4}) {
    AddTensor(model_, name, dims, kFour);
    return name;
  }
  std::string Number(const std::string& name) {
    AddTensor(model_, name, {}, {0.3F});
    return name;
  }
  std::string Node(const std::string& type, const std::vector<std::string>& inputs) {
    std::string output = type + '_' + std::to_string(count_++);
    AddNode(model_, type, inputs, output);
    return output;
  }
  std::string Reduce(const std::string& value, std::initializer_list<std::int64_t> axes) {
    std::string output = "ReduceMean_" + std::to_string(count_++);
    auto& attribute = *AddNode(model_, "ReduceMean", {value}, output).add_attribute();
    attribute.set_name("axes");
    for (const std::int64_t axis : axes) attribute.add_ints(axis);
    return output;
  }
  // (value - mean) / sqrt(mean of its square + eps)
  std::string Normalised(const std::string& value, std::initializer_list<std::int64_t> axes) {
    const std::string centred = Node("Sub", {value, Reduce(value, axes)});
    const std::string variance = Reduce(Node("Pow", {centred, "two"}), axes);
    return Node("Div", {centred, Node("Sqrt", {Node("Add", {variance, "eps"})})});
  }
  std::vector<BatchNorm> BatchNorms(const std::string& output) {
    model_.mutable_graph()->add_output()->set_name(output);
    const auto opened = OpenModel(model_);
    if (!opened) {
      ADD_FAILURE() << ToString(opened.error());
      return {};
    }
    analysis_ = Analyse((*opened)->manifest());
    manifest_ = (*opened)->manifest();
    return analysis_.batch_norms;
  }
  Role RoleOf(const std::string& name) const {
    return analysis_.roles.at(FindTensor(manifest_, name).value().index).role;
  }
  const Layer& LayerOf(const BatchNorm& norm) const {
    return manifest_.graph->layers.at(norm.layer.value());
  }
  onnx_proto::ModelProto& model() { return model_; }

 private:
  onnx_proto::ModelProto model_;
  Analysis analysis_;
  Manifest manifest_;
  int count_ = 0;
};

TEST(OnnxWrittenNorms, ALayerNormIsNoBatchNormWhateverItIsCalled) {
  Net net;
  const std::string scaled = net.Node("Mul", {net.Normalised("x", {-1}), net.Vector("bn1.gamma")});
  EXPECT_TRUE(net.BatchNorms(net.Node("Add", {scaled, net.Vector("bn1.beta")})).empty());
  EXPECT_EQ(net.RoleOf("bn1.gamma"), Role::kGamma);
  EXPECT_EQ(net.RoleOf("bn1.beta"), Role::kBeta);
}

TEST(OnnxWrittenNorms, ALayerNormWithAxesAsInputsAndTensorFlowsOrderIsNoBatchNorm) {
  // x * (gamma / sqrt(v)) + (beta - mean * (gamma / sqrt(v)))
  Net net(18);
  auto& axes = AddTensor(net.model(), "axes", {1}, {});
  axes.set_data_type(7);                      // INT64
  axes.set_raw_data(std::string(8, '\xff'));  // -1
  const std::string mean = net.Node("ReduceMean", {"x", "axes"});
  const std::string squares = net.Node("Pow", {net.Node("Sub", {"x", mean}), "two"});
  const std::string variance = net.Node("ReduceMean", {squares, "axes"});
  auto& held = *AddNode(net.model(), "Constant", {}, "held").add_attribute();
  held.set_name("value");
  *held.mutable_t() = net.model().graph().initializer(0);  // as torch.onnx holds epsilon
  const std::string root = net.Node("Sqrt", {net.Node("Add", {variance, "held"})});
  const std::string factor =
      net.Node("Mul", {net.Node("Reciprocal", {root}), net.Vector("bn1/gamma")});
  const std::string offset =
      net.Node("Sub", {net.Vector("bn1/beta"), net.Node("Mul", {mean, factor})});
  EXPECT_TRUE(net.BatchNorms(net.Node("Add", {net.Node("Mul", {"x", factor}), offset})).empty());
}

TEST(OnnxWrittenNorms, AnInstanceNormIsNoBatchNorm) {
  Net net;
  const std::string scaled =
      net.Node("Mul", {net.Normalised("x", {2, 3}), net.Vector("bn1.gamma", {1, 4, 1, 1})});
  const std::string beta = net.Vector("bn1.beta", {1, 4, 1, 1});
  EXPECT_TRUE(net.BatchNorms(net.Node("Add", {scaled, beta})).empty());
}

TEST(OnnxWrittenNorms, AGroupNormAsPyTorchWritesItIsNoBatchNorm) {
  Net net;
  net.Vector("ones");
  net.Vector("zeros");
  const std::string normalised =
      net.Node("InstanceNormalization", {net.Node("Reshape", {"x", "s"}), "ones", "zeros"});
  const std::string back = net.Node("Reshape", {normalised, "shape_of_x"});
  const std::string scaled =
      net.Node("Mul", {back, net.Node("Unsqueeze", {net.Vector("bn1.weight"), "column"})});
  const std::string beta = net.Node("Reshape", {net.Vector("bn1.bias"), "column"});
  EXPECT_TRUE(net.BatchNorms(net.Node("Add", {scaled, beta})).empty());
}

TEST(OnnxWrittenNorms, AnEvoNormsStoredVarianceIsNoBatchNorms) {
  // x / max(sqrt(running_var + eps), x * v + sqrt(var(x) + eps)) * gamma + beta
  Net net;
  const std::string stored = net.Node("Reshape", {net.Vector("bn1.running_var"), "column"});
  const std::string left = net.Node("Sqrt", {net.Node("Add", {stored, "eps"})});
  const std::string squares =
      net.Node("Pow", {net.Node("Sub", {"x", net.Reduce("x", {2, 3})}), "two"});
  const std::string own = net.Node("Sqrt", {net.Node("Add", {net.Reduce(squares, {2, 3}), "eps"})});
  const std::string right =
      net.Node("Add", {net.Node("Mul", {"x", net.Vector("onnx::Mul_9", {1, 4, 1, 1})}), own});
  const std::string divided = net.Node("Div", {"x", net.Node("Max", {left, right})});
  const std::string scaled = net.Node("Mul", {divided, net.Vector("bn1.weight", {1, 4, 1, 1})});
  const std::string beta = net.Vector("bn1.bias", {1, 4, 1, 1});
  EXPECT_TRUE(net.BatchNorms(net.Node("Add", {scaled, beta})).empty());
}

TEST(OnnxWrittenNorms, ASwitchableNormsStatisticsAreNoBatchNorms) {
  // Mean and variance are weighted sums of those of the example and the stored ones.
  Net net;
  int count = 0;
  const auto mixed = [&](const std::string& own, const std::string& stored) {
    const std::string part = net.Node("Mul", {own, net.Number("share_" + std::to_string(count++))});
    const std::string other =
        net.Node("Mul", {stored, net.Number("share_" + std::to_string(count++))});
    return net.Node("Add", {part, other});
  };
  const std::string own_mean = net.Reduce("x", {2});
  const std::string squares = net.Node("Pow", {net.Node("Sub", {"x", own_mean}), "two"});
  const std::string own_variance = net.Reduce(squares, {2});
  const std::string mean = mixed(own_mean, net.Vector("bn1.running_mean", {1, 4, 1}));
  const std::string variance = mixed(own_variance, net.Vector("bn1.running_var", {1, 4, 1}));
  const std::string root = net.Node("Sqrt", {net.Node("Add", {variance, "eps"})});
  const std::string divided = net.Node("Div", {net.Node("Sub", {"x", mean}), root});
  const std::string scaled = net.Node(
      "Mul", {net.Node("Reshape", {divided, "s"}), net.Vector("bn1.weight", {1, 4, 1, 1})});
  const std::string beta = net.Vector("bn1.bias", {1, 4, 1, 1});
  EXPECT_TRUE(net.BatchNorms(net.Node("Add", {scaled, beta})).empty());
}

TEST(OnnxWrittenNorms, StatisticsOfTheBatchAreStillABatchNorms) {
  Net net;
  const std::string scaled =
      net.Node("Mul", {net.Normalised("x", {0, 2, 3}), net.Vector("bn1.gamma", {1, 4, 1, 1})});
  const std::string beta = net.Vector("bn1.beta", {1, 4, 1, 1});
  const std::vector<BatchNorm> found = net.BatchNorms(net.Node("Add", {scaled, beta}));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_TRUE(found[0].certain);
  EXPECT_FALSE(found[0].moving_mean);
  EXPECT_EQ(found[0].scope, "bn1");
  EXPECT_NE(found[0].training_mode, "");
}

// As TensorFlow writes it: x * (gamma * rsqrt) + (beta - mean * (gamma * rsqrt)).
TEST(OnnxWrittenNorms, ABatchNormOfTheBatchIsInTrainingModeWhateverItIsCalled) {
  Net net;
  const std::string gamma = net.Vector("a"), beta = net.Vector("b");
  const std::string mean = net.Reduce("x", {0, 2, 3});
  const std::string variance = net.Node(
      "Sub", {net.Reduce(net.Node("Mul", {"x", "x"}), {0, 2, 3}), net.Node("Mul", {mean, mean})});
  auto& held = *AddNode(net.model(), "Constant", {}, "held").add_attribute();
  held.set_name("value");
  *held.mutable_t() = net.model().graph().initializer(0);  // as torch.onnx holds epsilon
  const std::string root = net.Node("Sqrt", {net.Node("Add", {variance, "held"})});
  const std::string factor =
      net.Node("Mul", {net.Node("Reciprocal", {root}), net.Node("Reshape", {gamma, "column"})});
  const std::string shift =
      net.Node("Sub", {net.Node("Reshape", {beta, "column"}), net.Node("Mul", {mean, factor})});
  const std::string output = net.Node("Add", {net.Node("Mul", {"x", factor}), shift});
  const std::vector<BatchNorm> found = net.BatchNorms(output);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_NE(found[0].training_mode.find("ReduceMean"), std::string::npos);
  EXPECT_FALSE(found[0].moving_mean);
  EXPECT_EQ(net.RoleOf("a"), Role::kGamma);
  EXPECT_EQ(net.RoleOf("b"), Role::kBeta);
}

// The spread of a batch that joins the features (ProGAN), and a batch that is standardised before
// the network.
TEST(OnnxWrittenNorms, StatisticsOverOtherAxesOrWithoutAStoredVectorAreNoBatchNorm) {
  Net net;
  const std::string spread = net.Normalised("x", {0});
  const std::string scaled = net.Node("Mul", {spread, net.Vector("a", {1, 4, 1, 1})});
  const std::string plain = net.Normalised("x", {0, 2, 3});
  EXPECT_TRUE(net.BatchNorms(net.Node("Sum", {scaled, plain})).empty());
}

// (value - mean) * (gamma / sqrt(variance + eps)) + beta, the vectors reshaped before they are
// used.
std::string StoredNorm(Net& net, const std::string& value, const std::string& scope) {
  const auto column = [&](const std::string& leaf) {
    return net.Node("Reshape", {net.Vector(scope + leaf), "column"});
  };
  const std::string root = net.Node("Sqrt", {net.Node("Add", {column(".running_var"), "eps"})});
  const std::string factor = net.Node("Div", {column(".weight"), root});
  const std::string centred = net.Node("Sub", {value, column(".running_mean")});
  return net.Node("Add", {net.Node("Mul", {centred, factor}), column(".bias")});
}

// torch.onnx writes InstanceNorm2d(track_running_stats=True) in eval() so.
TEST(OnnxWrittenNorms, AnInstanceNormWithStoredStatisticsIsOneNormThatStays) {
  Net net;
  std::vector<std::string> inputs = {net.Node("Reshape", {"x", "column"})};
  for (const char* leaf : {"weight", "bias", "running_mean", "running_var"}) {
    const std::string expanded =
        net.Node("Expand", {net.Vector(std::string("inorm.") + leaf), "column"});
    inputs.push_back(net.Node("Tile", {expanded, "column"}));
  }
  const std::string output = net.Node("BatchNormalization", inputs);
  const std::vector<BatchNorm> found = net.BatchNorms(output);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].scope, "inorm");
  EXPECT_EQ(found[0].channels, 4);
  EXPECT_TRUE(found[0].gamma && found[0].beta && found[0].moving_mean && found[0].moving_variance);
  const auto& layer = net.LayerOf(found[0]);
  EXPECT_NE(layer.not_affine.find("instance norm"), std::string::npos);
  EXPECT_FALSE(layer.can_rebind);
}

TEST(OnnxWrittenNorms, ABatchNormWithStoredStatisticsIsFoundBehindAnyOtherNorm) {
  Net net;
  const std::string of_layer = net.Normalised("x", {1});
  const std::string of_instance =
      net.Node("InstanceNormalization", {"x", net.Vector("ones"), net.Vector("zeros")});
  const std::string pooled = net.Node("GlobalAveragePool", {"x"});
  std::vector<std::string> outputs;
  for (const auto& [value, scope] : {std::pair{of_layer, "a"}, {of_instance, "b"}, {pooled, "c"}}) {
    outputs.push_back(StoredNorm(net, value, scope));
  }
  const std::vector<BatchNorm> found = net.BatchNorms(net.Node("Sum", outputs));
  ASSERT_EQ(found.size(), 3U);
  for (const BatchNorm& norm : found) {
    EXPECT_TRUE(norm.gamma && norm.beta && norm.moving_mean && norm.moving_variance) << norm.scope;
  }
}

}  // namespace
}  // namespace ckpt::testing::written_norms_test
