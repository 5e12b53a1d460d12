// What a fold changes in the config and the layout of the variables. That real Keras loads the
// results and computes the same is tested in tests/interop/test_keras3.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/keras/variables/variable_layout.h"
#include "tests/keras3/keras3_files.h"

namespace ckpt::formats::archive_rewrite_test {
namespace {

using ckpt::testing::OpenArchive;
using ::testing::HasSubstr;
using ::testing::Not;

LayerId IdOf(const ModelGraph& graph, const std::string& name) {
  const auto id = graph.FindLayer(name);
  EXPECT_TRUE(id.has_value()) << name;
  return id.value_or(0);
}

struct Documents {
  std::vector<Document> documents;
  std::string Text(std::string_view name) const {
    for (const Document& document : documents) {
      if (document.name == name) return document.text;
    }
    return "";
  }
  // "layers/dense/vars/1", or "" for a tensor that has no place.
  std::string PlaceOf(const std::string& tensor) const {
    const auto layout = keras::ParseVariableLayout(Text(keras::kVariableLayoutDocument)).value();
    for (const auto& group : layout.groups) {
      for (const auto& variable : group.variables) {
        if (variable.tensor == tensor) return group.path + "/vars/" + variable.key;
      }
    }
    return "";
  }
};

struct Edited {
  std::vector<std::string> removed = {}, gained_bias = {}, to_affine = {};
};

Result<Documents> Rewrite(const std::string& fixture, const Edited& names) {
  const auto archive = OpenArchive(fixture);
  if (!archive) return Fail(ErrorCode::kInternal, "no fixture");
  const Manifest& manifest = archive->manifest();
  GraphEdits edits;
  for (const auto& name : names.removed) edits.removed.push_back(IdOf(*manifest.graph, name));
  for (const auto& name : names.gained_bias) {
    edits.gained_bias.push_back(IdOf(*manifest.graph, name));
  }
  for (const auto& name : names.to_affine) edits.to_affine.push_back(IdOf(*manifest.graph, name));
  CKPT_ASSIGN_OR_RETURN(auto documents, RewriteKerasArchive(manifest, edits));
  return Documents{std::move(documents)};
}

TEST(ArchiveRewriteTest, WithoutEditsNothingChanges) {
  const auto archive = OpenArchive("k3_trained.keras");
  const auto documents = RewriteKerasArchive(archive->manifest(), {});
  ASSERT_TRUE(documents.has_value());
  ASSERT_EQ(documents->size(), archive->manifest().documents.size());
  for (std::size_t i = 0; i < documents->size(); ++i) {
    EXPECT_EQ((*documents)[i].text, archive->manifest().documents[i].text);
  }
}

TEST(ArchiveRewriteTest, ARemovedLayerRenumbersThoseOfItsClass) {
  const auto rewritten = Rewrite("k3_sequential.keras", {{"bn"}});
  ASSERT_TRUE(rewritten.has_value()) << ToString(rewritten.error());
  EXPECT_EQ(rewritten->PlaceOf("bn/gamma"), "");
  EXPECT_EQ(rewritten->PlaceOf("bn_up/gamma"), "layers/batch_normalization/vars/0");
  EXPECT_EQ(rewritten->PlaceOf("bn_head/moving_variance"), "layers/batch_normalization_1/vars/3");
  EXPECT_EQ(rewritten->PlaceOf("conv/bias"), "layers/conv2d/vars/1");
  EXPECT_THAT(rewritten->Text("config.json"), Not(HasSubstr("\"bn\"")));
}

TEST(ArchiveRewriteTest, ABiasIsTheLastVariable) {
  const auto rewritten = Rewrite("k3_functional.keras", {{"bn_a", "bn_s"}, {"conv_a", "sep"}});
  ASSERT_TRUE(rewritten.has_value()) << ToString(rewritten.error());
  EXPECT_THAT(rewritten->PlaceOf("conv_a/bias"), ::testing::MatchesRegex("layers/conv2d.*/vars/1"));
  EXPECT_EQ(rewritten->PlaceOf("sep/bias"), "layers/separable_conv2d/vars/2");
}

TEST(ArchiveRewriteTest, AnAffineLayerHasAllFour) {
  const auto rewritten = Rewrite("k3_functional.keras", {{}, {}, {"bn_b", "bn_s"}});
  ASSERT_TRUE(rewritten.has_value()) << ToString(rewritten.error());
  EXPECT_THAT(rewritten->PlaceOf("bn_b/gamma"), ::testing::EndsWith("/vars/0"));
  EXPECT_THAT(rewritten->PlaceOf("bn_b/beta"), ::testing::EndsWith("/vars/1"));
  EXPECT_THAT(rewritten->PlaceOf("bn_s/moving_variance"), ::testing::EndsWith("/vars/3"));
}

TEST(ArchiveRewriteTest, TheOptimizerGoes) {
  const auto rewritten = Rewrite("k3_trained.keras", {{"bn"}});
  ASSERT_TRUE(rewritten.has_value()) << ToString(rewritten.error());
  EXPECT_THAT(rewritten->Text("config.json"), Not(HasSubstr("compile_config")));
  EXPECT_THAT(rewritten->Text("variable_layout"), Not(HasSubstr("optimizer")));
}

TEST(ArchiveRewriteTest, LayersOfNestedModelsKeepTheirModel) {
  const auto rewritten = Rewrite("k3_nested.keras", {{"inner/ibn", "obn"}});
  ASSERT_TRUE(rewritten.has_value()) << ToString(rewritten.error());
  EXPECT_EQ(rewritten->PlaceOf("inner/ibn/gamma"), "");
  EXPECT_EQ(rewritten->PlaceOf("inner/ic/kernel"), "layers/sequential/layers/conv2d/vars/0");
  EXPECT_EQ(rewritten->PlaceOf("g/gbn/gamma"),
            "layers/functional/layers/batch_normalization/vars/0");
}

TEST(ArchiveRewriteTest, AModelWithoutARecordOfItsLayersIsNotEdited) {
  const auto archive = OpenArchive("k3_subclass.keras");
  GraphEdits edits;
  edits.removed = {0};
  const auto documents = RewriteKerasArchive(archive->manifest(), edits);
  ASSERT_FALSE(documents.has_value());
  EXPECT_EQ(documents.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace ckpt::formats::archive_rewrite_test
