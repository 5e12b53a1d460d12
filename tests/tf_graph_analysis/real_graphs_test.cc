// Graphs that TensorFlow wrote, and the same with the edges to their updates cut.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "ckpt/op_saving.h"
#include "ckpt/op_serving.h"
#include "formats/tf_graph/read_op_graph.h"
#include "tests/support/paths.h"

namespace ckpt::testing::real_graphs_test {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

std::shared_ptr<OpGraph> Read(const std::string& path) {
  auto graph = formats::ReadOpGraph(formats::SystemFiles(), path, formats::Limits());
  EXPECT_TRUE(graph) << (graph ? "" : ToString(graph.error()));
  return graph ? *graph : std::make_shared<OpGraph>();
}

std::string Corpus(const std::string& folder, const std::string& name) {
  const std::filesystem::path root = std::filesystem::path(ckpt::testing::Corpus()) / folder;
  if (!std::filesystem::exists(root)) return "";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.path().string().ends_with(name)) return entry.path().string();
  }
  return "";
}

struct Counts {
  UpdateVerdict verdict;
  std::size_t run, all;
};

Counts Reach(const OpGraph& graph) {
  const OpBodies bodies(graph);
  const UpdateReach reach = TraceUpdates(bodies, FindBatchNorms(bodies));
  const auto run = std::count_if(reach.variables.begin(), reach.variables.end(),
                                 [](const UpdatedVariable& variable) { return variable.runs; });
  return {reach.verdict, static_cast<std::size_t>(run), reach.variables.size()};
}

// The founding bug as it would look in this graph: no operation waits for an AssignMovingAvg.
void CutUpdates(OpGraph& graph) {
  for (Op& op : graph.top.ops) {
    std::erase_if(op.control_inputs, [&](OpId id) {
      return graph.top.ops[id].name.find("AssignMovingAvg") != std::string::npos;
    });
  }
}

// Counts by reference/tensorflow.md 2.5, taken there with another program.
TEST(PublicGraphs, UpdatesRunAndDoNotOnceTheirEdgesAreCut) {
  struct Case {
    const char* folder;
    const char* name;
    std::size_t updates;
  };
  for (const auto& [folder, name, updates] :
       {Case{"B8", "model.ckpt.meta", 8}, Case{"B2", "MSD_vgg/.meta", 12},
        Case{"B2", "MTT_vgg/.meta", 12}}) {
    const std::string path = Corpus(folder, name);
    if (path.empty()) GTEST_SKIP() << "no corpus of public files";
    SCOPED_TRACE(path);
    const auto graph = Read(path);
    Counts counts = Reach(*graph);
    EXPECT_EQ(counts.verdict, UpdateVerdict::kAllRun);
    EXPECT_EQ(counts.run, updates);
    CutUpdates(*graph);
    counts = Reach(*graph);
    EXPECT_EQ(counts.verdict, UpdateVerdict::kNoneRuns);
    EXPECT_EQ(counts.run, 0u);
    EXPECT_EQ(counts.all, updates);
  }
}

TEST(PublicGraphs, SavedModelsServeInInferenceMode) {
  struct Case {
    const char* folder;
    std::size_t norms;
  };
  for (const auto& [folder, norms] : {Case{"C1", 3}, Case{"C5", 9}, Case{"C12", 0}}) {
    const std::string path = Corpus(folder, "saved_model.pb");
    if (path.empty()) GTEST_SKIP() << "no corpus of public files";
    SCOPED_TRACE(path);
    const auto graph = Read(path);
    const OpBodies bodies(*graph);
    const OpBatchNorms found = FindBatchNorms(bodies);
    const ServingPath serving = TraceServing(bodies, found);
    EXPECT_TRUE(IsServingArtefact(bodies));
    EXPECT_TRUE(serving.from_signature);
    EXPECT_EQ(serving.norms, norms);
    EXPECT_THAT(serving.training_norms, IsEmpty());
    EXPECT_THAT(serving.phases, IsEmpty());
    for (const OpBatchNorm& norm : found.norms) {
      if (norm.mode != OpBatchNormMode::kInference || norm.moving_mean.empty()) continue;
      EXPECT_EQ(norm.epsilon, double{0.001F});
      EXPECT_TRUE(norm.moving_mean.ends_with("moving_mean")) << norm.moving_mean;
      EXPECT_TRUE(norm.gamma.variable.ends_with("gamma")) << norm.gamma.variable;
    }
  }
}

TEST(PublicGraphs, FrozenGraphsHoldTheirVectorsAsConstants) {
  struct Case {
    const char* folder;
    std::size_t norms;
    float epsilon;
    OpBatchNormMode mode;
  };
  using enum OpBatchNormMode;
  for (const auto& [folder, norms, epsilon, mode] :
       {Case{"E1", 9, 0.001F, kInference}, Case{"E8", 1, 0.001F, kInference},
        Case{"E14", 1, 0.001F, kInference}, Case{"E17", 1, 0.1F, kInference},
        Case{"E19", 1, 0.001F, kTraining}}) {
    const std::string path = Corpus(folder, ".pb");
    if (path.empty()) GTEST_SKIP() << "no corpus of public files";
    SCOPED_TRACE(path);
    const auto graph = Read(path);
    const OpBodies bodies(*graph);
    const OpBatchNorms found = FindBatchNorms(bodies);
    EXPECT_THAT(found.norms, SizeIs(norms));
    EXPECT_TRUE(IsServingArtefact(bodies));
    EXPECT_THAT(TraceServing(bodies, found).training_norms, SizeIs(mode == kTraining ? 1u : 0u));
    for (const OpBatchNorm& norm : found.norms) {
      EXPECT_EQ(norm.mode, mode);
      EXPECT_EQ(norm.epsilon, double{epsilon});
      EXPECT_EQ(norm.gamma.kind, OpBatchNormVector::Kind::kConstant);
    }
  }
}

std::string Fixture(const std::string& name) { return ckpt::testing::TestData() + "/tf1/" + name; }

TEST(FoundingFixtures, TheGraphSaysWhichUpdatesRun) {
  using enum UpdateVerdict;
  const std::pair<const char*, UpdateVerdict> cases[] = {
      {"mnist/correct/model.ckpt-700.meta", kAllRun},
      {"mnist/updates_not_run/model.ckpt-700.meta", kNoneRuns},
      {"resnet/correct/model.ckpt-200.meta", kOnlyIfFetched},
      {"resnet/updates_not_run/model.ckpt-200.meta", kNoneRuns},
      {"resnet/updates_partly_run/model.ckpt-200.meta", kPartlyRun},
      {"resnet/updates_fetched_beside/model.ckpt-200.meta", kNoneRuns},
      {"resnet/zero_debias_correct/model.ckpt-200.meta", kOnlyIfFetched},
      {"../tf/slim/in_place_updates/model.ckpt-300.meta", kAllRun},
      {"../tf/slim/ema/model.ckpt-300.meta", kAllRun},
  };
  for (const auto& [name, verdict] : cases) {
    SCOPED_TRACE(name);
    EXPECT_EQ(Reach(*Read(Fixture(name))).verdict, verdict);
  }
}

TEST(FoundingFixtures, TheGraphSaysWhatItsSaverLacks) {
  for (const auto& [name, covered] :
       {std::pair("mnist/correct/model.ckpt-700.meta", true),
        std::pair("mnist/trainable_only/model.ckpt-700.meta", false),
        std::pair("resnet/trainable_only/model.ckpt-200.meta", false)}) {
    SCOPED_TRACE(name);
    const auto graph = Read(Fixture(name));
    const OpBodies bodies(*graph);
    const std::vector<OpSaverContents> savers = FindSavers(bodies);
    ASSERT_THAT(savers, SizeIs(1));
    for (const OpBatchNorm& norm : FindBatchNorms(bodies).norms) {
      EXPECT_TRUE(savers[0].SavesVariable(norm.gamma.variable));
      EXPECT_FALSE(norm.moving_mean.empty());
      EXPECT_EQ(savers[0].SavesVariable(norm.moving_mean), covered);
      EXPECT_EQ(savers[0].SavesVariable(norm.moving_variance), covered);
    }
  }
}

}  // namespace
}  // namespace ckpt::testing::real_graphs_test
