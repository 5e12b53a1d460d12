// Networks that would take more than there is, or that contradict themselves: each is refused in
// words, by its operation's name, before anything large is made; or run where it is harmless.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <limits>

#include "ckpt/verify.h"
#include "tests/onnx/model_builder.h"

namespace ckpt::testing::hostile_network_test {
namespace {

using ::testing::HasSubstr;
using Sizes = std::vector<std::int64_t>;
constexpr std::int64_t kHuge = std::int64_t{1} << 62;

// A model of one node "hostile" that reads "x".
class Model {
 public:
  explicit Model(const Sizes& input) : model_(EmptyModel()) { AddPort(false, "x", input); }

  Model& Integers(const std::string& name, const Sizes& values) {
    return IntegerTensor(name, {static_cast<std::int64_t>(values.size())}, values);
  }
  Model& Integer(const std::string& name, std::int64_t value) {
    return IntegerTensor(name, {}, {value});
  }
  Model& Reals(const std::string& name, std::initializer_list<std::int64_t> dims,
               const std::vector<float>& values) {
    AddTensor(model_, name, dims, values);
    return *this;
  }
  Model& Node(const std::string& type, const std::vector<std::string>& inputs) {
    node_ = &AddNode(model_, type, inputs, "y");
    node_->set_name("hostile");
    return *this;
  }
  Model& WithList(const std::string& name, const Sizes& values) {
    auto& attribute = *node_->add_attribute();
    attribute.set_name(name);
    attribute.set_type(7);
    for (const std::int64_t value : values) attribute.add_ints(value);
    return *this;
  }
  Model& With(const std::string& name, std::int64_t value) {
    auto& attribute = *node_->add_attribute();
    attribute.set_name(name);
    attribute.set_type(2);
    attribute.set_i(value);
    return *this;
  }
  Model& WithText(const std::string& name, const std::string& value) {
    auto& attribute = *node_->add_attribute();
    attribute.set_name(name);
    attribute.set_type(3);
    attribute.set_s(value);
    return *this;
  }
  onnx_proto::ModelProto& proto() { return model_; }
  onnx_proto::NodeProto& node() { return *node_; }

  // What running it against itself comes to: the error, or why it cannot be told, or "".
  std::string Refusal() {
    AddPort(true, "y", {});
    const auto before = std::chrono::steady_clock::now();
    std::string refusal = Outcome();
    const auto took = std::chrono::steady_clock::now() - before;
    EXPECT_LT(std::chrono::duration<double>(took).count(), 20) << refusal;
    return refusal;
  }

 private:
  std::string Outcome() {
    const auto opened = OpenModel(model_);
    if (!opened) return ToString(opened.error());
    const auto net = (*opened)->MakeNetwork();
    if (!net) return ToString(net.error());
    const auto found =
        VerifySameFunction({&*net, opened->get()}, {&*net, opened->get()}, VerifyOptions{});
    if (!found) {
      EXPECT_NE(found.error().code, ErrorCode::kInternal);
      return ToString(found.error());
    }
    EXPECT_NE(found->verdict, Verdict::kDifferent) << found->reason;
    return found->verdict == Verdict::kCannotTell ? found->reason : "";
  }
  Model& IntegerTensor(const std::string& name, const Sizes& dims, const Sizes& values) {
    auto& tensor = *model_.mutable_graph()->add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(7);
    for (const std::int64_t dim : dims) tensor.add_dims(dim);
    tensor.set_raw_data(std::string(reinterpret_cast<const char*>(values.data()),
                                    values.size() * sizeof(std::int64_t)));
    return *this;
  }
  void AddPort(bool is_output, const std::string& name, const Sizes& dims) {
    auto& graph = *model_.mutable_graph();
    auto& port = is_output ? *graph.add_output() : *graph.add_input();
    port.set_name(name);
    auto& type = *port.mutable_type()->mutable_tensor_type();
    type.set_elem_type(1);
    if (is_output) return;
    for (const std::int64_t dim : dims) type.mutable_shape()->add_dim()->set_dim_value(dim);
  }

  onnx_proto::ModelProto model_;
  onnx_proto::NodeProto* node_ = nullptr;
};

TEST(HostileNetwork, ValuesLargerThanMemoryAreRefusedByTheirOperation) {
  EXPECT_THAT(Model({1}).Integers("s", {1000000000}).Node("Expand", {"x", "s"}).Refusal(),
              HasSubstr("\"hostile\""));
  EXPECT_THAT(Model({1, 8}).Integers("s", {1000000, 1000}).Node("Tile", {"x", "s"}).Refusal(),
              HasSubstr("\"hostile\""));
  EXPECT_THAT(Model({1}).Integers("s", {100000, 100000}).Node("ConstantOfShape", {"s"}).Refusal(),
              HasSubstr("\"hostile\""));
  EXPECT_THAT(Model({1})
                  .Integer("from", 0)
                  .Integer("to", 1000000000000)
                  .Integer("by", 1)
                  .Node("Range", {"from", "to", "by"})
                  .Refusal(),
              HasSubstr("\"hostile\""));
  EXPECT_THAT(Model({1})
                  .Integers("at", {0, 1})
                  .Integer("depth", 100000000000)
                  .Reals("values", {2}, {0, 1})
                  .Node("OneHot", {"at", "depth", "values"})
                  .Refusal(),
              HasSubstr("\"hostile\""));
  EXPECT_THAT(Model({1, 1, 4, 4})
                  .Reals("scales", {4}, {1, 1, 1e9F, 1e9F})
                  .Node("Resize", {"x", "", "scales"})
                  .Refusal(),
              HasSubstr("\"hostile\""));
  EXPECT_THAT(Model({1, 1, 4, 4})
                  .Integers("pads", {0, 0, 1000000, 1000000, 0, 0, 1000000, 1000000})
                  .Node("Pad", {"x", "pads"})
                  .Refusal(),
              HasSubstr("\"hostile\""));
}

TEST(HostileNetwork, SizesWhoseProductNoIntegerHoldsAreRefused) {
  EXPECT_THAT(Model({1}).Integers("s", {kHuge, kHuge}).Node("Expand", {"x", "s"}).Refusal(),
              HasSubstr("hostile"));
  EXPECT_THAT(Model({1}).Integers("s", {kHuge, 4}).Node("ConstantOfShape", {"s"}).Refusal(),
              HasSubstr("hostile"));
  EXPECT_THAT(Model({2, 2}).Integers("s", {kHuge, kHuge}).Node("Tile", {"x", "s"}).Refusal(),
              HasSubstr("hostile"));
  EXPECT_THAT(Model({1, 1, 4, 4})
                  .Integers("pads", {0, 0, kHuge, kHuge, 0, 0, kHuge, kHuge})
                  .Node("Pad", {"x", "pads"})
                  .Refusal(),
              HasSubstr("hostile"));
  EXPECT_THAT(Model({1})
                  .Integer("from", std::numeric_limits<std::int64_t>::min())
                  .Integer("to", std::numeric_limits<std::int64_t>::max())
                  .Integer("by", 1)
                  .Node("Range", {"from", "to", "by"})
                  .Refusal(),
              HasSubstr("hostile"));
  EXPECT_NE(Model({kHuge, kHuge}).Node("Relu", {"x"}).Refusal(), "");
}

TEST(HostileNetwork, WindowsThatAreNoneAreRefused) {
  const std::vector<float> kernel(9, 1);
  for (const Sizes& stride : {Sizes{0, 1}, Sizes{-1, 1}, Sizes{1}, Sizes{1, 1, 1}}) {
    EXPECT_THAT(Model({1, 1, 8, 8})
                    .Reals("w", {1, 1, 3, 3}, kernel)
                    .Node("Conv", {"x", "w"})
                    .WithList("strides", stride)
                    .Refusal(),
                HasSubstr("hostile"));
    EXPECT_THAT(Model({1, 1, 8, 8})
                    .Node("MaxPool", {"x"})
                    .WithList("kernel_shape", {2, 2})
                    .WithList("strides", stride)
                    .Refusal(),
                HasSubstr("hostile"));
  }
  for (const Sizes& size : {Sizes{0, 0}, Sizes{-3, 2}, Sizes{kHuge, kHuge}}) {
    EXPECT_THAT(
        Model({1, 1, 8, 8}).Node("AveragePool", {"x"}).WithList("kernel_shape", size).Refusal(),
        HasSubstr("hostile"));
  }
  for (const std::int64_t pad : {std::int64_t{-5}, std::int64_t{1} << 40, kHuge}) {
    EXPECT_THAT(Model({1, 1, 8, 8})
                    .Reals("w", {1, 1, 3, 3}, kernel)
                    .Node("Conv", {"x", "w"})
                    .WithList("pads", {pad, pad, pad, pad})
                    .Refusal(),
                HasSubstr("hostile"))
        << pad;
    EXPECT_THAT(Model({1, 1, 8, 8})
                    .Reals("w", {1, 1, 3, 3}, kernel)
                    .Node("ConvTranspose", {"x", "w"})
                    .WithList("pads", {pad, pad, pad, pad})
                    .Refusal(),
                HasSubstr("hostile"))
        << pad;
  }
  EXPECT_THAT(Model({1, 1, 8, 8})
                  .Reals("w", {1, 1, 3, 3}, kernel)
                  .Node("Conv", {"x", "w"})
                  .WithList("dilations", {kHuge, 1})
                  .Refusal(),
              HasSubstr("hostile"));
  EXPECT_THAT(Model({1, 1, 8, 8})
                  .Reals("w", {1, 1, 3, 3}, kernel)
                  .Node("Conv", {"x", "w"})
                  .With("group", 0)
                  .Refusal(),
              HasSubstr("hostile"));
}

TEST(HostileNetwork, IndicesAndPartsThatAreNotThereAreRefused) {
  EXPECT_THAT(
      Model({4, 4}).Integers("at", {std::int64_t{1} << 40}).Node("Gather", {"x", "at"}).Refusal(),
      HasSubstr("hostile"));
  EXPECT_THAT(Model({4, 4})
                  .Integers("at", {std::numeric_limits<std::int64_t>::min()})
                  .Node("Gather", {"x", "at"})
                  .Refusal(),
              HasSubstr("hostile"));
  EXPECT_THAT(Model({4, 4})
                  .Integers("parts", {kHuge, kHuge, kHuge, kHuge})
                  .Node("Split", {"x", "parts"})
                  .Refusal(),
              HasSubstr("hostile"));
  EXPECT_THAT(Model({4, 4}).Integers("parts", {-4, 8}).Node("Split", {"x", "parts"}).Refusal(),
              HasSubstr("hostile"));
  EXPECT_THAT(Model({4, 4}).Integers("s", {-1, -1}).Node("Reshape", {"x", "s"}).Refusal(),
              HasSubstr("hostile"));
  EXPECT_THAT(Model({4, 4}).Node("Transpose", {"x"}).WithList("perm", {0, 0}).Refusal(),
              HasSubstr("hostile"));
  EXPECT_THAT(Model({4, 4}).Node("Concat", {"x", "x"}).With("axis", kHuge).Refusal(),
              HasSubstr("hostile"));
}

TEST(HostileNetwork, AnEinsumOfManyLettersIsRefusedByItsSize) {
  std::string equation;
  Sizes input;
  for (char letter = 'a'; letter <= 'z'; ++letter) equation += letter;
  for (char letter = 'A'; letter <= 'Z'; ++letter) equation += letter;
  input.assign(52, 1);
  input[0] = input[1] = 2;
  EXPECT_EQ(Model(input).Node("Einsum", {"x"}).WithText("equation", equation + "->ab").Refusal(),
            "");
  std::string outer = "a", result = "a";
  Model model({100});
  std::vector<std::string> operands = {"x"};
  for (char letter = 'b'; letter <= 'h'; ++letter) {
    outer += std::string(",") + letter;
    result += letter;
    operands.emplace_back("x");
  }
  EXPECT_THAT(model.Node("Einsum", operands).WithText("equation", outer + "->" + result).Refusal(),
              HasSubstr("hostile"));
}

TEST(HostileNetwork, ACycleIsRefused) {
  Model model({2});
  model.Node("Add", {"x", "z"});
  AddNode(model.proto(), "Relu", {"y"}, "z").set_name("back");
  EXPECT_NE(model.Refusal(), "");
  EXPECT_NE(Model({2}).Node("Add", {"x", "y"}).Refusal(), "");
}

TEST(HostileNetwork, ALoopIsRefusedByName) {
  for (const char* type : {"Loop", "Scan", "SequenceAt"}) {
    Model model({1});
    model.Integer("n", kHuge).Node(type, {"n", "", "x"});
    auto& body = *model.node().add_attribute();
    body.set_name("body");
    body.set_type(5);
    body.mutable_g()->set_name("body");
    EXPECT_THAT(model.Refusal(), HasSubstr("hostile")) << type;
  }
}

// Branches within branches, all of which read one value: work may not double with each.
TEST(HostileNetwork, NestedBranchesAreRefusedOrRunInBoundedTime) {
  Model model({1});
  model.Node("If", {"x"});
  onnx_proto::NodeProto* at = &model.node();
  for (int depth = 0; depth < 30; ++depth) {
    onnx_proto::NodeProto* next = nullptr;
    for (const char* branch : {"then_branch", "else_branch"}) {
      auto& attribute = *at->add_attribute();
      attribute.set_name(branch);
      attribute.set_type(5);
      auto& graph = *attribute.mutable_g();
      const std::string result = branch + std::to_string(depth);
      graph.add_output()->set_name(result);
      auto& node = *graph.add_node();
      node.set_op_type(next == nullptr ? "If" : "Identity");
      node.set_name(result);
      node.add_input("x");
      node.add_output(result);
      if (next == nullptr) next = &node;
    }
    at = next;
  }
  EXPECT_NE(model.Refusal(), "");
}

TEST(HostileNetwork, ManyOperationsAreRunInTimeThatGrowsAsTheyDo) {
  Model model({2});
  std::string last = "x";
  for (int i = 0; i < 10000; ++i) {
    const std::string next = "v" + std::to_string(i);
    AddNode(model.proto(), "Relu", {last}, next);
    last = next;
  }
  model.Node("Relu", {last});
  EXPECT_EQ(model.Refusal(), "");
}

// Each reads the one before twice: 2^60 paths, to values beyond any double.
TEST(HostileNetwork, ManyPathsAreWalkedOnce) {
  Model model({2});
  std::string last = "x";
  for (int i = 0; i < 60; ++i) {
    const std::string next = "v" + std::to_string(i);
    AddNode(model.proto(), "Mul", {last, last}, next);
    last = next;
  }
  model.Node("Add", {last, last});
  EXPECT_EQ(model.Refusal(), "");
}

TEST(HostileNetwork, ALayerOfRecurrencesThatLieIsRefused) {
  const auto lstm = [](std::int64_t hidden, const std::string& direction) {
    return Model({3, 1, 2})
        .Reals("w", {1, 4, 2}, std::vector<float>(8, 1))
        .Reals("r", {1, 4, 1}, std::vector<float>(4, 1))
        .Node("LSTM", {"x", "w", "r"})
        .With("hidden_size", hidden)
        .WithText("direction", direction)
        .Refusal();
  };
  EXPECT_THAT(lstm(kHuge, "forward"), HasSubstr("hostile"));
  EXPECT_THAT(lstm(1, "bidirectional"), HasSubstr("hostile"));
}

}  // namespace
}  // namespace ckpt::testing::hostile_network_test
