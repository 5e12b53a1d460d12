// A graph of one file as evidence for the tensors of another: each layer gets its own.
#include "ckpt/bind_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ckpt/forwarding_checkpoint.h"
#include "ckpt/layer_computation.h"
#include "tests/support/memory_checkpoint.h"

namespace ckpt::bind_graph_test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::MemoryCheckpoint;
using ::testing::SizeIs;

// A graph whose exporter stored equal tensors once.
class Exported : public MemoryCheckpoint, public RecordsOrigins {
 public:
  const std::vector<LayerOrigin>& origins() const noexcept override { return origins_; }

  // A layer that reads `tensors`, by local name, of this file.
  void AddLayer(const std::string& name, network::Computation computation,
                const std::map<std::string, std::string>& read, LayerOrigin origin = {}) {
    pending_.push_back({name, std::move(computation), read});
    origins_.push_back(std::move(origin));
  }
  void Finish(GraphOrigin origin = GraphOrigin::kOnnxGraph) {
    Seal();
    ModelGraph graph;
    graph.origin = origin;
    graph.source = "graph";
    for (const auto& [name, computation, read] : pending_) {
      Layer layer;
      layer.name = name;
      layer.computation = computation;
      layer.has_kernel = Computes<network::MatrixProduct>(layer);
      layer.layout = KernelLayout::kOutInSpatial;
      for (const auto& [local, tensor] : read)
        layer.tensors.emplace(local, *FindTensor(manifest(), tensor));
      graph.AddCall(std::move(layer), {});
    }
    mutable_manifest().graph = std::move(graph);
  }

 private:
  struct Pending {
    std::string name;
    network::Computation computation;
    std::map<std::string, std::string> read;
  };
  std::vector<Pending> pending_;
  std::vector<LayerOrigin> origins_;
};

void AddNorm(MemoryCheckpoint& checkpoint, const std::string& scope) {
  for (const char* leaf : {".weight", ".bias", ".running_mean", ".running_var"})
    checkpoint.Add(scope + leaf, {2}, {1, 2});
}

const network::Computation kNorm = network::BatchNormalization{1};
const network::Computation kDense = network::MatrixProduct{};

const std::map<std::string, std::string> kFirstNorm = {{"gamma", "n1.weight"},
                                                       {"beta", "n1.bias"},
                                                       {"moving_mean", "n1.running_mean"},
                                                       {"moving_variance", "n1.running_var"}};

std::string MeanOf(const BoundGraph& bound, const MemoryCheckpoint& names, std::size_t layer) {
  const auto& tensors = bound.graph.layers.at(layer).tensors;
  const auto mean = tensors.find("moving_mean");
  return mean == tensors.end() ? "" : names.manifest().tensors[mean->second.index].name;
}

TEST(BoundGraph, GivesALayerTheTensorsThatItReadsUnderOtherNames) {
  Exported model;
  AddNorm(model, "n1");
  model.AddLayer("a", kNorm, kFirstNorm);
  model.AddLayer("b", kNorm, kFirstNorm,
                 {.read_as = {{"gamma", "n2.weight"},
                              {"beta", "n2.bias"},
                              {"moving_mean", "n2.running_mean"},
                              {"moving_variance", "n2.running_var"}}});
  model.Finish();
  MemoryCheckpoint names;
  AddNorm(names, "n1");
  AddNorm(names, "n2");
  names.Seal();
  const auto bound = BindGraph(model, names);
  ASSERT_TRUE(bound) << ToString(bound.error());
  EXPECT_EQ(MeanOf(*bound, names, 0), "n1.running_mean");
  EXPECT_EQ(MeanOf(*bound, names, 1), "n2.running_mean");
  EXPECT_THAT(bound->doubts, IsEmpty());
}

// The weights of a Keras 2 model, whose layers only its whole file calls by name.
TEST(BoundGraph, GoesByTheKeysOfTheFilesWhereNoNameIsTheSame) {
  Exported model;
  AddNorm(model, "n1");
  model.AddLayer("a", kNorm, kFirstNorm);
  model.Finish();
  for (TensorInfo& info : model.mutable_manifest().tensors) info.stored_as = "key of " + info.name;
  MemoryCheckpoint names;
  AddNorm(names, "layers/batch_normalization");
  names.Seal();
  for (TensorInfo& info : names.mutable_manifest().tensors)
    info.stored_as = "key of n1" + info.name.substr(info.name.rfind('.'));
  const auto bound = BindGraph(model, names);
  ASSERT_TRUE(bound) << ToString(bound.error());
  EXPECT_EQ(MeanOf(*bound, names, 0), "layers/batch_normalization.running_mean");
  for (TensorInfo& info : names.mutable_manifest().tensors) info.stored_as = info.name;
  EXPECT_FALSE(BindGraph(model, names));
}

// What stands in front of a file and changes nothing of it: progress, a mark of calibration.
class InFront : public ForwardingCheckpoint {
 public:
  explicit InFront(std::unique_ptr<Checkpoint> inner) : ForwardingCheckpoint(std::move(inner)) {}
};

void AddKerasNorm(MemoryCheckpoint& checkpoint, const std::string& scope) {
  for (const char* leaf : {"/gamma", "/beta", "/moving_mean", "/moving_variance"})
    checkpoint.Add(scope + leaf, {2}, {1, 2});
}
std::map<std::string, std::string> KerasNorm(const std::string& scope) {
  std::map<std::string, std::string> read;
  for (const char* leaf : {"gamma", "beta", "moving_mean", "moving_variance"})
    read.emplace(leaf, scope + "/" + leaf);
  return read;
}

// A checkpoint of TensorFlow 2 keeps the variables of a model within under their own names.
TEST(BoundGraph, TheModelAroundALayerIsNoPartOfItsVariablesNames) {
  Exported model;
  AddKerasNorm(model, "outer");
  AddKerasNorm(model, "backbone/bn");
  model.AddLayer("outer", kNorm, KerasNorm("outer"));
  model.AddLayer("backbone/bn", kNorm, KerasNorm("backbone/bn"));
  model.Finish(GraphOrigin::kKerasConfig);
  MemoryCheckpoint names;
  AddKerasNorm(names, "outer");
  AddKerasNorm(names, "bn");
  names.Seal();
  const auto bound = BindGraph(model, names);
  ASSERT_TRUE(bound) << ToString(bound.error());
  EXPECT_EQ(MeanOf(*bound, names, 0), "outer/moving_mean");
  EXPECT_EQ(MeanOf(*bound, names, 1), "bn/moving_mean");
}

TEST(BoundGraph, AnInnerNameThatSeveralLayersWouldHaveIsNobodys) {
  for (const std::string other : {"bn", "tower/bn"}) {
    Exported model;
    AddKerasNorm(model, "outer");
    AddKerasNorm(model, "backbone/bn");
    AddKerasNorm(model, other);
    model.AddLayer("outer", kNorm, KerasNorm("outer"));
    model.AddLayer("backbone/bn", kNorm, KerasNorm("backbone/bn"));
    model.AddLayer(other, kNorm, KerasNorm(other));
    model.Finish(GraphOrigin::kKerasConfig);
    MemoryCheckpoint names;
    AddKerasNorm(names, "outer");
    AddKerasNorm(names, "bn");
    names.Seal();
    const auto bound = BindGraph(model, names);
    ASSERT_TRUE(bound) << ToString(bound.error());
    EXPECT_EQ(MeanOf(*bound, names, 1), "") << other;
    EXPECT_EQ(MeanOf(*bound, names, 2), other == "bn" ? "bn/moving_mean" : "") << other;
  }
}

TEST(BoundGraph, AWrapperPassesOnUnderWhichNamesALayerReads) {
  auto model = std::make_unique<Exported>();
  AddNorm(*model, "n1");
  model->AddLayer("a", kNorm, kFirstNorm);
  model->AddLayer("b", kNorm, kFirstNorm, {.read_as = {{"moving_mean", "n2.running_mean"}}});
  model->Finish();
  auto wrapped = std::make_unique<InFront>(std::move(model));
  const auto named = WithOwnNames(std::make_unique<InFront>(std::move(wrapped)));
  ASSERT_TRUE(named) << ToString(named.error());
  EXPECT_TRUE(FindTensor((*named)->manifest(), "n2.running_mean"));
  EXPECT_THAT(OriginsOf(**named), IsEmpty());  // each layer has its own now
}

TEST(BoundGraph, NeverLendsALayerTheStatisticsOfAnother) {
  Exported model;
  AddNorm(model, "n1");
  model.AddLayer("a", kNorm, kFirstNorm);
  model.AddLayer(
      "b", kNorm, kFirstNorm,
      {.read_as = {{"moving_mean", "n2.running_mean"}, {"moving_variance", "n2.running_var"}}});
  model.Finish();
  MemoryCheckpoint names;
  AddNorm(names, "n1");
  names.Add("n2.weight", {2}, {1, 2});
  names.Add("n2.bias", {2}, {1, 2});
  names.Seal();
  const auto bound = BindGraph(model, names);
  ASSERT_TRUE(bound) << ToString(bound.error());
  EXPECT_EQ(MeanOf(*bound, names, 1), "");
  EXPECT_THAT(bound->graph.layers[1].missing_tensors,
              ::testing::UnorderedElementsAre("moving_mean", "moving_variance"));
}

TEST(BoundGraph, GoesByTheModuleThatTheGraphRecords) {
  Exported model;
  AddNorm(model, "n1");
  model.AddLayer("a", kNorm, kFirstNorm, {.module = "n1"});
  model.AddLayer("b", kNorm,
                 // One tensor may stand for two of another kind: all zeros, all ones.
                 {{"gamma", "n1.weight"},
                  {"beta", "n1.bias"},
                  {"moving_mean", "n1.bias"},
                  {"moving_variance", "n1.weight"}},
                 {.module = "n2"});
  model.Finish();
  MemoryCheckpoint names;
  AddNorm(names, "n1");
  AddNorm(names, "n2");
  names.Seal();
  const auto bound = BindGraph(model, names);
  ASSERT_TRUE(bound) << ToString(bound.error());
  EXPECT_EQ(MeanOf(*bound, names, 1), "n2.running_mean");
}

TEST(BoundGraph, PassesOverWhatCannotBeTold) {
  Exported model;
  AddNorm(model, "n1");
  model.AddLayer("a", kNorm, kFirstNorm);
  model.AddLayer("b", kNorm, kFirstNorm);
  model.Finish();
  MemoryCheckpoint names;
  AddNorm(names, "n1");
  AddNorm(names, "other");
  names.Seal();
  const auto bound = BindGraph(model, names);
  ASSERT_TRUE(bound) << ToString(bound.error());
  for (const Layer& layer : bound->graph.layers) EXPECT_TRUE(IsUnknown(layer));
  EXPECT_THAT(bound->doubts, SizeIs(2));
  EXPECT_THAT(bound->doubts[0], HasSubstr("in common with other layers"));
}

TEST(BoundGraph, TakesASecondCallForOneWhereTheFileHasNothingToSpare) {
  Exported model;
  AddNorm(model, "n1");
  model.AddLayer("a", kNorm, kFirstNorm, {.module = "n1"});
  model.AddLayer("b", kNorm, kFirstNorm, {.module = "n1_1"});
  model.Finish();
  MemoryCheckpoint names;
  AddNorm(names, "n1");
  names.Seal();
  const auto bound = BindGraph(model, names);
  ASSERT_TRUE(bound) << ToString(bound.error());
  ASSERT_THAT(bound->graph.layers, SizeIs(1));
  EXPECT_THAT(bound->graph.CallsOf(0), SizeIs(2));
}

TEST(BoundGraph, AModuleThatMayBeASecondCallIsPassedOver) {
  Exported model;
  AddNorm(model, "n1");
  model.AddLayer("a", kNorm, kFirstNorm, {.module = "n1"});
  model.AddLayer("b", kNorm, kFirstNorm, {.module = "n1_1"});
  model.Finish();
  MemoryCheckpoint names;
  AddNorm(names, "n1");
  AddNorm(names, "n1_1");
  names.Seal();
  const auto bound = BindGraph(model, names);
  ASSERT_TRUE(bound) << ToString(bound.error());
  EXPECT_EQ(MeanOf(*bound, names, 0), "n1.running_mean");
  EXPECT_TRUE(IsUnknown(bound->graph.layers[1]));
}

// `second`: what the file has for the second kernel, which the graph stored once with the first.
std::string SecondKernel(const std::vector<double>& second) {
  Exported model;
  model.Add("c1.weight", {1, 2}, {3, 4});
  model.AddLayer("a", kDense, {{"kernel", "c1.weight"}}, {.module = "c1"});
  model.AddLayer("b", kDense, {{"kernel", "c1.weight"}}, {.module = "c2"});
  model.Finish();
  MemoryCheckpoint names;
  names.Add("c1.weight", {1, 2}, {5, 6});
  names.Add("c2.weight", {1, 2}, second);
  names.Seal();
  const auto bound = BindGraph(model, names);
  if (!bound) return ToString(bound.error());
  return names.manifest().tensors[bound->graph.layers.back().tensors.at("kernel").index].name;
}

TEST(BoundGraph, SharesAKernelOnlyWhereTheFileDoesToo) {
  EXPECT_EQ(SecondKernel({5, 6}), "c1.weight");
  EXPECT_EQ(SecondKernel({5, 7}), "c2.weight");
}

TEST(BoundGraph, FindsTheBiasThatAnExporterLeftOut) {
  Exported model;
  model.Add("c.weight", {1, 2}, {3, 4});
  model.AddLayer("a", kDense, {{"kernel", "c.weight"}}, {.module = "c"});
  model.Finish();
  MemoryCheckpoint names;
  names.Add("c.weight", {1, 2}, {5, 6});
  names.Add("c.bias", {1}, {7});
  names.Seal();
  const auto bound = BindGraph(model, names);
  ASSERT_TRUE(bound) << ToString(bound.error());
  EXPECT_TRUE(bound->graph.layers[0].tensors.contains("bias"));
}

TEST(BoundGraph, AKernelThatTakesABatchNormAlreadyIsNoKnownLayer) {
  Exported model;
  model.Add("c.weight", {1, 2}, {3, 4});
  model.AddLayer("a", kDense, {{"kernel", "c.weight"}},
                 {.module = "n", .rewritten = "a batch norm was folded into it"});
  model.Finish();
  MemoryCheckpoint names;
  names.Add("c.weight", {1, 2}, {5, 6});
  names.Seal();
  const auto bound = BindGraph(model, names);
  ASSERT_TRUE(bound) << ToString(bound.error());
  EXPECT_FALSE(IsLinear(bound->graph.layers[0]));
}

}  // namespace
}  // namespace ckpt::bind_graph_test
