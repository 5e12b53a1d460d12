// What the graph proves, joined with what the values say.
#include "tests/audit/audited.h"
#include "tests/support/op_graph_builder.h"

namespace ckpt::testing::graph_rules_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

// A batch norm "bn" in a training graph with the train operation "train".
struct TrainedGraph : GraphBuilder {
  explicit TrainedGraph(bool updates_run) {
    graph.source = "MetaGraphDef";
    graph.kind = OpGraphKind::kMetaGraph;
    top.Add("x", "Placeholder");
    BatchNormVariables("bn");
    Fused("bn", "x", true);
    MovingAverage("u", "bn/moving_mean", "bn/FusedBatchNormV3:1");
    MovingAverage("v", "bn/moving_variance", "bn/FusedBatchNormV3:2");
    top.Add("apply", "ApplyMomentum", {"bn/gamma", "bn/FusedBatchNormV3"});
    top.Add("train", "NoOp", {"^apply"});
    graph.collections["train_op"] = {"train"};
    if (updates_run) {
      top.Link("^u", "train");
      top.Link("^v", "train");
    }
  }
  void Saver(const std::vector<std::string>& variables) {
    top.Add("prefix", "Placeholder");
    top.Strings("save/names", variables);
    top.Strings("save/slices", variables);
    std::vector<std::string> inputs = {"prefix", "save/names", "save/slices"};
    inputs.insert(inputs.end(), variables.begin(), variables.end());
    top.Add("save/SaveV2", "SaveV2", inputs);
    top.Add("save/RestoreV2", "RestoreV2", {"prefix", "save/names", "save/slices"});
  }
};

AuditResult AuditedWith(Network& network, const GraphBuilder& builder) {
  network.mutable_manifest().ops = std::make_shared<OpGraph>(builder.graph);
  return Audited(network);
}

TEST(GraphRules, UpdatesThatRunAreSilent) {
  Network network;
  network.BatchNormalization("bn").Scalar("global_step", 200);
  EXPECT_TRUE(Silent(AuditedWith(network, TrainedGraph(true))));
}

TEST(GraphRules, UpdatesThatDoNotRunBesideInitialValuesAreProvedByBoth) {
  Network network;
  network.BatchNormalization("bn", NeverUpdated()).Scalar("global_step", 200);
  const AuditResult result = AuditedWith(network, TrainedGraph(false));
  const Finding* finding = FindingOf(result, "GR001");
  ASSERT_NE(finding, nullptr) << Described(result);
  EXPECT_EQ(finding->severity, Severity::kError);
  EXPECT_THAT(finding->message, HasSubstr("The values agree"));
  EXPECT_THAT(finding->message, HasSubstr("at step 200"));
  EXPECT_THAT(finding->message, HasSubstr("the train operation train"));
  EXPECT_THAT(finding->tensors, ElementsAre("bn/moving_mean", "bn/moving_variance"));
  // No slot in the file: the graph is what proves it.
  const Finding* values = FindingOf(result, "BN010");
  ASSERT_NE(values, nullptr) << Described(result);
  EXPECT_THAT(values->message, HasSubstr("the graph runs no update"));
}

TEST(GraphRules, UpdatesThatTheProgramFetchesItselfAreInformation) {
  Network network;
  network.BatchNormalization("bn").Scalar("global_step", 200);
  const AuditResult result = AuditedWith(network, TrainedGraph(false));
  const Finding* finding = FindingOf(result, "GR001");
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(finding->severity, Severity::kInfo);
  EXPECT_THAT(finding->message, HasSubstr("The values moved"));
  EXPECT_TRUE(Silent(result));
}

TEST(GraphRules, WithoutValuesTheGraphSpeaksAlone) {
  Network network;
  const AuditResult result = AuditedWith(network, TrainedGraph(false));
  const Finding* finding = FindingOf(result, "GR001");
  ASSERT_NE(finding, nullptr) << Described(result);
  EXPECT_EQ(finding->severity, Severity::kError);
  EXPECT_THAT(finding->message, HasSubstr("The graph alone says so"));
}

TEST(GraphRules, AGroupAfterTheTrainOperationIsNoBug) {
  Network network;
  network.BatchNormalization("bn").Scalar("global_step", 200);
  TrainedGraph graph(false);
  graph.top.Add("group", "NoOp", {"^train", "^u", "^v"});
  const AuditResult result = AuditedWith(network, graph);
  EXPECT_TRUE(Silent(result));
  ASSERT_NE(FindingOf(result, "GR001"), nullptr);
  EXPECT_THAT(FindingOf(result, "GR001")->message, HasSubstr("only if group is fetched"));
}

// Two towers of one layer; the updates of the first alone run with the train operation.
TEST(GraphRules, UpdatesOfOneTowerAreInformationThatNamesIt) {
  GraphBuilder graph;
  graph.graph.source = "MetaGraphDef";
  graph.graph.kind = OpGraphKind::kMetaGraph;
  graph.top.Add("x", "Placeholder");
  graph.BatchNormVariables("bn");
  for (const std::string tower : {"tower_0/bn", "tower_1/bn"}) {
    graph.top
        .Add(tower + "/norm", "FusedBatchNormV3",
             {"x", "bn/gamma/read", "bn/beta/read", "bn/moving_mean/read",
              "bn/moving_variance/read"})
        .attrs["is_training"] = true;
    graph.MovingAverage(tower + "/u", "bn/moving_mean", tower + "/norm:1");
    graph.MovingAverage(tower + "/v", "bn/moving_variance", tower + "/norm:2");
  }
  graph.top.Add(
      "apply", "ApplyMomentum",
      {"bn/gamma", "tower_0/bn/norm", "tower_1/bn/norm", "^tower_0/bn/u", "^tower_0/bn/v"});
  graph.top.Add("train", "NoOp", {"^apply"});
  graph.graph.collections["train_op"] = {"train"};
  Network network;
  network.BatchNormalization("bn").Scalar("global_step", 200);
  const AuditResult result = AuditedWith(network, graph);
  EXPECT_TRUE(Silent(result));
  const Finding* finding = FindingOf(result, "GR001");
  ASSERT_NE(finding, nullptr) << Described(result);
  EXPECT_EQ(finding->severity, Severity::kInfo);
  EXPECT_THAT(finding->message, HasSubstr("1 of the 2 updates"));
  EXPECT_THAT(finding->message, HasSubstr("those of tower_0 do and those of tower_1 do not"));
  EXPECT_THAT(finding->layers, ElementsAre(0U));
  EXPECT_THAT(finding->tensors, ElementsAre("bn/moving_mean", "bn/moving_variance"));
  // With both it is silent altogether.
  graph.top.Link("^tower_1/bn/u", "train");
  graph.top.Link("^tower_1/bn/v", "train");
  Network again;
  again.BatchNormalization("bn").Scalar("global_step", 200);
  EXPECT_EQ(FindingOf(AuditedWith(again, graph), "GR001"), nullptr);
}

TEST(GraphRules, ASaverWithoutTheStatisticsIsFoundByTheGraphAlone) {
  TrainedGraph graph(true);
  graph.Saver({"bn/gamma", "bn/beta"});
  Network network;
  AuditResult result = AuditedWith(network, graph);
  const Finding* finding = FindingOf(result, "GR003");
  ASSERT_NE(finding, nullptr) << Described(result);
  EXPECT_EQ(finding->severity, Severity::kError);
  EXPECT_THAT(finding->tensors, ElementsAre("bn/moving_mean", "bn/moving_variance"));

  // A second saver that takes everything settles it.
  graph.top.Strings("save_1/names",
                    {"bn/gamma", "bn/beta", "bn/moving_mean", "bn/moving_variance"});
  graph.top.Add("save_1/SaveV2", "SaveV2",
                {"prefix", "save_1/names", "save_1/names", "bn/gamma", "bn/beta", "bn/moving_mean",
                 "bn/moving_variance"});
  Network other;
  EXPECT_EQ(FindingOf(AuditedWith(other, graph), "GR003"), nullptr);
}

// An object-based saver under a distribution strategy: what it saves of a statistic is computed of
// its replicas, and its keys are paths of objects.
TEST(GraphRules, ASaverByObjectKeysIsJudgedByThoseKeys) {
  const auto key = [](const std::string& leaf) {
    return "net/bn/" + leaf + "/.ATTRIBUTES/VARIABLE_VALUE";
  };
  for (const bool recorded : {false, true}) {
    for (const bool saved : {true, false}) {
      TrainedGraph graph(true);
      std::vector<std::string> keys = {key("gamma"), key("beta"), key("moving_mean")};
      if (saved) keys.push_back(key("moving_variance"));
      graph.top.Add("prefix", "Placeholder");
      graph.top.Strings("save/names", keys);
      graph.top.Strings("save/slices", keys);
      graph.top.Add("sum", "Mul", {"bn/moving_mean", "bn/moving_variance"});
      graph.top.Add("save/SaveV2", "SaveV2", {"prefix", "save/names", "save/slices", "sum"});
      for (OpVariable& variable : graph.graph.variables) {
        if (recorded) variable.checkpoint_key = key(variable.name.substr(3));
      }
      Network network;
      const AuditResult result = AuditedWith(network, graph);
      const bool told = FindingOf(result, "GR003") != nullptr;
      EXPECT_EQ(told, recorded && !saved) << Described(result);
    }
  }
}

TEST(GraphRules, BatchNormsAreThoseOfTheGraphWhateverTheirNames) {
  GraphBuilder builder;
  builder.graph.source = "GraphDef";
  builder.top.Add("x", "Placeholder");
  for (const char* name : {"s", "o"}) builder.Variable(name);
  for (const char* name : {"pop1", "pop2"}) builder.Variable(name, false);
  Op& op =
      builder.top.Add("y", "FusedBatchNorm", {"x", "s/read", "o/read", "pop1/read", "pop2/read"});
  op.attrs["is_training"] = false;
  op.attrs["epsilon"] = static_cast<double>(0.002f);
  Network network;
  for (const char* name : {"s", "o", "pop1", "pop2"}) network.Vector(name, {1, 2, 3, 4});
  network.mutable_manifest().ops = std::make_shared<OpGraph>(builder.graph);
  network.Seal();
  const Analysis analysis = Analyse(network.manifest());
  ASSERT_EQ(analysis.batch_norms.size(), 1u);
  const BatchNorm& norm = analysis.batch_norms[0];
  EXPECT_TRUE(norm.certain);
  EXPECT_EQ(norm.channels, 4u);
  EXPECT_EQ(norm.gamma, FindTensor(network.manifest(), "s"));
  EXPECT_EQ(norm.moving_variance, FindTensor(network.manifest(), "pop2"));
  ASSERT_TRUE(norm.epsilon);
  EXPECT_EQ(norm.epsilon->value, double{0.002F});
  EXPECT_EQ(norm.epsilon->evidence.source, EvidenceSource::kGraph);
  const TensorRole& mean = analysis.roles[norm.moving_mean->index];
  EXPECT_EQ(mean.role, Role::kMovingMean);
  EXPECT_EQ(mean.trainable, false);
  EXPECT_EQ(mean.evidence.front().source, EvidenceSource::kGraph);
  EXPECT_EQ(analysis.roles[norm.gamma->index].trainable, true);
}

// As frozen graphs do with equal constants.
TEST(GraphRules, BatchNormsThatShareAGammaAreJudgedEach) {
  GraphBuilder builder;
  builder.graph.source = "MetaGraphDef";
  builder.graph.kind = OpGraphKind::kMetaGraph;
  builder.top.Add("x", "Placeholder");
  builder.BatchNormVariables("a");
  builder.BatchNormVariables("b");
  builder.Fused("a", "x", false);
  builder.Fused("b", "a/FusedBatchNormV3", false);
  builder.top.At("b/FusedBatchNormV3").inputs[1] = builder.top.At("a/FusedBatchNormV3").inputs[1];
  Network network;
  network.BatchNormalization("a").BatchNormalization("b", NeverUpdated()).Scalar("global_step", 9);
  network.mutable_manifest().ops = std::make_shared<OpGraph>(builder.graph);
  network.Seal();
  const Analysis analysis = Analyse(network.manifest());
  ASSERT_EQ(analysis.batch_norms.size(), 2u);
  EXPECT_EQ(analysis.batch_norms[0].gamma, analysis.batch_norms[1].gamma);
  EXPECT_NE(analysis.batch_norms[0].moving_mean, analysis.batch_norms[1].moving_mean);
  EXPECT_TRUE(analysis.batch_norms[1].moving_mean.has_value());
}

TEST(GraphRules, StatisticsThatTheGraphReadsAndTheFileLacksAreMissing) {
  TrainedGraph graph(true);
  graph.Saver({"bn/gamma", "bn/beta"});
  Network network;
  network.BatchNormalization("bn", {.mean = {}, .variance = {}});
  const AuditResult result = AuditedWith(network, graph);
  EXPECT_THAT(Judged(result), IsSupersetOf({"error BN001 bn"})) << Described(result);
}

TEST(GraphRules, ARestoreThatMissesOnlySlotsIsInformation) {
  TrainedGraph graph(true);
  graph.Variable("bn/gamma/Momentum", false);
  graph.Saver({"bn/gamma", "bn/beta", "bn/moving_mean", "bn/moving_variance", "bn/gamma/Momentum"});
  Network network;
  network.BatchNormalization("bn");
  const AuditResult result = AuditedWith(network, graph);
  ASSERT_NE(FindingOf(result, "GR004"), nullptr) << Described(result);
  EXPECT_EQ(FindingOf(result, "GR004")->severity, Severity::kInfo);
  EXPECT_THAT(FindingOf(result, "GR004")->tensors, ElementsAre("bn/gamma/Momentum"));
}

GraphBuilder ServingGraph(bool training) {
  GraphBuilder builder;
  builder.graph.source = "SavedModel";
  builder.graph.kind = OpGraphKind::kSavedModel;
  builder.graph.tags = {"serve"};
  builder.top.Add("x", "Placeholder");
  builder.BatchNormVariables("bn");
  builder.Fused("bn", "x", training);
  builder.graph.signatures = {
      {"serving_default", "", {{"x", "x:0"}}, {{"y", "bn/FusedBatchNormV3:0"}}}};
  return builder;
}

TEST(GraphRules, TrainingModeInASavedModelIsAnError) {
  Network network;
  network.BatchNormalization("bn");
  AuditResult result = AuditedWith(network, ServingGraph(true));
  ASSERT_NE(FindingOf(result, "BN060"), nullptr) << Described(result);
  EXPECT_EQ(FindingOf(result, "BN060")->severity, Severity::kError);
  EXPECT_EQ(FindingOf(result, "GR005"), nullptr);
  Network sound;
  sound.BatchNormalization("bn");
  EXPECT_TRUE(Silent(AuditedWith(sound, ServingGraph(false))));
}

TEST(GraphRules, VariablesOnTheServingPathThatTheCheckpointLacksAreNamed) {
  Network network;
  network.BatchNormalization("bn", {.beta = {}});
  const AuditResult result = AuditedWith(network, ServingGraph(false));
  ASSERT_NE(FindingOf(result, "GR004"), nullptr) << Described(result);
  EXPECT_EQ(FindingOf(result, "GR004")->severity, Severity::kError);
  EXPECT_THAT(FindingOf(result, "GR004")->tensors, ElementsAre("bn/beta"));
  EXPECT_FALSE(FindingOf(result, "GR004")->tensors[0].id.has_value());
}

TEST(GraphRules, AnOpenPhaseIsAnErrorInASavedModelAndInformationInATrainingGraph) {
  for (const auto& [kind, severity] : {std::pair(OpGraphKind::kSavedModel, Severity::kError),
                                       std::pair(OpGraphKind::kMetaGraph, Severity::kInfo)}) {
    GraphBuilder builder;
    builder.graph.source = "graph";
    builder.graph.kind = kind;
    builder.top.Add("x", "Placeholder");
    builder.top.Add("phase", "Placeholder").attrs["dtype"] = OpDtype{10};
    builder.BatchNormVariables("bn");
    std::vector<std::string> on_false, on_true;
    for (const char* input :
         {"x", "bn/gamma/read", "bn/beta/read", "bn/moving_mean/read", "bn/moving_variance/read"}) {
      const std::string name = std::string("switch/") + input;
      builder.top.Add(name, "Switch", {input, "phase"});
      on_false.push_back(name);
      on_true.push_back(name + ":1");
    }
    builder.top.Add("train", "FusedBatchNorm", on_true).attrs["is_training"] = true;
    builder.top.Add("infer", "FusedBatchNorm", on_false).attrs["is_training"] = false;
    builder.top.Add("merge", "Merge", {"infer", "train"});
    builder.top.Add("out", "Relu", {"merge"});
    if (kind == OpGraphKind::kSavedModel) {
      builder.graph.signatures = {{"serving_default", "", {{"x", "x:0"}}, {{"y", "out:0"}}}};
    }
    Network network;
    network.BatchNormalization("bn");
    const AuditResult result = AuditedWith(network, builder);
    const Finding* finding = FindingOf(result, "GR006");
    ASSERT_NE(finding, nullptr) << Described(result);
    EXPECT_EQ(finding->severity, severity);
    EXPECT_THAT(finding->message, HasSubstr("placeholder phase"));
    EXPECT_EQ(FindingOf(result, "GR005"), nullptr);
    EXPECT_EQ(FindingOf(result, "BN060"), nullptr);
  }
}

// The checkpoint lacks what the saver of the graph beside it leaves out: one defect, told once.
TEST(GraphRules, StatisticsThatWereNotSavedAreToldOnceWithTheSaverAsProof) {
  TrainedGraph graph(true);
  graph.Saver({"bn/gamma", "bn/beta"});
  Network network;
  network.Vector("bn/gamma", {1.1, 0.9, 1.2, 0.8}).Vector("bn/beta", {0.1, 0.2, 0.3, 0.4});
  const AuditResult result = AuditedWith(network, graph);
  const Finding* finding = FindingOf(result, "BN001");
  ASSERT_NE(finding, nullptr) << Described(result);
  EXPECT_THAT(finding->message, HasSubstr("By the graph (MetaGraphDef), the saver"));
  EXPECT_EQ(FindingOf(result, "GR003"), nullptr) << Described(result);
}

}  // namespace
}  // namespace ckpt::testing::graph_rules_test
