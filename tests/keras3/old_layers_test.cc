// Files of Keras 2.12 to 2.14, whose lists of layers have another name, and up to 2.13 are counted
// twice where there are weights.
#include "formats/keras/variables/old_layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ckpt/batch_norm.h"
#include "formats/keras/variables/variable_groups.h"
#include "tests/keras3/keras3_files.h"
#include "tests/support/paths.h"

namespace ckpt::formats::keras::old_layers_test {
namespace {

using ::testing::ElementsAre;

std::string OldPath(const std::string& name) {
  return ckpt::testing::TestData() + "/keras_old/" + name;
}

// Every variable stands under the name that Keras gives it, in the archives of both versions.
TEST(OldLayers, VariablesHaveTheNamesThatKerasGivesThem) {
  for (const std::string name : {"k213_net.keras", "k214_net.keras"}) {
    SCOPED_TRACE(name);
    const auto archive = OpenKerasArchive(SystemFiles(), OldPath(name), {});
    ASSERT_TRUE(archive) << ToString(archive.error());
    const auto expected = ckpt::testing::ReadExpected(OldPath(name) + ".expected.json");
    EXPECT_EQ((*archive)->manifest().tensors.size(), expected["tensors"].size());
    for (const auto& tensor : expected["tensors"]) {
      ckpt::testing::ExpectTensor(**archive, tensor, tensor["name"].get<std::string>());
    }
    EXPECT_EQ(Analyse((*archive)->manifest()).batch_norms.size(), 5U);
  }
}

TEST(OldLayers, ReadAndWrittenAreTheSamePaths) {
  const std::string list = "_layer_checkpoint_dependencies/";
  for (const bool twice : {true, false}) {
    const auto count = [&](const std::string& name, int weighted, int plain) {
      const int number = (twice ? 2 : 1) * weighted + plain;
      return number == 0 ? name : name + "_" + std::to_string(number);
    };
    VariableStore store;
    const auto add = [&](const std::string& path, bool weights) {
      VariableGroup group;
      group.path = path;
      if (weights) group.variables.resize(1);
      store.groups.push_back(group);
    };
    // Of one class: with weights, without, with, with; below the last, two more.
    add(list + count("block", 0, 0), true);
    add(list + count("block", 1, 0), false);
    add(list + count("block", 1, 1), true);
    const std::string outer = list + count("block", 2, 1);
    add(outer, false);
    add(outer + "/" + list + count("dense", 0, 0), true);
    add(outer + "/" + list + count("dense", 1, 0), true);
    std::sort(store.groups.begin(), store.groups.end(),
              [](const auto& a, const auto& b) { return a.path < b.path; });
    std::vector<std::string> stored;
    for (const VariableGroup& group : store.groups) stored.push_back(group.path);

    VariableLayout layout;
    layout.old_layers = RenameOldLayers(store);
    EXPECT_EQ(layout.old_layers, twice ? OldLayers::kCountedTwice : OldLayers::kCountedOnce);
    std::vector<std::string> renamed;
    for (const VariableGroup& group : store.groups) {
      renamed.push_back(group.path);
      LayoutGroup& entry = layout.groups.emplace_back();
      entry.path = group.path;
      entry.variables.resize(group.variables.size());
    }
    EXPECT_THAT(renamed,
                ElementsAre("layers/block", "layers/block_1", "layers/block_2", "layers/block_3",
                            "layers/block_3/layers/dense", "layers/block_3/layers/dense_1"));
    const auto text = ParseVariableLayout(VariableLayoutText(layout));
    ASSERT_TRUE(text) << ToString(text.error());
    EXPECT_EQ(text->old_layers, layout.old_layers);
    std::vector<std::string> written;
    for (const LayoutGroup& group : WithOldLayers(layout).groups) written.push_back(group.path);
    std::sort(written.begin(), written.end());
    EXPECT_EQ(written, stored);
  }
}

TEST(OldLayers, LaterFilesStayAsTheyAre) {
  VariableStore store;
  store.groups.resize(2);
  store.groups[0].path = "layers/dense";
  store.groups[1].path = "layers/dense_2";
  EXPECT_EQ(RenameOldLayers(store), OldLayers::kNone);
  EXPECT_EQ(store.groups[1].path, "layers/dense_2");
}

}  // namespace
}  // namespace ckpt::formats::keras::old_layers_test
