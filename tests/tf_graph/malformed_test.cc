// Graphs that contradict themselves, and damaged files: an error that names the operation, never a
// crash.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <random>

#include "tests/support/paths.h"
#include "tests/tf_graph/graph_builder.h"

namespace ckpt::formats::testing::malformed_test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string ErrorOf(const google::protobuf::Message& message, ErrorCode code) {
  const auto graph = ReadBack(message);
  if (graph) return "was read";
  EXPECT_EQ(graph.error().code, code) << ToString(graph.error());
  return ToString(graph.error());
}

TEST(MalformedGraph, AnInputThatIsNotThere) {
  tf_proto::GraphDef graph;
  AddNode(graph, "a", "Placeholder");
  AddNode(graph, "b", "Relu", {"nowhere"});
  EXPECT_THAT(ErrorOf(graph, ErrorCode::kCorrupt),
              AllOf(HasSubstr("\"b\""), HasSubstr("\"nowhere\"")));
  graph.mutable_node(1)->set_input(0, "^nowhere");
  EXPECT_THAT(ErrorOf(graph, ErrorCode::kCorrupt), HasSubstr("\"nowhere\""));
}

TEST(MalformedGraph, TwoOperationsOfOneName) {
  tf_proto::GraphDef graph;
  AddNode(graph, "a", "Placeholder");
  AddNode(graph, "a", "Relu", {"a"});
  EXPECT_THAT(ErrorOf(graph, ErrorCode::kCorrupt), HasSubstr("\"a\" has the name of another"));
}

TEST(MalformedGraph, AnOutputNumberThatIsNone) {
  tf_proto::GraphDef graph;
  AddNode(graph, "a", "Placeholder");
  for (const char* input : {"a:4294967297", "a:99999999", "a:y:-1", "a:y:"}) {
    tf_proto::GraphDef bad = graph;
    AddNode(bad, "b", "Relu", {input});
    EXPECT_THAT(ErrorOf(bad, ErrorCode::kCorrupt), HasSubstr("\"b\" has the input")) << input;
  }
}

TEST(MalformedGraph, ACycleThatNoLoopMakes) {
  tf_proto::GraphDef graph;
  AddNode(graph, "in", "Placeholder");
  AddNode(graph, "a", "Add", {"in", "c"});
  AddNode(graph, "b", "Relu", {"a"});
  AddNode(graph, "c", "Relu", {"b"});
  AddNode(graph, "after", "Relu", {"c"});
  EXPECT_THAT(ErrorOf(graph, ErrorCode::kCorrupt), HasSubstr("a cycle"));
  // Not where a loop makes it.
  graph.mutable_node(1)->set_op("Merge");
  graph.mutable_node(3)->set_op("NextIteration");
  EXPECT_TRUE(ReadBack(graph));
}

TEST(MalformedGraph, AFunctionThatCallsItself) {
  tf_proto::GraphDef graph;
  AddNode(graph, "call", "f");
  for (const char* name : {"f", "g"}) {
    tf_proto::FunctionDef& function = *graph.mutable_library()->add_function();
    function.mutable_signature()->set_name(name);
    tf_proto::NodeDef& inner = *function.add_node_def();
    inner.set_name("inner");
    inner.set_op("PartitionedCall");
    Attr(inner, "f").mutable_func()->set_name(name[0] == 'f' ? "g" : "f");
  }
  EXPECT_THAT(ErrorOf(graph, ErrorCode::kCorrupt), HasSubstr("calls itself"));
}

TEST(MalformedGraph, AFunctionWithoutItsResult) {
  tf_proto::GraphDef graph;
  AddNode(graph, "call", "f");
  tf_proto::FunctionDef& function = *graph.mutable_library()->add_function();
  function.mutable_signature()->set_name("f");
  function.mutable_signature()->add_output_arg()->set_name("y");
  EXPECT_THAT(ErrorOf(graph, ErrorCode::kCorrupt),
              AllOf(HasSubstr("\"y\""), HasSubstr("function \"f\"")));
}

TEST(MalformedGraph, ValuesThatAreNotWhatTheyClaim) {
  const auto with = [](auto&& fill, std::initializer_list<std::int64_t> dims) {
    tf_proto::GraphDef graph;
    fill(AddConst(graph, "w", dims));
    return graph;
  };
  using Tensor = tf_proto::TensorProto;
  const auto content = [](std::size_t bytes) {
    return [bytes](Tensor& tensor) { tensor.set_tensor_content(std::string(bytes, '\1')); };
  };
  EXPECT_TRUE(ReadBack(with(content(24), {2, 3})));
  for (const std::size_t bytes :
       {std::size_t{20}, std::size_t{23}, std::size_t{28}, std::size_t{8192}}) {
    EXPECT_THAT(ErrorOf(with(content(bytes), {2, 3}), ErrorCode::kCorrupt),
                AllOf(HasSubstr("\"w\""), HasSubstr("[2, 3]")));
  }
  const auto floats = [](int count) {
    return [count](Tensor& tensor) {
      for (int i = 0; i < count; ++i) tensor.add_float_val(1);
    };
  };
  EXPECT_TRUE(ReadBack(with(floats(1), {2, 3})));
  EXPECT_THAT(ErrorOf(with(floats(7), {2, 3}), ErrorCode::kCorrupt), HasSubstr("\"w\""));
  EXPECT_THAT(ErrorOf(with(floats(2000), {2, 3}), ErrorCode::kCorrupt), HasSubstr("\"w\""));
  EXPECT_THAT(ErrorOf(with(floats(1), {2, -3}), ErrorCode::kCorrupt), HasSubstr("\"w\""));
  EXPECT_THAT(ErrorOf(with(floats(1), {std::int64_t{1} << 40}), ErrorCode::kLimitExceeded),
              HasSubstr("\"w\""));
  EXPECT_THAT(
      ErrorOf(with([](Tensor& t) { t.set_dtype(static_cast<tf_proto::DataType>(99)); }, {2, 3}),
              ErrorCode::kUnsupported),
      HasSubstr("99"));
}

// The field by which large values are left in the file is this program's own: a file cannot use it.
TEST(MalformedGraph, TheOwnFieldInAFile) {
  tf_proto::GraphDef graph;
  AddConst(graph, "large", {2000}).set_tensor_content(std::string(8000, '\1'));
  tf_proto::TensorProto& forged = AddConst(graph, "forged", {2000});
  forged.set_left_in_file(1);
  const auto read = ReadBack(graph);
  ASSERT_TRUE(read) << ToString(read.error());
  const auto& nodes = RecordOf(**read).graph().node();
  EXPECT_EQ(nodes[0].attr(1).value().tensor().left_in_file(), 1u);
  EXPECT_EQ(nodes[1].attr(1).value().tensor().left_in_file(), 0u);
}

TEST(MalformedGraph, TextThatIsTooDeep) {
  std::string text = "node { name: \"a\" op: \"b\" attr { key: \"k\" value { ";
  for (int i = 0; i < 100000; ++i) text += "func { attr { key: \"k\" value { ";
  const auto graph = ReadBytesOf(text);
  ASSERT_FALSE(graph);
  EXPECT_EQ(graph.error().code, ErrorCode::kCorrupt);
}

TEST(MalformedGraph, AMessageThatIsTooDeep) {
  std::string inner;
  for (int i = 0; i < 2000; ++i) {
    tf_proto::NameAttrList list;
    auto& value = *list.add_attr()->mutable_value();
    value.mutable_func();
    std::string wrapped;  // AttrValue.func.attr.value
    const auto wrap = [](char tag, const std::string& body) {
      std::string out(1, tag);
      for (std::size_t n = body.size(); true; n >>= 7) {
        out.push_back(static_cast<char>(n < 0x80 ? n : (n & 0x7f) | 0x80));
        if (n < 0x80) break;
      }
      return out + body;
    };
    inner = wrap('\x52', wrap('\x12', wrap('\x12', inner)));
  }
  tf_proto::GraphDef graph;
  AddNode(graph, "a", "Placeholder");
  std::string bytes = graph.SerializeAsString();
  const auto wrap = [](char tag, const std::string& body) {
    std::string out(1, tag);
    for (std::size_t n = body.size(); true; n >>= 7) {
      out.push_back(static_cast<char>(n < 0x80 ? n : (n & 0x7f) | 0x80));
      if (n < 0x80) break;
    }
    return out + body;
  };
  bytes += wrap('\x0a',
                "\x0a\x01"
                "b"
                "\x12\x01"
                "R" +
                    wrap('\x2a', wrap('\x12', inner)));
  const auto read = ReadBytesOf(bytes);
  ASSERT_FALSE(read);
  EXPECT_THAT(ToString(read.error()), HasSubstr("nested too deep"));
}

std::string Fixture(const std::string& name) {
  std::ifstream file(ckpt::testing::TestData() + "/tf_graphs/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Any cut and any changed byte of real files is read or refused.
TEST(MalformedGraph, CutsAndChangedBytes) {
  std::mt19937 random(3);
  for (const char* name : {"tf2.15/frozen.pb", "tf2.21/values.pb", "tf2.15/frozen.pbtxt",
                           "tf2.21/frozen_saved_model/saved_model.pb"}) {
    const std::string whole = Fixture(name);
    ASSERT_FALSE(whole.empty()) << name;
    for (int i = 0; i < 150; ++i) {
      const auto graph = ReadBytesOf(whole.substr(0, random() % whole.size()));
      if (!graph) {
        EXPECT_NE(graph.error().code, ErrorCode::kInternal);
      }
    }
    for (int i = 0; i < 400; ++i) {
      std::string changed = whole;
      for (auto times = random() % 3 + 1; times > 0; --times)
        changed[random() % changed.size()] = static_cast<char>(random());
      const auto graph = ReadBytesOf(changed);
      if (!graph) {
        EXPECT_NE(graph.error().code, ErrorCode::kInternal);
      }
    }
  }
}

TEST(MalformedGraph, MoreThanTheLimits) {
  tf_proto::GraphDef graph;
  for (int i = 0; i < 100; ++i) AddNode(graph, "n" + std::to_string(i), "Placeholder");
  Limits limits;
  limits.tensors = 50;
  auto read = ReadBytesOf(graph.SerializeAsString(), limits);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kLimitExceeded);
  limits = {};
  limits.metadata_bytes = 1000;
  read = ReadBytesOf(graph.SerializeAsString(), limits);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kLimitExceeded);
}

}  // namespace
}  // namespace ckpt::formats::testing::malformed_test
