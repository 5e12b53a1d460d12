// Which layers are batch norms for sure, and what the file's records say against names.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/roles/names.h"

namespace ckpt::testing::batch_norm_layers_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const BatchNorm& Only(const Named& named) {
  EXPECT_EQ(named.analysis.batch_norms.size(), 1u);
  static const BatchNorm none;
  return named.analysis.batch_norms.empty() ? none : named.analysis.batch_norms[0];
}

TEST(WithoutStatistics, AScopeTokenMakesItCertain) {
  for (const char* scope :
       {"bn", "bn1", "bn2a_branch1", "conv1_bn", "init/init_bn", "batch_norm",
        "bottleneck1_0_batch_norm3", "batchnorm", "batchnorm_2", "Conv/BatchNorm", "BatchNorm_1",
        "batch_normalization", "batch_normalization_3", "sync_batch_normalization",
        "FusedBatchNorm", "BN_1", "stemBN"}) {
    SCOPED_TRACE(scope);
    const std::string gamma = std::string(scope) + "/gamma", beta = std::string(scope) + "/beta";
    const Named named({gamma.c_str(), beta.c_str()});
    EXPECT_EQ(Only(named).scope, scope);
    EXPECT_TRUE(Only(named).certain);
  }
}

TEST(WithoutStatistics, NothingSaysBatchNormSoItIsUncertain) {
  for (const char* scope : {"norm", "bnb", "x/abn_", "transform", "ebnf"}) {
    SCOPED_TRACE(scope);
    const std::string gamma = std::string(scope) + "/gamma", beta = std::string(scope) + "/beta";
    const Named named({gamma.c_str(), beta.c_str()});
    EXPECT_FALSE(Only(named).certain);
  }
}

TEST(WithoutStatistics, SiblingsOfTheSameNamingMakeItCertain) {
  const Named named({"block1/norm/gamma", "block1/norm/beta", "block1/norm/moving_mean",
                     "block1/norm/moving_variance", "block2/norm/gamma", "block2/norm/beta",
                     "head/norm/gamma", "head/norm/beta"});
  ASSERT_THAT(named.Scopes(), ElementsAre("block1/norm", "block2/norm", "head/norm"));
  EXPECT_TRUE(named.analysis.batch_norms[1].certain);
  EXPECT_FALSE(named.analysis.batch_norms[2].certain);
}

TEST(WithoutStatistics, ALoneBetaCountsOnlyUnderAToken) {
  EXPECT_THAT(Named({"Conv/BatchNorm/beta"}).Scopes(), ElementsAre("Conv/BatchNorm"));
  EXPECT_THAT(Named({"prior/beta"}).Layers(), IsEmpty());
  EXPECT_THAT(Named({"attention/gamma"}).Layers(), IsEmpty());
}

TEST(WithoutStatistics, TorchNamesNeedATokenOfTheLayerItself) {
  EXPECT_THAT(Named({"layer1.bn1.weight", "layer1.bn1.bias"}).Scopes(), ElementsAre("layer1.bn1"));
  // A linear layer, and a PReLU under a block that is called after a batch norm.
  EXPECT_THAT(Named({{"bn_head.fc.weight", {5, 4}}, {"bn_head.fc.bias", {5}}}).Layers(), IsEmpty());
  EXPECT_THAT(Named({"bn_act.act.weight"}).Layers(), IsEmpty());
  EXPECT_THAT(Named({"downsample.1.weight", "downsample.1.bias"}).Layers(), IsEmpty());
}

TEST(WithoutStatistics, BesideAConvolutionOfASequentialTheyCountWhereTheOthersLostTheirs) {
  const std::vector<NamedTensor> named = {{"bn1.weight", {8}}, {"bn1.bias", {8}}};
  const auto layers_of = [&](std::vector<NamedTensor> others) {
    others.insert(others.end(), named.begin(), named.end());
    return Named(others).Layers();
  };
  // A projection shortcut, a convolution with a bias and an activation between, a transposed one.
  EXPECT_THAT(layers_of({{"down.0.weight", {16, 8, 1, 1}},
                         {"down.1.weight", {16}},
                         {"down.1.bias", {16}},
                         {"up.0.weight", {16, 4, 3, 3}},
                         {"up.0.bias", {4}},
                         {"up.2.weight", {4}},
                         {"up.2.bias", {4}}}),
              ElementsAre("bn1: bn1.weight bn1.bias - -", "down.1: down.1.weight down.1.bias - -",
                          "up.2: up.2.weight up.2.bias - -"));
  // Before its convolution, nothing before it.
  EXPECT_THAT(layers_of({{"b.0.weight", {8}}, {"b.0.bias", {8}}, {"b.2.weight", {4, 8, 3}}}),
              ElementsAre("b.0: b.0.weight b.0.bias - -", "bn1: bn1.weight bn1.bias - -"));
  EXPECT_THAT(
      Named({{"down.0.weight", {16, 8, 1, 1}}, {"down.1.weight", {16}}, {"down.1.bias", {16}}})
          .Layers(),
      IsEmpty());
}

TEST(WithoutStatistics, OfASequentialThatMayBelongToAnotherNormDoNotCount) {
  const auto others_of = [&](std::vector<NamedTensor> others) {
    others.insert(others.end(), {{"bn1.weight", {8}}, {"bn1.bias", {8}}});
    std::vector<std::string> layers = Named(others).Layers();
    std::erase(layers, "bn1: bn1.weight bn1.bias - -");
    return layers;
  };
  const NamedTensor conv("s.0.weight", {16, 8, 1, 1}), weight("s.1.weight", {16}),
      bias("s.1.bias", {16});
  for (const char* other : {"norm1", "blocks.0.ln_2", "head.gn", "layer_norm"}) {
    SCOPED_TRACE(other);
    const std::string name = std::string(other) + ".weight";
    EXPECT_THAT(others_of({conv, weight, bias, {name.c_str(), {8}}}), IsEmpty());
  }
  EXPECT_THAT(others_of({{"s.0.weight", {16, 8}}, weight, bias}), IsEmpty());        // Linear
  EXPECT_THAT(others_of({{"s.0.weight", {12, 8, 3, 3}}, weight, bias}), IsEmpty());  // other width
  EXPECT_THAT(others_of({conv, weight}), IsEmpty());                                 // PReLU
  EXPECT_THAT(
      others_of({conv, {"s.1.a.weight", {16, 16, 3, 3}}, {"s.2.weight", {16}}, {"s.2.bias", {16}}}),
      IsEmpty());  // a block between
  // Batch norms that have statistics lost none: what has none is another norm.
  EXPECT_THAT(others_of({conv, weight, bias, "bn1.running_mean", "bn1.running_var"}).size(), 1u);
}

TEST(WithoutStatistics, ScalarsAreNoGammaAndBeta) {
  EXPECT_THAT(Named({{"bn/gamma", {}}, {"bn/beta", {}}}).Layers(), IsEmpty());
}

TEST(Statistics, OneOfTwoStillMakesALayer) {
  EXPECT_THAT(Named({"bn/gamma", "bn/moving_mean"}).Layers(),
              ElementsAre("bn: bn/gamma - bn/moving_mean -"));
  EXPECT_THAT(Named({"bn/moving_variance"}).Layers(), ElementsAre("bn: - - - bn/moving_variance"));
}

TEST(Statistics, WithWeakNamesNeedMoreThanThemselves) {
  EXPECT_THAT(Named({"vae/mu", "vae/sigma"}).Layers(), IsEmpty());
  EXPECT_THAT(Named({"stats/mean", "stats/variance"}).Layers(), IsEmpty());
  EXPECT_THAT(Named({"bn/mean", "bn/variance"}).Layers(),
              ElementsAre("bn: - - bn/mean bn/variance"));
}

TEST(Statistics, BesideACountNormaliseInputs) {
  EXPECT_THAT(Named({"obs.running_mean", "obs.running_var", {"obs.count", {}}}).Layers(),
              IsEmpty());
}

TEST(Statistics, OfInstanceNormAreNoBatchNorm) {
  EXPECT_THAT(Named({"instance_norm1.weight", "instance_norm1.bias", "instance_norm1.running_mean",
                     "instance_norm1.running_var"})
                  .Layers(),
              IsEmpty());
}

TEST(Statistics, InTheScopeOfAConvolutionLeaveItsBiasAlone) {
  const Named named({{"c/kernel", {3, 3, 2, 4}}, "c/bias", "c/moving_mean", "c/moving_variance"});
  EXPECT_THAT(named.Layers(), ElementsAre("c: - - c/moving_mean c/moving_variance"));
  EXPECT_EQ(named.RoleOf("c/bias"), "bias");
  EXPECT_EQ(named.RoleOf("c/kernel"), "kernel");
}

TEST(Channels, AreUnknownWhereTensorsDisagree) {
  const Named named({{"bn/gamma", {4}}, {"bn/moving_mean", {4}}, {"bn/moving_variance", {5}}});
  EXPECT_EQ(Only(named).channels, std::nullopt);
}

TEST(Channels, MayBeOne) {
  const Named named({{"bn/gamma", {1}}, {"bn/moving_mean", {1, 1}}, {"bn/moving_variance", {1}}});
  EXPECT_EQ(Only(named).channels, 1u);
}

TEST(Owner, RecordedByTheFileGroupsTensorsThatNamesDoNot) {
  Manifest manifest = ManifestOf({"param_0", "param_1", "param_2", "param_3"});
  const char* locals[] = {"gamma", "beta", "moving_mean", "moving_variance"};
  for (std::size_t i = 0; i < 4; ++i) {
    manifest.tensors[i].owner = "stem/bn";
    manifest.tensors[i].local_name = locals[i];
  }
  EXPECT_THAT(Named::OfManifest(manifest).Layers(),
              ElementsAre("stem/bn: param_0 param_1 param_2 param_3"));
}

// A graph of one layer, whose tensors are bound by name.
Manifest WithLayer(Manifest manifest, Layer layer,
                   const std::vector<std::pair<std::string, std::string>>& tensors) {
  for (const auto& [local, name] : tensors) layer.tensors[local] = *FindTensor(manifest, name);
  if (!manifest.graph) manifest.graph.emplace();
  manifest.graph->origin = GraphOrigin::kKerasConfig;
  manifest.graph->source = "Keras config";
  manifest.graph->layers.push_back(std::move(layer));
  return manifest;
}

TEST(Graph, NamesALayerThatNamesDoNotShow) {
  Layer layer;
  layer.name = "stem";
  layer.op_type = "BatchNormalization";
  layer.computation = network::BatchNormalization{};
  layer.epsilon = 0.002;
  layer.momentum = 0.5;
  layer.trainable = false;
  const Named named = Named::OfManifest(
      WithLayer(ManifestOf({"p0", "p1", "p2"}), layer,
                {{"beta", "p0"}, {"moving_mean", "p1"}, {"moving_variance", "p2"}}),
      AnalysisOptions{0.1, 0.2});
  EXPECT_THAT(named.Layers(), ElementsAre("stem: - p0 p1 p2"));
  const BatchNorm& norm = Only(named);
  EXPECT_TRUE(norm.certain);
  EXPECT_TRUE(norm.frozen);
  EXPECT_EQ(norm.layer, LayerId{0});
  EXPECT_EQ(norm.epsilon->value, 0.002);
  EXPECT_EQ(norm.epsilon->evidence.source, EvidenceSource::kFrameworkRecord);
  EXPECT_EQ(norm.momentum->value, 0.5);
  EXPECT_EQ(named.Of("p0").trainable, true);
  EXPECT_EQ(named.RoleOf("p1"), "moving_mean");
}

TEST(Graph, OfAnotherNormWinsOverATokenInTheName) {
  Layer layer;
  layer.name = "bn";
  layer.op_type = "LayerNormalization";
  const Named named = Named::OfManifest(WithLayer(ManifestOf({"bn/gamma", "bn/beta"}), layer,
                                                  {{"gamma", "bn/gamma"}, {"beta", "bn/beta"}}));
  EXPECT_THAT(named.Layers(), IsEmpty());
  EXPECT_EQ(named.RoleOf("bn/gamma"), "gamma");
}

TEST(Graph, OrdersLayersAsTheModelCallsThem) {
  Layer layer;
  layer.op_type = "BatchNormalization";
  layer.computation = network::BatchNormalization{};
  Manifest manifest = ManifestOf({"a/moving_mean", "z/moving_mean", "free/bn/moving_mean"});
  layer.name = "a";
  manifest = WithLayer(std::move(manifest), layer, {{"moving_mean", "a/moving_mean"}});
  layer.name = "z";
  manifest = WithLayer(std::move(manifest), layer, {{"moving_mean", "z/moving_mean"}});
  manifest.graph->nodes = {Node{1, {}, 0}, Node{0, {}, 1}};
  EXPECT_THAT(Named::OfManifest(manifest).Scopes(), ElementsAre("z", "a", "free/bn"));
}

TEST(Graph, GivesRolesToItsOtherLayers) {
  Layer layer;
  layer.name = "dense";
  layer.op_type = "Dense";
  layer.computation = network::MatrixProduct{};
  layer.has_kernel = true;
  const Named named = Named::OfManifest(
      WithLayer(ManifestOf({{"u", {3, 4}}, {"v", {4}}}), layer, {{"kernel", "u"}, {"bias", "v"}}));
  EXPECT_EQ(named.RoleOf("u"), "kernel");
  EXPECT_EQ(named.RoleOf("v"), "bias");
  EXPECT_EQ(named.Of("u").trainable, true);
  EXPECT_EQ(named.Of("u").evidence[0].source, EvidenceSource::kFrameworkRecord);
}

TEST(Bookkeeping, IsNeverPartOfTheModel) {
  Manifest manifest = ManifestOf({"bn/gamma", "bn/beta"});
  for (TensorInfo& info : manifest.tensors) info.section = Section::kBookkeeping;
  const Named named = Named::OfManifest(manifest);
  EXPECT_THAT(named.Layers(), IsEmpty());
  EXPECT_EQ(named.RoleOf("bn/gamma"), "other");
}

TEST(KernelsAndBiases, AreKnownInEverySpelling) {
  const std::vector<std::int64_t> conv = {3, 3, 2, 4};
  const Named named({{"a/kernel", conv},
                     {"b/weights", conv},
                     {"c/depthwise_weights", conv},
                     {"d/depthwise_kernel", conv},
                     {"e/DW", conv},
                     {"f/W", conv},
                     {"g.weight", conv},
                     {"h_W", conv},
                     {"i/kernelExtra0", conv},
                     {"j/shortcutWeights", conv},
                     "a/bias",
                     "b/biases",
                     "g.bias",
                     "h_b",
                     "k.ln_1.weight",
                     "prelu.weight"});
  for (const char* kernel :
       {"a/kernel", "b/weights", "c/depthwise_weights", "d/depthwise_kernel", "e/DW", "f/W",
        "g.weight", "h_W", "i/kernelExtra0", "j/shortcutWeights"}) {
    EXPECT_EQ(named.RoleOf(kernel), "kernel") << kernel;
  }
  for (const char* bias : {"a/bias", "b/biases", "g.bias", "h_b"}) {
    EXPECT_EQ(named.RoleOf(bias), "bias") << bias;
  }
  EXPECT_EQ(named.RoleOf("k.ln_1.weight"), "gamma");
  EXPECT_EQ(named.RoleOf("prelu.weight"), "other");
}

}  // namespace
}  // namespace ckpt::testing::batch_norm_layers_test
