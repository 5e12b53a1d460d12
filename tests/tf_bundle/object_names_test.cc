// What the tensors of object-based checkpoints are called, and whose they are.
#include "formats/tf_bundle/object_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "formats/tf_bundle/object_graph.h"
#include "formats/tf_proto/trackable_object_graph.pb.h"
#include "tests/support/expected_tensors.h"
#include "tests/support/paths.h"
#include "tests/tf_bundle/bundle_builder.h"

namespace ckpt::formats::object_names_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kTestdata = ckpt::testing::TestData();

// A graph of objects, built as TensorFlow would save it.
class GraphBuilder {
 public:
  struct Node {
    std::map<std::string, int> children = {};
    std::string full_name = {}, key = {};        // of a variable
    std::vector<std::array<int, 2>> slots = {};  // original and slot variable, all called "m"
  };
  GraphBuilder& Add(const Node& node) {
    tf_proto::TrackableObject object;
    for (const auto& [name, child] : node.children) {
      auto* reference = object.add_children();
      reference->set_local_name(name);
      reference->set_node_id(child);
    }
    if (!node.key.empty()) {
      auto* attribute = object.add_attributes();
      attribute->set_name("VARIABLE_VALUE");
      attribute->set_full_name(node.full_name);
      attribute->set_checkpoint_key(node.key);
    }
    for (const auto& [original, slot_variable] : node.slots) {
      auto* slot = object.add_slot_variables();
      slot->set_original_variable_node_id(original);
      slot->set_slot_variable_node_id(slot_variable);
      slot->set_slot_name("m");
    }
    const std::string bytes = object.SerializeAsString();
    serialized_ += "\x0a" + Varint(bytes.size()) + bytes;
    return *this;
  }
  const std::string& serialized() const { return serialized_; }

 private:
  std::string serialized_;
};

const std::string kValue = std::string(kVariableSuffix);

// A checkpoint of these keys, a byte each, with a graph.
class ObjectBundle {
 public:
  ObjectBundle(const std::string& graph, const std::vector<std::string>& keys) {
    BundleBuilder bundle;
    for (const std::string& key : keys) bundle.Add(key, kTfUint8, {1}, "x");
    const std::string fixed = Fixed32(static_cast<std::uint32_t>(graph.size()));
    const std::string crc = Fixed32(MaskedCrc(fixed));
    bundle.Add(std::string(kObjectGraphKey), kTfString, {}, Varint(graph.size()) + crc + graph,
               [&](auto& entry) { entry.set_crc32c(MaskedCrc(fixed + crc + graph)); });
    files_ = bundle.Files();
    auto opened = OpenTfBundle(files_, "m", {});
    if (opened) checkpoint_ = *std::move(opened);
    if (!opened) ADD_FAILURE() << ToString(opened.error());
  }
  const Manifest& manifest() const { return checkpoint_->manifest(); }
  const TensorInfo& operator[](const std::string& key) const {
    const auto id = FindTensor(manifest(), key);
    EXPECT_TRUE(id.has_value()) << key;
    return manifest().tensors[id->index];
  }

 private:
  MemoryFiles files_;
  std::unique_ptr<Checkpoint> checkpoint_;
};

std::unique_ptr<Checkpoint> OpenFixture(const std::string& prefix) {
  auto opened = OpenTfBundle(SystemFiles(), kTestdata + "/" + prefix, {});
  if (!opened) ADD_FAILURE() << ToString(opened.error());
  return opened ? *std::move(opened) : nullptr;
}

const TensorInfo& Named(const Checkpoint& checkpoint, const std::string& name) {
  const auto id = FindTensor(checkpoint.manifest(), name);
  EXPECT_TRUE(id.has_value()) << name;
  return checkpoint.manifest().tensors[id ? id->index : 0];
}

TEST(ObjectNames, AreTheVariablesOwn) {
  for (const char* prefix :
       {"tf2/classic_optimizer/ckpt-1", "tf2/new_optimizer/ckpt-2", "tf2/save_weights/weights"}) {
    const auto checkpoint = OpenFixture(prefix);
    ASSERT_NE(checkpoint, nullptr);
    std::map<std::string, std::vector<std::string>> layers;
    for (const TensorInfo& info : checkpoint->manifest().tensors) {
      EXPECT_EQ(info.name.find(".ATTRIBUTES"), std::string::npos) << info.name;
      if (!info.owner.empty()) {
        EXPECT_EQ(info.section, Section::kModel) << info.name;
        EXPECT_EQ(info.name, info.owner + "/" + info.local_name);
        layers[info.owner].push_back(info.local_name);
      }
    }
    std::size_t batch_norms = 0;
    for (const auto& [owner, members] : layers) {
      if (std::find(members.begin(), members.end(), "gamma") == members.end()) continue;
      EXPECT_THAT(members, ElementsAre("beta", "gamma", "moving_mean", "moving_variance")) << owner;
      ++batch_norms;
    }
    EXPECT_GT(batch_norms, 0U) << prefix;
  }
}

// Both optimizers trained the same variables, so both must name the same ones.
TEST(ObjectNames, SlotsBelongToTrainedVariables) {
  std::vector<std::vector<std::string>> trained;
  for (const char* prefix : {"tf2/classic_optimizer/ckpt-1", "tf2/new_optimizer/ckpt-1"}) {
    const auto checkpoint = OpenFixture(prefix);
    ASSERT_NE(checkpoint, nullptr);
    const Manifest& manifest = checkpoint->manifest();
    std::vector<std::string> with_slots;
    for (const TensorInfo& info : manifest.tensors) {
      if (!info.slot_of) continue;
      EXPECT_EQ(info.section, Section::kOptimizer) << info.name;
      EXPECT_FALSE(info.slot_name.empty()) << info.name;
      const TensorInfo& of = manifest.tensors[info.slot_of->index];
      EXPECT_EQ(of.shape, info.shape) << info.name;
      EXPECT_EQ(of.section, Section::kModel) << info.name;
      EXPECT_NE(info.name.find(of.name), std::string::npos) << info.name << " of " << of.name;
      with_slots.push_back(of.name);
    }
    std::sort(with_slots.begin(), with_slots.end());
    with_slots.erase(std::unique(with_slots.begin(), with_slots.end()), with_slots.end());
    for (const std::string& name : with_slots) {
      EXPECT_EQ(name.find("moving_"), std::string::npos) << name;
    }
    EXPECT_FALSE(with_slots.empty());
    trained.push_back(with_slots);
  }
  EXPECT_EQ(trained[0].size(), trained[1].size());
}

TEST(ObjectNames, CountersAndGraphsAreBookkeeping) {
  const auto checkpoint = OpenFixture("tf2/classic_optimizer/ckpt-1");
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(Named(*checkpoint, "save_counter").section, Section::kBookkeeping);
  EXPECT_EQ(Named(*checkpoint, "_CHECKPOINTABLE_OBJECT_GRAPH").section, Section::kBookkeeping);
}

TEST(ObjectNames, FollowTheKeysWhereTheDataIsAbsent) {
  MemoryFiles files;
  BundleBuilder bundle;
  bundle.Add(std::string(kObjectGraphKey), kTfString, {}, "xxxxxx");
  for (const char* path :
       {"layer-4/gamma", "layer-4/gamma/.OPTIMIZER_SLOT/optimizer/m", "optimizer/iter",
        "optimizer/_trainable_variables/0", "save_counter", "keras_api/metrics/0/total", "v/0"}) {
    bundle.Add(path + kValue, kTfUint8, {1}, "x");
  }
  files.Add("m.index", bundle.Index());
  const auto opened = OpenTfBundle(files, "m", {});
  ASSERT_TRUE(opened.has_value());
  const auto find = [&](const std::string& name) { return Named(**opened, name); };
  EXPECT_EQ(find("layer-4/gamma").owner, "layer-4");
  EXPECT_EQ(find("layer-4/gamma").local_name, "gamma");
  EXPECT_EQ(find("layer-4/gamma").stored_as, "layer-4/gamma" + kValue);
  const TensorInfo slot = find("layer-4/gamma/.OPTIMIZER_SLOT/optimizer/m");
  EXPECT_EQ(slot.section, Section::kOptimizer);
  EXPECT_EQ(slot.slot_name, "m");
  ASSERT_TRUE(slot.slot_of.has_value());
  EXPECT_EQ((*opened)->manifest().tensors[slot.slot_of->index].name, "layer-4/gamma");
  EXPECT_EQ(find("optimizer/iter").section, Section::kOptimizer);
  EXPECT_EQ(find("optimizer/_trainable_variables/0").section, Section::kModel);
  EXPECT_EQ(find("save_counter").section, Section::kBookkeeping);
  EXPECT_EQ(find("keras_api/metrics/0/total").section, Section::kBookkeeping);
  EXPECT_EQ(find("v/0").owner, "") << "items of a list have no name of their own";
}

TEST(ObjectNames, FallBackToThePathWhereTwoVariablesShareAName) {
  GraphBuilder graph;
  graph.Add({.children = {{"a", 1}, {"b", 2}}})
      .Add({.children = {{"w", 3}}})
      .Add({.children = {{"w", 4}, {"x", 5}}})
      .Add({.full_name = "dense/kernel", .key = "a/w" + kValue})
      .Add({.full_name = "dense/kernel", .key = "b/w" + kValue})
      .Add({.full_name = "a/w", .key = "b/x" + kValue});  // the path of another one
  const ObjectBundle bundle(graph.serialized(), {"a/w" + kValue, "b/w" + kValue, "b/x" + kValue});
  std::vector<std::string> names;
  for (const TensorInfo& info : bundle.manifest().tensors) names.push_back(info.name);
  EXPECT_THAT(names, ElementsAre("_CHECKPOINTABLE_OBJECT_GRAPH", "a/w", "b/w", "b/x"));
  EXPECT_EQ(bundle["a/w"].stored_as, "a/w" + kValue);
  EXPECT_EQ(bundle["b/x"].owner, "b");
}

TEST(ObjectNames, KeepTheModelsVariablesThatAnOptimizerListsToo) {
  // As Keras 3 saves: the shortest way to the kernel is through the optimizer.
  GraphBuilder graph;
  graph.Add({.children = {{"model", 1}, {"optimizer", 2}}})
      .Add({.children = {{"_operations", 3}}})
      .Add({.children = {{"_variables", 4}, {"_iterations", 6}, {"_trainable_variables", 7}}})
      .Add({.children = {{"0", 5}}})
      .Add({.children = {{"0", 6}, {"1", 9}}})
      .Add({.children = {{"_kernel", 8}}})
      .Add({.full_name = "adam/iteration", .key = "optimizer/_iterations" + kValue})
      .Add({.children = {{"0", 8}}})
      .Add({.full_name = "conv/kernel", .key = "optimizer/_trainable_variables/0" + kValue})
      .Add({.full_name = "adam/conv_kernel_momentum", .key = "optimizer/_variables/1" + kValue});
  const ObjectBundle bundle(graph.serialized(), {"optimizer/_iterations" + kValue,
                                                 "optimizer/_trainable_variables/0" + kValue,
                                                 "optimizer/_variables/1" + kValue});
  EXPECT_EQ(bundle["conv/kernel"].section, Section::kModel);
  EXPECT_EQ(bundle["conv/kernel"].owner, "conv");
  EXPECT_EQ(bundle["conv/kernel"].local_name, "kernel");
  EXPECT_EQ(bundle["adam/iteration"].section, Section::kOptimizer);
  const TensorInfo& slot = bundle["adam/conv_kernel_momentum"];
  EXPECT_EQ(slot.section, Section::kOptimizer);
  EXPECT_EQ(slot.slot_name, "momentum");
  ASSERT_TRUE(slot.slot_of.has_value());
  EXPECT_EQ(bundle.manifest().tensors[slot.slot_of->index].name, "conv/kernel");
}

TEST(ObjectNames, TakeAnExportedCopyForACopy) {
  GraphBuilder graph;
  graph.Add({.children = {{"variables", 1}, {"_all_variables", 2}}})
      .Add({.children = {{"0", 3}}})
      .Add({.children = {{"0", 4}}})
      .Add({.full_name = "conv/kernel", .key = "variables/0" + kValue})
      .Add({.full_name = "conv/kernel", .key = "_all_variables/0" + kValue});
  const ObjectBundle bundle(graph.serialized(),
                            {"variables/0" + kValue, "_all_variables/0" + kValue});
  EXPECT_EQ(bundle["variables/0" + kValue].name, "conv/kernel");
  EXPECT_EQ(bundle["variables/0" + kValue].section, Section::kModel);
  EXPECT_EQ(bundle["_all_variables/0" + kValue].name, "_all_variables/0");
  EXPECT_EQ(bundle["_all_variables/0" + kValue].section, Section::kBookkeeping);
}

TEST(ObjectNames, SurviveCyclesAndVariablesNamedTwice) {
  GraphBuilder graph;
  graph.Add({.children = {{"self", 0}, {"a", 1}}})
      .Add({.children = {{"back", 0}, {"w", 2}, {"again", 2}}, .slots = {{2, 2}, {3, 2}}})
      .Add({.full_name = "w", .key = "a/w" + kValue})
      .Add({.full_name = "w2", .key = "a/w" + kValue})
      .Add({.full_name = "gone", .key = "not/in/the/index" + kValue});
  const ObjectBundle bundle(graph.serialized(), {"a/w" + kValue});
  EXPECT_THAT(bundle.manifest().problems, IsEmpty());
  EXPECT_EQ(bundle["a/w" + kValue].name, "w");
}

TEST(ObjectGraph, RejectsWhatIsNoGraph) {
  const auto problem = [](const std::string& graph) {
    const ObjectBundle bundle(graph, {"a/w" + kValue});
    EXPECT_EQ(bundle["a/w" + kValue].name, "a/w") << "names by keys";
    if (bundle.manifest().problems.size() != 1) return std::optional<Error>();
    return std::optional(bundle.manifest().problems[0].error);
  };
  const std::string child = GraphBuilder().Add({.children = {{"x", 7}}}).serialized();
  const std::string slot = GraphBuilder().Add({.slots = {{0, 1}}}).serialized();
  const std::string negative = GraphBuilder().Add({.children = {{"x", -1}}}).serialized();
  for (const std::string& graph :
       {std::string(), std::string("\x0a"), std::string("\x0a\x05"),
        std::string("\x0a\x02\x0a\x7f"), std::string("\x0a\xff\xff\xff\xff\x0f"),
        std::string(20, '\xff'), child, slot, negative}) {
    const auto error = problem(graph);
    ASSERT_TRUE(error.has_value()) << graph.size();
    EXPECT_EQ(error->code, ErrorCode::kCorrupt);
    EXPECT_EQ(error->file, "m.data-00000-of-00001");
    EXPECT_EQ(error->tensor, "_CHECKPOINTABLE_OBJECT_GRAPH");
  }
}

TEST(ObjectGraph, BoundsWhatItReads) {
  const auto parsed = [](const std::string& bytes, const Limits& limits) {
    const auto graph = ParseObjectGraph(bytes, limits);
    return graph ? std::optional<ErrorCode>() : graph.error().code;
  };
  Limits limits;
  limits.metadata_bytes = 10;
  EXPECT_EQ(parsed(std::string(11, 'x'), limits), ErrorCode::kLimitExceeded);
  const std::string node = "\x0a" + Varint(5U << 20U) + std::string(5U << 20U, '\0');
  EXPECT_EQ(parsed(node, {}), ErrorCode::kLimitExceeded);
}

// A chain of objects too deep for any path, and many objects without anything.
TEST(ObjectGraph, TakesDeepAndWideGraphs) {
  GraphBuilder graph;
  constexpr int kDepth = 100000;
  for (int i = 0; i < kDepth; ++i) graph.Add({.children = {{"next", i + 1}, {"w", kDepth + 1}}});
  graph.Add({});
  graph.Add({.full_name = "", .key = "w" + kValue});
  const ObjectBundle deep(graph.serialized(), {"w" + kValue});
  EXPECT_THAT(deep.manifest().problems, IsEmpty());
  EXPECT_EQ(deep["w" + kValue].name, "w");

  std::string wide;
  for (int i = 0; i < 1000000; ++i) wide += std::string("\x0a\x00", 2);
  const ObjectBundle bundle(wide, {"w" + kValue});
  EXPECT_THAT(bundle.manifest().problems, IsEmpty());
}

}  // namespace
}  // namespace ckpt::formats::object_names_test
