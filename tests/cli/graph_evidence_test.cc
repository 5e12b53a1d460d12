// A graph that is there decides what is folded, whatever is written and whatever names suggest.
#include "cli/graph_evidence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "ckpt/formats/format.h"
#include "ckpt/network/network.h"
#include "tests/cli/ckpt_program.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::testing::graph_evidence_test {
namespace {

std::unique_ptr<Checkpoint> OpenFile(const std::string& path) {
  auto opened = formats::OpenCheckpoint(path);
  if (!opened) ADD_FAILURE() << ToString(opened.error());
  return opened ? *std::move(opened) : nullptr;
}

std::vector<std::string> NamesOf(const Checkpoint& checkpoint) {
  std::vector<std::string> names;
  for (const TensorInfo& info : checkpoint.manifest().tensors) names.push_back(info.name);
  return names;
}

// The same names, and values that differ by roundings to float32 alone.
void ExpectHoldsSame(const std::string& path, const std::string& expected_path) {
  const auto made = OpenFile(path), expected = OpenFile(expected_path);
  ASSERT_TRUE(made && expected);
  ASSERT_EQ(NamesOf(*made), NamesOf(*expected));
  for (std::uint32_t i = 0; i < made->manifest().tensors.size(); ++i) {
    SCOPED_TRACE(made->manifest().tensors[i].name);
    const auto x = ReadDoubles(*made, {i}, 1 << 20), y = ReadDoubles(*expected, {i}, 1 << 20);
    ASSERT_TRUE(x && y);
    ASSERT_EQ(x->size(), y->size());
    for (std::size_t e = 0; e < x->size(); ++e)
      EXPECT_NEAR((*x)[e], (*y)[e], 1e-6 * std::max(1.0, std::fabs((*y)[e])));
  }
}

// Made before training, when all norms were equal: the exporters stored their tensors once.
TEST(ExportedGraph, GivesEachNormItsOwnTensorsOfTheTrainedStateDict) {
  const std::string folder = ckpt::testing::TestData() + "/exported_graphs/";
  for (const std::string graph : {"legacy.onnx", "optimised.onnx"}) {
    SCOPED_TRACE(graph);
    const TemporaryFolder out;
    const std::string path = (out.path() / "folded.npz").string();
    const auto run = Ckpt({"convert", "--bn", "fold", "--strict", folder + "trained.pt", path,
                           "--graph", folder + graph});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    ExpectHoldsSame(path, folder + "folded.npz");
  }
}

TEST(ExportedGraph, ListsEachNormOnce) {
  const std::string folder = ckpt::testing::TestData() + "/exported_graphs/";
  for (const std::string graph : {"legacy.onnx", "optimised.onnx"}) {
    SCOPED_TRACE(graph);
    const auto run =
        Ckpt({"audit", "--format", "json", folder + "trained.pt", "--graph", folder + graph});
    EXPECT_EQ(run.exit_code, 0) << run.out;
    const auto layers = nlohmann::json::parse(run.out)["inputs"][0]["batch_norm"];
    std::vector<std::string> scopes;
    for (const auto& layer : layers) {
      scopes.push_back(layer["scope"]);
      EXPECT_EQ(layer["moving_mean"], scopes.back() + ".running_mean");
      EXPECT_FLOAT_EQ(layer["epsilon"]["value"].get<float>(), 0.001F);
    }
    EXPECT_EQ(scopes, (std::vector<std::string>{"n1", "body.norm", "n2"}));
  }
}

// Keras 2 writes no names of layers into them: a layer stands under its class and number.
TEST(WeightsOfKeras2, AreFoldedByTheGraphOfTheWholeModel) {
  const std::string folder = ckpt::testing::TestData() + "/keras3/";
  const TemporaryFolder out;
  const auto run = Ckpt({"convert", "--bn", "fold", "--format", "json", "--graph",
                         folder + "k2_functional.keras", folder + "k2_functional.weights.h5",
                         (out.path() / "folded.safetensors").string()});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  std::map<std::string, std::string> folded;
  const auto report = nlohmann::json::parse(run.out);
  for (const auto& fold : report["folded"]) folded[fold["batch_norm"]] = fold["into"][0];
  // The weights stand under classes and numbers; the model knows the names.
  EXPECT_EQ(folded,
            (std::map<std::string, std::string>{{"bn_a", "conv_a/kernel"},
                                                {"batch_normalization", "dw/depthwise_kernel"},
                                                {"bn_b", "conv_b/kernel"},
                                                {"bn_s", "sep/pointwise_kernel"}}));
}

TEST(WeightsOfKeras, WithTheModelAreFoldedAsTheModelItself) {
  const TemporaryFolder out;
  for (const std::string name : {"k2_functional", "k2_nested"}) {
    SCOPED_TRACE(name);
    const std::string model = ckpt::testing::TestData() + "/keras3/" + name + ".keras";
    const std::string own = (out.path() / (name + ".own.keras")).string();
    const std::string apart = (out.path() / (name + ".weights.h5")).string();
    ASSERT_EQ(Ckpt({"convert", "--bn", "fold", model, own}).exit_code, 0);
    ASSERT_EQ(Ckpt({"convert", model, apart}).exit_code, 0);
    for (const std::string suffix : {".keras", ".weights.h5"}) {
      const std::string folded = (out.path() / (name + ".folded" + suffix)).string();
      const auto run = Ckpt({"convert", "--bn", "fold", "--graph", model, apart, folded});
      ASSERT_EQ(run.exit_code, 0) << run.err;
      if (suffix == ".keras") ExpectHoldsSame(folded, own);
    }
  }
}

// The network of a graph that is another file's, over the tensors of the input.
TEST(ExportedGraph, GivesTensorsOfItsNamesANetwork) {
  const std::string model = ckpt::testing::TestData() + "/onnx/chain.onnx";
  const TemporaryFolder out;
  const std::string names = (out.path() / "names.npz").string();
  ASSERT_EQ(Ckpt({"convert", model, names}).exit_code, 0);
  const auto own = OpenFile(model);
  ASSERT_EQ(OpenFile(names)->MakeNetwork().error().code, ErrorCode::kUnsupported);
  const auto with_graph = cli::WithGraphOf(OpenFile(names), model, formats::SystemFiles());
  ASSERT_TRUE(with_graph) << ToString(with_graph.error());
  const auto net = (*with_graph)->MakeNetwork(), expected = own->MakeNetwork();
  ASSERT_TRUE(net && expected);
  ASSERT_EQ(net->values.size(), expected->values.size());
  std::size_t stored = 0;
  for (std::size_t i = 0; i < net->values.size(); ++i) {
    const auto tensor_of = [&](const network::Network& network) {
      const auto& constant = network.values[i].constant;
      return constant ? std::get_if<network::StoredConstant>(&*constant) : nullptr;
    };
    const auto *here = tensor_of(*net), *there = tensor_of(*expected);
    ASSERT_EQ(here == nullptr, there == nullptr);
    if (here == nullptr) continue;
    ++stored;
    EXPECT_EQ((*with_graph)->manifest().tensors[here->tensor.index].name,
              own->manifest().tensors[there->tensor.index].name);
  }
  EXPECT_GT(stored, 4U);
}

// The exporter stored equal tensors once: by names the network would give every norm the first
// one's statistics.
TEST(ExportedGraph, ThatStoresEqualTensorsOnceGivesNoNetwork) {
  const std::string folder = ckpt::testing::TestData() + "/exported_graphs/";
  const auto with_graph = cli::WithGraphOf(OpenFile(folder + "trained.pt"), folder + "legacy.onnx",
                                           formats::SystemFiles());
  ASSERT_TRUE(with_graph) << ToString(with_graph.error());
  const auto net = (*with_graph)->MakeNetwork();
  ASSERT_FALSE(net);
  EXPECT_EQ(net.error().code, ErrorCode::kUnfit);
}

// Without the graph each module has its own tensors again, as a state dict of it has them.
TEST(ExportedGraph, IsWrittenAsTensorsUnderTheNameOfEachModule) {
  const std::string folder = ckpt::testing::TestData() + "/exported_graphs/";
  const TemporaryFolder out;
  for (const std::string graph : {"legacy.onnx", "optimised.onnx"}) {
    SCOPED_TRACE(graph);
    const std::string path = (out.path() / (graph + ".safetensors")).string();
    const auto run = Ckpt({"convert", folder + graph, path});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    const auto written = OpenFile(path), state = OpenFile(folder + "trained.pt");
    ASSERT_TRUE(written && state);
    for (const std::string& name : NamesOf(*state)) {
      if (name.ends_with("num_batches_tracked")) continue;
      // The optimising exporter leaves out biases of zeros.
      if (graph == "optimised.onnx" && name.ends_with("conv.bias")) continue;
      if (graph == "optimised.onnx" && name == "c2.bias") continue;
      EXPECT_TRUE(FindTensor(written->manifest(), name)) << name;
    }
  }
}

// unit/weights and unit/BatchNorm are nested as tf_slim nests a convolution with its batch norm;
// the graph shows that the batch norm comes first.
TEST(GraphBesideACheckpoint, WinsOverNestedNamesForEveryTarget) {
  const std::string folder = ckpt::testing::TestData() + "/tf1/graph_evidence/";
  const TemporaryFolder out;
  for (const std::string name : {"o.npz", "o.safetensors", "o.h5", "bundle"}) {
    SCOPED_TRACE(name);
    const std::string path = (out.path() / name).string();
    std::vector<std::string> arguments = {"convert", "--bn", "fold", folder + "model.ckpt", path};
    if (name == "bundle") arguments.insert(arguments.end(), {"--to", "tf-bundle"});
    const auto run = Ckpt(arguments);
    ASSERT_EQ(run.exit_code, 0) << run.err;
    ExpectHoldsSame(path, folder + "folded.npz");
  }
}

TEST(GraphBesideACheckpoint, IsAlsoTakenFromAnotherPlace) {
  const std::string folder = ckpt::testing::TestData() + "/tf1/graph_evidence/";
  const TemporaryFolder out;
  for (const char* suffix : {".index", ".data-00000-of-00001"}) {
    std::filesystem::copy(folder + "model.ckpt" + suffix,
                          (out.path() / "model.ckpt").string() + suffix);
  }
  const std::string path = (out.path() / "o.npz").string();
  const auto run = Ckpt({"convert", "--bn", "fold", (out.path() / "model.ckpt").string(), path,
                         "--graph", folder + "model.ckpt.meta"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  ExpectHoldsSame(path, folder + "folded.npz");
}

TEST(GraphBesideACheckpoint, IsReadFromTheOutputsThatTheUserNames) {
  const std::string folder = ckpt::testing::TestData() + "/tf1/graph_evidence/";
  const TemporaryFolder out;
  const std::string path = (out.path() / "o.npz").string();
  const auto run = Ckpt({"convert", "--bn", "fold", "--format", "json", "--outputs", "none",
                         folder + "model.ckpt", path});
  EXPECT_EQ(run.exit_code, 2);
  const auto ends = Ckpt({"convert", "--bn", "fold", "--format", "json", "--outputs", "unit/Relu",
                          folder + "model.ckpt", path});
  ASSERT_EQ(ends.exit_code, 0) << ends.err;
  const auto report = nlohmann::json::parse(ends.out);
  // Without the addition nothing else reads what comes before it.
  EXPECT_EQ(report["folded"].size(), 2U);
}

}  // namespace
}  // namespace ckpt::testing::graph_evidence_test
