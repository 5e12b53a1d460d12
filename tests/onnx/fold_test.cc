// Folding in the graph, and what the file looks like afterwards. That the model computes the same
// is shown with onnxruntime, in tests/interop.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/onnx/folded.h"
#include "tests/support/committed.h"

namespace ckpt::testing::fold_test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

std::vector<std::string> InitializersOf(const Folded& folded) {
  std::vector<std::string> names;
  for (const auto& tensor : folded.model().graph().initializer()) names.push_back(tensor.name());
  std::sort(names.begin(), names.end());
  return names;
}

const onnx_proto::NodeProto& NodeAt(const Folded& folded, int index) {
  return folded.model().graph().node(index);
}

TEST(OnnxFold, TheNodeAndItsTensorsGoAndTheBiasComes) {
  const Folded folded(FixturePath("conv2d_bn_no_bias"));
  ASSERT_EQ(folded.refusal(), "");
  EXPECT_THAT(folded.Operators(), ElementsAre("Conv", "Relu"));
  EXPECT_THAT(InitializersOf(folded), ElementsAre("conv.bias", "conv.weight"));
  EXPECT_THAT(NodeAt(folded, 0).input(), ElementsAre("x", "conv.weight", "conv.bias"));
  EXPECT_EQ(NodeAt(folded, 1).input(0), NodeAt(folded, 0).output(0));
  EXPECT_EQ(folded.model().ir_version(), 8);
  EXPECT_EQ(folded.model().opset_import(0).version(), 17);
}

// w' = w * gamma / sqrt(variance + epsilon), recomputed here.
TEST(OnnxFold, TheNumbersAreThoseOfTheFormula) {
  const auto source = formats::OpenCheckpoint(FixturePath("conv2d_bn"));
  ASSERT_TRUE(source);
  const Folded folded(**source);
  ASSERT_EQ(folded.refusal(), "");
  const auto get = [&](const char* name) { return ElementsOf(**source, name); };
  const auto gamma = get("bn.weight"), beta = get("bn.bias"), mean = get("bn.running_mean"),
             variance = get("bn.running_var"), w = get("conv.weight"), b = get("conv.bias");
  const auto w2 = ElementsOf(folded.written(), "conv.weight"),
             b2 = ElementsOf(folded.written(), "conv.bias");
  const std::size_t per_channel = w.size() / b.size();
  for (std::size_t i = 0; i < w.size(); ++i) {
    const std::size_t c = i / per_channel;
    const double scale = gamma[c] / std::sqrt(variance[c] + static_cast<double>(1e-3F));
    EXPECT_FLOAT_EQ(static_cast<float>(w2[i]), static_cast<float>(w[i] * scale));
    EXPECT_FLOAT_EQ(static_cast<float>(b2[c]),
                    static_cast<float>((b[c] - mean[c]) * scale + beta[c]));
  }
}

TEST(OnnxFold, GemmKeepsAlphaAndLosesTheBetaOfABiasThatWasNotThere) {
  const Folded with_bias(FixturePath("gemm_factors_bn"));
  EXPECT_THAT(with_bias.Operators(), ElementsAre("Gemm", "Relu"));
  const Folded without(FixturePath("gemm_no_bias_bn"));
  for (const auto& attribute : NodeAt(without, 0).attribute()) {
    if (attribute.name() == "beta") {
      EXPECT_EQ(attribute.f(), 1);
    }
  }
  EXPECT_EQ(NodeAt(without, 0).input_size(), 3);
  EXPECT_EQ(
      ToString(Folded(FixturePath("gemm_scalar_bias_bn")).written().manifest().tensors[0].shape),
      "[5]");
}

TEST(OnnxFold, MatMulGetsAnAdditionBehindIt) {
  EXPECT_THAT(Folded(FixturePath("matmul_bn")).Operators(), ElementsAre("MatMul", "Add", "Relu"));
  EXPECT_THAT(Folded(FixturePath("matmul_add_bn")).Operators(),
              ElementsAre("MatMul", "Add", "Relu"));
}

TEST(OnnxFold, OutputsKeepTheirNames) {
  const Folded folded(FixturePath("bn_is_output"));
  EXPECT_THAT(folded.Operators(), ElementsAre("Conv", "Relu"));
  EXPECT_EQ(NodeAt(folded, 0).output(0), "bn");
  EXPECT_EQ(NodeAt(folded, 1).input(0), "bn");
}

TEST(OnnxFold, SharedWeightsAreDoubledWhereOneNeedsItsOwn) {
  const Folded one(FixturePath("shared_weights_one_bn"));
  EXPECT_THAT(one.Operators(), ElementsAre("Conv", "Relu", "Conv"));
  EXPECT_EQ(NodeAt(one, 2).input(1), "shared.weight");
  EXPECT_NE(NodeAt(one, 0).input(1), "shared.weight");
  const Folded two(FixturePath("shared_weights_two_bn"));
  EXPECT_THAT(two.plan().kept, IsEmpty());
  EXPECT_THAT(InitializersOf(two), Not(Contains("shared.weight")));
  EXPECT_THAT(InitializersOf(two), SizeIs(4));
}

TEST(OnnxFold, ParametersThatAreSharedGoWithTheLastThatNeedsThem) {
  EXPECT_THAT(InitializersOf(Folded(FixturePath("shared_parameters"))), SizeIs(4));
  const Folded chained(FixturePath("identity_parameters"));
  EXPECT_THAT(chained.Operators(), ElementsAre("Conv", "Relu", "Conv", "Relu"));
  EXPECT_THAT(InitializersOf(chained), SizeIs(4));
}

TEST(OnnxFold, ConstantNodesAreChangedWhereTheyStand) {
  const Folded folded(FixturePath("constant_nodes"));
  EXPECT_THAT(folded.Operators(), ElementsAre("Constant", "Constant", "Conv", "Relu"));
  EXPECT_THAT(InitializersOf(folded), IsEmpty());
}

TEST(OnnxFold, NewNamesKeepAwayFromThoseOfValues) {
  const Folded folded(FixturePath("taken_names"));
  ASSERT_EQ(folded.refusal(), "");
  const std::string bias = NodeAt(folded, 0).input(2);
  EXPECT_NE(bias, "conv.bias");
  EXPECT_NE(bias, "conv.weight_bias");
  EXPECT_NE(bias, "conv.bias_4");
}

TEST(OnnxFold, BeforeIrVersion4InitializersAreInputs) {
  const Folded folded(FixturePath("ir3"));
  std::vector<std::string> inputs;
  for (const auto& input : folded.model().graph().input()) inputs.push_back(input.name());
  EXPECT_THAT(inputs, ElementsAre("x", "conv.weight", "conv.bias"));
  EXPECT_EQ(Folded(FixturePath("initializers_are_inputs")).model().graph().input_size(), 2);
}

TEST(OnnxFold, RefusalsSayWhy) {
  const std::pair<const char*, const char*> cases[] = {
      {"conv_is_output_bn", "is an output of the model as well"},
      {"bn_conv_padded", "pads with zeros"},
      {"matmul_rank3_bn", "different ones"},
      {"average_pool_counted_bn", "pads with zeros"},
      {"max_pool_negative_bn", "some of its scales are negative"},
      {"gemm_matrix_bias_bn", "has shape [3, 5]"},
      {"bn_gemm_transposed_input", "transposed"},
      {"statistics_fed", "filled with one value"},
  };
  for (const auto& [name, reason] : cases) {
    const Folded folded(FixturePath(name));
    ASSERT_EQ(folded.refusal(), "") << name;
    ASSERT_THAT(folded.plan().kept, SizeIs(1)) << name;
    EXPECT_THAT(folded.plan().kept[0].reason, HasSubstr(reason)) << name;
    EXPECT_THAT(folded.Operators(), Contains("BatchNormalization")) << name;
  }
}

TEST(OnnxFold, WhatTheGraphWritesOutOrStoresOtherwiseIsFoldedToo) {
  const std::pair<const char*, std::vector<std::string>> cases[] = {
      {"written_norm", {"Conv", "Relu"}},
      {"written_norm_deviation", {"Conv", "Relu"}},
      {"written_norm_frozen", {"Conv", "Relu"}},
      {"written_norm_dense", {"Gemm", "Relu"}},
      {"written_norm_is_output", {"Conv"}},
      // The root that both share is read by nothing now.
      {"written_norm_shared", {"Conv", "Add", "Sqrt", "Relu", "Conv", "Relu"}},
      {"matmul_stored_transpose_bn", {"Transpose", "MatMul", "Add", "Relu"}},
      {"matmul_shared_transpose_bn", {"Transpose", "MatMul", "Add", "Relu", "MatMul"}},
      {"conv_filled_bias_bn", {"Expand", "Conv", "Relu"}},
      {"conv_shared_filled_bias_bn", {"Expand", "Mul", "Conv", "Relu"}},
      {"conv_transpose_add_constant_bn", {"ConvTranspose", "Add", "Relu"}},
      {"bn_reshape_gemm", {"Reshape", "Gemm"}},
      {"matmul_transpose_bn", {"MatMul", "Add", "Transpose"}},
  };
  for (const auto& [name, operators] : cases) {
    const Folded folded(FixturePath(name));
    ASSERT_EQ(folded.refusal(), "") << name;
    EXPECT_THAT(folded.plan().kept, IsEmpty()) << name;
    EXPECT_EQ(folded.Operators(), operators) << name;
  }
}

TEST(OnnxFold, AScaleAndAnOffsetForEachChannelGoWhereALayerIsInFrontOfThem) {
  const std::pair<const char*, std::vector<std::string>> cases[] = {
      {"frozen_norm", {"Conv", "Relu", "Conv"}},
      {"frozen_norm_dense", {"Gemm", "Relu"}},
      {"frozen_norm_transpose", {"ConvTranspose", "Relu"}},
      {"frozen_norm_shared", {"Conv", "Relu", "Conv", "Relu"}},
  };
  for (const auto& [name, operators] : cases) {
    const Folded folded(FixturePath(name));
    ASSERT_EQ(folded.refusal(), "") << name;
    EXPECT_EQ(folded.Operators(), operators) << name;
    EXPECT_THAT(folded.plan().kept, IsEmpty()) << name;
    for (const auto& entry : folded.plan().folded) {
      EXPECT_EQ(entry.epsilon.evidence.source, EvidenceSource::kGraph) << name;
      EXPECT_GT(entry.error_bound, 0) << name;
    }
  }
  EXPECT_THAT(Folded(FixturePath("frozen_norm_shared")).plan().folded, SizeIs(3));
}

// They are no batch norms: nothing is kept, and nothing is judged.
TEST(OnnxFold, AScaleThatStaysIsNoBatchNormThatStays) {
  for (const char* name : {"frozen_norm_two_readers", "frozen_norm_other_axis"}) {
    const Folded folded(FixturePath(name));
    ASSERT_EQ(folded.refusal(), "") << name;
    EXPECT_THAT(folded.Operators(), Contains("Mul")) << name;
    EXPECT_THAT(folded.plan().folded, IsEmpty()) << name;
    EXPECT_THAT(folded.plan().kept, IsEmpty()) << name;
  }
}

TEST(OnnxFold, TheVectorsOfAScaleHaveRolesAndNoFindings) {
  const auto opened = formats::OpenCheckpoint(FixturePath("frozen_norm"));
  ASSERT_TRUE(opened) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  EXPECT_THAT(manifest.note, HasSubstr("as a frozen batch norm is exported"));
  const Analysis analysis = Analyse(manifest);
  EXPECT_THAT(analysis.batch_norms, IsEmpty());
  EXPECT_THAT(Audit(**opened, analysis).findings, IsEmpty());
  for (const auto& [name, role] : {std::pair("bn.m", Role::kGamma), {"bn.moved", Role::kBeta}}) {
    const TensorRole& found = analysis.roles[FindTensor(manifest, name)->index];
    EXPECT_EQ(found.role, role) << name;
    EXPECT_FALSE(found.trainable) << name;
    ASSERT_FALSE(found.evidence.empty()) << name;
    EXPECT_THAT(found.evidence.front().detail, HasSubstr("scale and offset for each channel"));
  }
}

TEST(OnnxFold, AWrittenBatchNormThatStaysIsWhatItWasOrOneMultiplicationAndOneAddition) {
  const Folded kept(FixturePath("written_norm_alone"));
  ASSERT_THAT(kept.plan().kept, SizeIs(1));
  EXPECT_THAT(kept.Operators(), ElementsAre("Add", "Sqrt", "Sub", "Div", "Mul", "Add"));
  const Folded affine(FixturePath("written_norm_alone"), true);
  EXPECT_THAT(affine.Operators(), ElementsAre("Mul", "Add"));
  EXPECT_THAT(Folded(FixturePath("written_norm_other_axis")).ReasonOf("bn"),
              HasSubstr("different ones"));
}

TEST(OnnxFold, TrainingModeIsClosedOnlyWhenAsked) {
  for (const char* name : {"training_opset15", "training_opset9", "training_opset6"}) {
    EXPECT_EQ(Folded(FixturePath(name)).remedy(), Remedy::kCloseTrainingMode) << name;
    ConvertOptions options;
    options.output_holds_network = true;
    EXPECT_EQ(Folded(FixturePath(name), options).remedy(), Remedy::kCloseTrainingMode);

    options.close_training_mode = true;
    const Folded kept(FixturePath(name), options);
    ASSERT_EQ(kept.refusal(), "") << name;
    EXPECT_THAT(kept.plan().kept, IsEmpty());
    ASSERT_THAT(kept.plan().changed, SizeIs(1));
    EXPECT_THAT(kept.Operators(), Contains("BatchNormalization"));
    const Analysis analysis = Analyse(kept.written().manifest());
    EXPECT_THAT(Audit(kept.written(), analysis).findings, IsEmpty()) << name;
    for (const auto& node : kept.model().graph().node()) {
      if (node.op_type() != "BatchNormalization") continue;
      EXPECT_EQ(node.output_size(), 1) << name;
    }

    options.fold.fold = true;
    const Folded folded(FixturePath(name), options);
    ASSERT_EQ(folded.refusal(), "") << name;
    EXPECT_THAT(folded.plan().folded, SizeIs(1)) << name;
    EXPECT_THAT(folded.plan().changed, SizeIs(1)) << name;
    EXPECT_THAT(folded.Operators(), Not(Contains("BatchNormalization"))) << name;
  }
}

// x -> mean and variance over the batch, by ReduceMean -> the batch norm of x by them.
TEST(OnnxFold, StatisticsOfTheNormsOwnInputAreTrainingModeAndCannotBeClosed) {
  for (const bool of_x : {true, false}) {
    auto model = EmptyModel();
    for (const char* name : {"x", "other"}) {
      auto& type = *model.mutable_graph()->add_input();
      type.set_name(name);
      type.mutable_type()->mutable_tensor_type()->set_elem_type(1);
    }
    model.mutable_graph()->add_output()->set_name("y");
    AddTensor(model, "scale", {2}, {1, 2});
    AddTensor(model, "offset", {2}, {3, 4});
    const std::string source = of_x ? "x" : "other";
    AddNode(model, "Identity", {source}, "data");
    for (const char* name : {"mean", "square"}) {
      auto& axes =
          *AddNode(model, "ReduceMean", {std::string(name) == "mean" ? source : "squares"}, name)
               .add_attribute();
      axes.set_name("axes");
      for (const int axis : {0, 2, 3}) axes.add_ints(axis);
      if (std::string(name) == "mean") AddNode(model, "Mul", {source, source}, "squares");
    }
    AddNode(model, "Mul", {"mean", "mean"}, "mean2");
    AddNode(model, "Sub", {"square", "mean2"}, "variance");
    AddNode(model, "BatchNormalization", {"x", "scale", "offset", "mean", "variance"}, "y");
    const auto opened = OpenModel(model);
    ASSERT_TRUE(opened) << ToString(opened.error());
    std::vector<std::string> rules;
    for (const Finding& finding : Audit(**opened, Analyse((*opened)->manifest())).findings)
      rules.emplace_back(finding.rule->id);
    EXPECT_EQ(std::count(rules.begin(), rules.end(), "BN060"), of_x ? 1 : 0);
    ConvertOptions options;
    options.output_holds_network = options.close_training_mode = true;
    const std::string refusal = Folded(**opened, options).refusal();
    EXPECT_EQ(refusal.empty(), !of_x) << refusal;
    EXPECT_THAT(refusal, HasSubstr(of_x ? "cannot use moving statistics" : ""));
  }
}

TEST(OnnxFold, ADropoutThatStaysActiveIsSaid) {
  auto model = EmptyModel();
  model.mutable_graph()->add_input()->set_name("x");
  model.mutable_graph()->add_output()->set_name("y");
  AddTensor(model, "rate", {}, {0.5F});
  auto& training = *model.mutable_graph()->add_initializer();
  training.set_name("training");
  training.set_data_type(9);
  training.set_raw_data(std::string(1, '\1'));
  AddNode(model, "Dropout", {"x", "rate", "training"}, "y").set_name("drop");
  const auto opened = OpenModel(model);
  ASSERT_TRUE(opened) << ToString(opened.error());
  ConvertOptions options;
  options.output_holds_network = true;
  const Folded copied(**opened, options);
  ASSERT_EQ(copied.refusal(), "");
  EXPECT_THAT(copied.plan().notes, Contains(HasSubstr("\"drop\"")));
}

TEST(OnnxFold, AWeightThatAnInnerGraphReadsIsDoubledAndItsBatchNormsOutputStays) {
  const Folded folded(FixturePath("captured_weight"));
  ASSERT_EQ(folded.refusal(), "");
  EXPECT_THAT(folded.plan().kept, IsEmpty());
  EXPECT_THAT(InitializersOf(folded), Contains("conv.weight"));
  EXPECT_EQ(NodeAt(folded, 0).output(0), "bn");
}

TEST(OnnxFold, LeftoversBecomeAMultiplicationAndAnAddition) {
  const Folded folded(FixturePath("bn_alone"), true);
  ASSERT_EQ(folded.refusal(), "");
  EXPECT_THAT(folded.Operators(), ElementsAre("Mul", "Add"));
  EXPECT_EQ(NodeAt(folded, 1).output(0), "y");
  EXPECT_THAT(InitializersOf(folded), ElementsAre("bn.offset", "bn.scale"));
  EXPECT_EQ(ToString(folded.written().manifest().tensors[0].shape), "[4, 1, 1]");
}

TEST(OnnxFold, FieldsThatAreNotKnownSurvive) {
  onnx_proto::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(FileBytes(FixturePath("conv2d_bn"))));
  const auto mark = [](google::protobuf::Message& message, const std::string& text) {
    message.GetReflection()->MutableUnknownFields(&message)->AddLengthDelimited(9999, text);
  };
  mark(model, "of the model");
  mark(*model.mutable_graph(), "of the graph");
  mark(*model.mutable_graph()->mutable_node(0), "of a node");
  for (auto& tensor : *model.mutable_graph()->mutable_initializer()) mark(tensor, "of a tensor");
  const auto source = OpenModel(model);
  ASSERT_TRUE(source) << ToString(source.error());
  const Folded folded(**source);
  ASSERT_EQ(folded.refusal(), "");
  const auto text_of = [](const google::protobuf::Message& message) {
    const auto& fields = message.GetReflection()->GetUnknownFields(message);
    for (int i = 0; i < fields.field_count(); ++i) {
      if (fields.field(i).number() == 9999) return fields.field(i).length_delimited();
    }
    return std::string();
  };
  EXPECT_EQ(text_of(folded.model()), "of the model");
  EXPECT_EQ(text_of(folded.model().graph()), "of the graph");
  EXPECT_EQ(text_of(folded.model().graph().node(0)), "of a node");
  EXPECT_EQ(text_of(folded.model().graph().initializer(0)), "of a tensor");
}

TEST(OnnxFold, TheSameInputGivesTheSameBytes) {
  const Folded a(FixturePath("chain")), b(FixturePath("chain"));
  EXPECT_EQ(a.folder().Read("out.onnx"), b.folder().Read("out.onnx"));
}

TEST(OnnxWriter, NeedsAGraph) {
  const TemporaryFolder folder;
  const auto written = ckpt::testing::Committed(formats::WriteOnnx, folder / "out.onnx", {}, {});
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kUnfit);
  EXPECT_THAT(folder.Names(), IsEmpty());
}

// A model in memory, folded.
Folded FoldModel(const onnx_proto::ModelProto& model, bool leftover_affine = false) {
  const auto source = OpenModel(model);
  EXPECT_TRUE(source) << ToString(source.error());
  return Folded(**source, leftover_affine);
}

void AddStatistics(onnx_proto::ModelProto& model) {
  AddTensor(model, "gamma", {2}, {1, 2});
  AddTensor(model, "beta", {2}, {3, 4});
  AddTensor(model, "mean", {2}, {5, 6});
  AddTensor(model, "variance", {2}, {7, 8});
}

// C of shape [2, 1] has one value per row, although the layer has two channels.
TEST(OnnxFold, ABiasPerRowIsNoBiasPerChannel) {
  for (const bool per_row : {true, false}) {
    auto model = EmptyModel();
    model.mutable_graph()->add_input()->set_name("x");
    AddTensor(model, "w", {2, 2}, {1, 2, 3, 4});
    auto& c = AddTensor(model, "c", {}, {1, 2});
    c.add_dims(per_row ? 2 : 1);
    c.add_dims(per_row ? 1 : 2);
    AddStatistics(model);
    AddNode(model, "Gemm", {"x", "w", "c"}, "y");
    AddNode(model, "BatchNormalization", {"y", "gamma", "beta", "mean", "variance"}, "z")
        .set_name("bn");
    model.mutable_graph()->add_output()->set_name("z");
    const Folded folded = FoldModel(model);
    EXPECT_EQ(folded.refusal(), "");
    EXPECT_THAT(folded.ReasonOf("bn"), HasSubstr(per_row ? "has shape [2, 1]" : "(folded)"));
  }
}

// Exporters store equal tensors once: here a gamma and a beta of zeros.
TEST(OnnxFold, GammaAndBetaMayBeOneTensor) {
  auto model = EmptyModel();
  auto& input = *model.mutable_graph()->add_input();
  input.set_name("x");
  auto& shape = *input.mutable_type()->mutable_tensor_type()->mutable_shape();
  for (int i = 0; i < 4; ++i) shape.add_dim()->set_dim_value(2);
  AddStatistics(model);
  AddNode(model, "Relu", {"x"}, "y");
  AddNode(model, "BatchNormalization", {"y", "gamma", "gamma", "mean", "variance"}, "z")
      .set_name("bn");
  model.mutable_graph()->add_output()->set_name("z");
  const Folded folded = FoldModel(model, true);
  ASSERT_EQ(folded.refusal(), "");
  EXPECT_THAT(folded.Operators(), ElementsAre("Relu", "Mul", "Add"));
  const auto scale = ElementsOf(folded.written(), NodeAt(folded, 1).input(1));
  const auto offset = ElementsOf(folded.written(), NodeAt(folded, 2).input(1));
  const double factor = 2 / std::sqrt(8 + 1e-5);
  EXPECT_NEAR(scale[1], factor, 1e-6);
  EXPECT_NEAR(offset[1], 2 - 6 * factor, 1e-5);
}

}  // namespace
}  // namespace ckpt::testing::fold_test
