// What the onnx package wrote: tensors, metadata, and the graph of layers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ckpt/audit.h"
#include "ckpt/formats/format.h"
#include "ckpt/layer_computation.h"
#include "formats/onnx/wire.h"
#include "tests/onnx/model_builder.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::testing::reader_test {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Ne;
using ::testing::Pair;
using ::testing::SizeIs;

std::unique_ptr<Checkpoint> OpenFixture(const std::string& name) {
  auto opened = formats::OpenCheckpoint(FixturePath(name));
  EXPECT_TRUE(opened) << ToString(opened.error());
  if (!opened) return nullptr;
  EXPECT_EQ((*opened)->format(), "onnx");
  return *std::move(opened);
}

std::vector<std::string> NamesOf(const Manifest& manifest) {
  std::vector<std::string> names;
  for (const TensorInfo& info : manifest.tensors) names.push_back(info.name);
  return names;
}

Layer LayerNamed(const Checkpoint& checkpoint, const std::string& name) {
  const ModelGraph& graph = *checkpoint.manifest().graph;
  return graph.layers.at(*graph.FindLayer(name));
}

TEST(OnnxReader, ListsInitializersWithMetadata) {
  const auto checkpoint = OpenFixture("conv2d_bn");
  EXPECT_THAT(NamesOf(checkpoint->manifest()),
              ElementsAre("bn.bias", "bn.running_mean", "bn.running_var", "bn.weight", "conv.bias",
                          "conv.weight"));
  EXPECT_EQ(ToString(checkpoint->manifest().tensors[5].shape), "[6, 4, 3, 2]");
  EXPECT_THAT(checkpoint->manifest().metadata, Contains(Pair("opset_import", "ai.onnx 17")));
  EXPECT_THAT(checkpoint->manifest().metadata, Contains(Pair("producer_name", "ckpt-testdata")));
  EXPECT_THAT(checkpoint->manifest().metadata, Contains(Pair("ir_version", "8")));
}

TEST(OnnxReader, ConstantsAreTensorsUnderTheNameOfTheirOutput) {
  const auto checkpoint = OpenFixture("constant_nodes");
  EXPECT_THAT(NamesOf(checkpoint->manifest()),
              ElementsAre("b", "bn.bias", "bn.running_mean", "bn.running_var", "bn.weight", "w"));
  EXPECT_EQ(ElementsOf(*checkpoint, "b").size(), 5U);
}

// A Constant node, or with `as_constant` false an initializer.
void AddNumbers(onnx_proto::ModelProto& model, const std::string& name, std::int32_t type,
                std::size_t count, bool as_constant) {
  onnx_proto::TensorProto* tensor = nullptr;
  if (as_constant) {
    auto& attribute = *AddNode(model, "Constant", {}, name).add_attribute();
    attribute.set_name("value");
    tensor = attribute.mutable_t();
  } else {
    tensor = model.mutable_graph()->add_initializer();
    tensor->set_name(name);
  }
  tensor->set_data_type(type);
  tensor->add_dims(static_cast<std::int64_t>(count));
  tensor->set_raw_data(std::string(count * (type == 1 ? 4 : 8), '\1'));
}

TEST(OnnxReader, WhatSaysHowTheGraphComputesIsNoParameter) {
  constexpr std::int32_t kFloat = 1, kInt64 = 7;
  auto model = EmptyModel();
  model.mutable_graph()->add_input()->set_name("x");
  AddNumbers(model, "shape", kInt64, 2, false);
  AddNumbers(model, "anchors", kFloat, 2, true);
  AddNumbers(model, "learned", kFloat, 2, false);
  AddNumbers(model, "low", kFloat, 1, false);
  AddNumbers(model, "slope", kFloat, 2, true);
  AddNumbers(model, "unread", kInt64, 1, false);
  AddNumbers(model, "w", kFloat, 4, true);
  AddNumbers(model, "bias", kFloat, 2, true);
  auto& dims = *model.mutable_graph()->mutable_node(2)->mutable_attribute(0)->mutable_t();
  dims.clear_dims();
  dims.add_dims(2);
  dims.add_dims(2);
  AddNode(model, "Reshape", {"x", "shape"}, "reshaped");
  AddNode(model, "MatMul", {"reshaped", "w"}, "product");
  AddNode(model, "Add", {"product", "bias"}, "dense");
  AddNode(model, "Mul", {"dense", "anchors"}, "scaled");
  AddNode(model, "Mul", {"scaled", "learned"}, "twice");
  AddNode(model, "Clip", {"twice", "low"}, "clipped");
  AddNode(model, "PRelu", {"clipped", "slope"}, "y");
  model.mutable_graph()->add_output()->set_name("y");
  const auto opened = OpenModel(model);
  ASSERT_TRUE(opened) << ToString(opened.error());
  std::vector<std::string> constants;
  for (const TensorInfo& info : (*opened)->manifest().tensors) {
    if (info.section == Section::kConstant) constants.push_back(info.name);
  }
  EXPECT_THAT(constants, ElementsAre("anchors", "low", "shape"));
}

TEST(OnnxReader, HalfFloatsAreTheSameInEitherField) {
  const auto raw = OpenFixture("float16"), typed = OpenFixture("float16_in_int32_data");
  for (const std::string& name : NamesOf(raw->manifest())) {
    EXPECT_EQ(ElementsOf(*raw, name), ElementsOf(*typed, name)) << name;
  }
}

TEST(OnnxReader, BatchNormsHaveTheirScopeEpsilonAndMomentumFromTheGraph) {
  const auto checkpoint = OpenFixture("chain");
  const Analysis analysis = Analyse(checkpoint->manifest());
  ASSERT_THAT(analysis.batch_norms, SizeIs(3));
  const BatchNorm& bn = analysis.batch_norms[0];
  EXPECT_EQ(bn.scope, "bn1");
  EXPECT_TRUE(bn.certain);
  ASSERT_TRUE(bn.epsilon && bn.momentum);
  EXPECT_EQ(bn.epsilon->value, static_cast<double>(1e-3F));
  EXPECT_EQ(bn.epsilon->evidence.source, EvidenceSource::kGraph);
  EXPECT_EQ(bn.momentum->value, static_cast<double>(0.9F));
}

TEST(OnnxReader, EpsilonIsTheOperatorsDefaultWhereTheNodeRecordsNone) {
  const auto checkpoint = OpenFixture("shared_parameters");
  const Analysis analysis = Analyse(checkpoint->manifest());
  ASSERT_THAT(analysis.batch_norms, SizeIs(2));
  EXPECT_EQ(analysis.batch_norms[0].epsilon->value, static_cast<double>(1e-5F));
}

TEST(OnnxReader, ConvolutionsKeepTheirGroupsAndPadding) {
  const Layer depthwise = LayerNamed(*OpenFixture("conv_depthwise_bn"), "node_c");
  EXPECT_TRUE(IsConvolution(depthwise));
  EXPECT_EQ(depthwise.groups, 4);
  const auto& window = std::get<network::Convolution>(depthwise.computation);
  EXPECT_THAT(window.padding.before, Each(0));
  EXPECT_THAT(window.stride, Contains(Ne(1)));
  const Layer grouped = LayerNamed(*OpenFixture("conv_grouped_bn"), "node_c");
  EXPECT_THAT(std::get<network::Convolution>(grouped.computation).padding.before, Contains(Gt(0)));
  const Layer up = LayerNamed(*OpenFixture("conv_transpose_grouped_bn"), "node_c");
  EXPECT_TRUE(IsTransposed(up));
  EXPECT_EQ(up.layout, KernelLayout::kInOutSpatial);
}

TEST(OnnxReader, GemmHasItsFactors) {
  const Layer gemm = LayerNamed(*OpenFixture("gemm_factors_bn"), "node_g");
  EXPECT_TRUE(IsDense(gemm));
  EXPECT_EQ(gemm.layout, KernelLayout::kSpatialInOut);
  EXPECT_EQ(gemm.kernel_factor, 0.5);
  EXPECT_EQ(gemm.bias_factor, 2.5);
  EXPECT_EQ(LayerNamed(*OpenFixture("gemm_bn"), "node_g").layout, KernelLayout::kOutInSpatial);
}

TEST(OnnxReader, AnAdditionBehindAMatMulIsItsBias) {
  const auto checkpoint = OpenFixture("matmul_add_bn");
  EXPECT_THAT(LayerNamed(*checkpoint, "node_m").tensors, Contains(Key("bias")));
  const LayerId add = *checkpoint->manifest().graph->FindLayer("node_a");
  EXPECT_THAT(checkpoint->manifest().graph->CallsOf(add), IsEmpty());
}

TEST(OnnxReader, WhatAnInnerGraphReadsIsAnOutput) {
  const auto checkpoint = OpenFixture("captured_weight");
  const ModelGraph& graph = *checkpoint->manifest().graph;
  const NodeId bn = graph.CallsOf(*graph.FindLayer("node_bn")).at(0);
  EXPECT_TRUE(graph.values[graph.nodes[bn].output].is_model_output);
  EXPECT_TRUE(IsUnknown(LayerNamed(*checkpoint, "node_z")));
}

TEST(OnnxReader, InitializersThatAreInputsAreNoted) {
  EXPECT_THAT(OpenFixture("initializers_are_inputs")->manifest().note,
              HasSubstr("5 initializers are inputs"));
  EXPECT_THAT(OpenFixture("ir3")->manifest().note, IsEmpty());
}

// O15: a file that no protocol buffer library reads, mostly a hole here.
TEST(OnnxReader, ATensorOfThreeGigabytesIsListedWithoutReadingIt) {
  constexpr std::uint64_t kBytes = std::uint64_t{3} << 30;
  const auto length_field = [](std::uint64_t number, std::uint64_t size, std::string& out) {
    formats::onnx::AppendVarint(number << 3 | 2, out);
    formats::onnx::AppendVarint(size, out);
  };
  std::string tensor, graph, model;
  formats::onnx::AppendVarintField(1, kBytes / 4, tensor);
  formats::onnx::AppendVarintField(2, 1, tensor);
  formats::onnx::AppendLengthField(8, "w", tensor);
  length_field(9, kBytes, tensor);
  length_field(5, tensor.size() + kBytes, graph);
  formats::onnx::AppendVarintField(1, 8, model);
  length_field(7, graph.size() + tensor.size() + kBytes, model);
  const TemporaryFolder folder;
  folder.Write("large.onnx", model + graph + tensor);
  std::filesystem::resize_file(folder / "large.onnx",
                               model.size() + graph.size() + tensor.size() + kBytes);
  const auto opened = formats::OpenCheckpoint((folder / "large.onnx").string());
  ASSERT_TRUE(opened) << ToString(opened.error());
  ASSERT_THAT((*opened)->manifest().tensors, SizeIs(1));
  EXPECT_EQ((*opened)->manifest().tensors[0].byte_size, kBytes);
  const auto stream = (*opened)->Open(TensorId{0});
  ASSERT_TRUE(stream);
  const auto chunk = (*stream)->Next();
  ASSERT_TRUE(chunk);
  EXPECT_LT(chunk->size(), std::size_t{1} << 23);
}

TEST(OnnxAudit, TrainingModeIsAnErrorByTheRulesOfEachOpset) {
  for (const auto& [name, words] : {std::pair{"training_opset15", "training_mode is 1"},
                                    {"training_opset9", "the statistics of its batch"},
                                    {"training_opset6", "is_test is 0"}}) {
    const auto checkpoint = OpenFixture(name);
    const AuditResult result = Audit(*checkpoint, Analyse(checkpoint->manifest()));
    ASSERT_THAT(result.findings, SizeIs(1)) << name;
    EXPECT_EQ(result.findings[0].rule->id, "BN060");
    EXPECT_EQ(result.findings[0].severity, Severity::kError);
    EXPECT_THAT(result.findings[0].message, HasSubstr(words));
  }
}

TEST(OnnxAudit, AGoodModelIsSilent) {
  const auto checkpoint = OpenFixture("chain");
  for (const Finding& finding : Audit(*checkpoint, Analyse(checkpoint->manifest())).findings) {
    EXPECT_EQ(finding.severity, Severity::kInfo) << finding.message;
  }
}

TEST(OnnxAudit, StatisticsThatAreNotStoredAreTold) {
  const auto checkpoint = OpenFixture("statistics_fed");
  const AuditResult result = Audit(*checkpoint, Analyse(checkpoint->manifest()));
  ASSERT_THAT(result.findings, SizeIs(1));
  EXPECT_EQ(result.findings[0].rule->id, "BN061");
  EXPECT_THAT(result.findings[0].message,
              HasSubstr("moving_mean is filled with one value by \"node_mean\" (ConstantOfShape)"));
  EXPECT_THAT(result.findings[0].message, HasSubstr("moving_variance is an input of the model"));
}

// torchvision's FrozenBatchNorm2d, with its constants computed by the exporter.
TEST(OnnxReader, AFrozenBatchNormIsToldByWhatIsLeftOfIt) {
  auto model = EmptyModel();
  AddTensor(model, "w", {2, 1, 1, 1}, {1, 2});
  AddTensor(model, "scale", {1, 2, 1, 1}, {3, 4});
  AddTensor(model, "offset", {1, 2, 1, 1}, {5, 6});
  AddNode(model, "Conv", {"x", "w"}, "c");
  AddNode(model, "Mul", {"c", "scale"}, "m");
  AddNode(model, "Add", {"m", "offset"}, "y");
  model.mutable_graph()->add_input()->set_name("x");
  model.mutable_graph()->add_output()->set_name("y");
  const auto note = [&] {
    const auto opened = OpenModel(model);
    EXPECT_TRUE(opened) << ToString(opened.error());
    return opened ? (*opened)->manifest().note : "";
  };
  EXPECT_THAT(note(), HasSubstr("1 convolution or product is followed by a multiplication"));
  model.mutable_graph()->mutable_node(1)->set_op_type("Div");
  EXPECT_EQ(note(), "");
}

}  // namespace
}  // namespace ckpt::testing::reader_test
