// Operations that run code or reach for files, in whatever function they stand.
#include "formats/tf_graph/operation_code.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/op_graph_builder.h"

namespace ckpt::formats::operation_code_test {
namespace {

using ckpt::testing::BodyBuilder;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

void AddFunction(OpGraph& graph, const std::string& name, const std::string& type) {
  OpFunction& function = graph.functions[name];
  function.name = name;
  BodyBuilder(function.body).Add("op", type);
}

TEST(OperationCode, ArithmeticHasNone) {
  OpGraph graph;
  BodyBuilder(graph.top).Add("c", "Conv2D");
  BodyBuilder(graph.top).Add("r", "ReadVariableOp");
  EXPECT_THAT(CodeInOperations(graph), IsEmpty());
}

TEST(OperationCode, IsFoundInFunctionsThatNothingCalls) {
  OpGraph graph;
  BodyBuilder(graph.top).Add("p", "PyFunc");
  for (const char* type : {"EagerPyFunc", "PyFuncStateless", "ReadFile", "WriteFile",
                           "MatchingFiles", "TFRecordDatasetV2", "TextLineReaderV2"}) {
    AddFunction(graph, std::string("f") + type, type);
  }
  EXPECT_THAT(CodeInOperations(graph),
              ElementsAre("the operation PyFunc", "the operation EagerPyFunc",
                          "the operation MatchingFiles", "the operation PyFuncStateless",
                          "the operation ReadFile", "the operation TFRecordDatasetV2",
                          "the operation TextLineReaderV2", "the operation WriteFile"));
}

TEST(OperationCode, SavingIsFoundOutsideASaver) {
  OpGraph graph;
  graph.kind = OpGraphKind::kSavedModel;
  AddFunction(graph, "__inference__traced_save_12", "SaveV2");
  EXPECT_THAT(CodeInOperations(graph), IsEmpty());
  AddFunction(graph, "__inference_call_13", "SaveV2");
  EXPECT_THAT(CodeInOperations(graph), ElementsAre("the operation SaveV2"));
}

}  // namespace
}  // namespace ckpt::formats::operation_code_test
