// Averages of weights over time are told from the model, in the spellings of the trainers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/roles/names.h"

namespace ckpt::testing::averages_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Name and what it is an average of.
struct Spelling {
  const char* what;
  std::vector<NamedTensor> tensors;  // the first is the average
  std::string of;
};

const Spelling kSpellings[] = {
    {"TimmStateDictEma", {"state_dict_ema.c.weight", "c.weight"}, "c.weight"},
    {"ModelEmaV2", {"model_ema.module.c.weight", "c.weight"}, "c.weight"},
    {"Lightning", {"ema_model.module.c.weight", "model.c.weight"}, "model.c.weight"},
    {"OfTheWholeLightningModule", {"ema.module.net.c.weight", "net.c.weight"}, "net.c.weight"},
    {"ShadowDict", {"ema.shadow.c.weight", "c.weight"}, "c.weight"},
    {"WordBehind", {"g_ema.c.weight", "g.c.weight"}, "g.c.weight"},
    {"Swa", {"swa_model.module.c.weight", "c.weight"}, "c.weight"},
    {"EmaPytorchInATrainer", {"ema.ema_model.c.weight", "c.weight"}, "c.weight"},
    {"ListWithNames", {"ema.shadow_params.c.weight", "c.weight"}, "c.weight"},
    {"FlaxState", {"ema_params/c/kernel", "params/c/kernel"}, "params/c/kernel"},
    {"LitEma",
     {"model_ema.netinput_blocks00weight", "model_ema.netoutbias",
      "model.net.input_blocks.0.0.weight", "model.net.out.bias"},
     "model.net.input_blocks.0.0.weight"},
    {"EmaHook",
     {"ema_backbone_conv1_weight", "ema_backbone_bn1_bias", "backbone.conv1.weight",
      "backbone.bn1.bias"},
     "backbone.conv1.weight"},
    {"Teacher",
     {"teacher.c.weight", "teacher.d.weight", "student.c.weight", "student.d.weight"},
     "student.c.weight"},
};

TEST(Averages, AreFoundInTheSpellingsOfTheTrainers) {
  for (const Spelling& spelling : kSpellings) {
    SCOPED_TRACE(spelling.what);
    const Named named(spelling.tensors);
    EXPECT_EQ(named.RoleOf(spelling.tensors[0].name), "ema_shadow");
    EXPECT_EQ(named.OwnerOf(spelling.tensors[0].name), spelling.of);
  }
}

TEST(Averages, AreNoSecondBatchNorm) {
  const Named named({"bn.weight", "bn.bias", "bn.running_mean", "bn.running_var",
                     "ema.shadow.bn.weight", "ema.shadow.bn.bias"});
  EXPECT_THAT(named.Scopes(), ElementsAre("bn"));
}

TEST(Averages, OfACodebookArePartOfTheModel) {
  const Named named({{"quantize.ema_w", {8, 4}}, {"quantize.embed", {8, 4}}, "w"});
  EXPECT_EQ(named.RoleOf("quantize.ema_w"), "other");
  EXPECT_FALSE(named.Of("quantize.ema_w").of_training);
}

TEST(Averages, ALayerWithSuchANameIsNoAverageOfAnyOtherLayer) {
  const Named named({{"shadow.weight", {4, 4}}, "shadow.bias", {"fc.weight", {4, 4}}, "fc.bias"});
  EXPECT_EQ(named.RoleOf("shadow.weight"), "kernel");
  EXPECT_EQ(named.RoleOf("shadow.bias"), "bias");
}

TEST(Averages, ATeacherOfAnotherArchitectureIsAModelOfItsOwn) {
  const Named named({{"teacher.c.weight", {8, 4}},
                     {"student.c.weight", {4, 4}},
                     "teacher.d.weight",
                     "student.d.weight"});
  EXPECT_EQ(named.RoleOf("teacher.c.weight"), "kernel");
}

TEST(Averages, NumbersBesideThemAreOfTheTraining) {
  const Named named({{"model_ema.decay", {}},
                     {"model_ema.num_updates", {}, Dtype::kI32},
                     "model_ema.cweight",
                     "model_ema.dweight",
                     "c.weight",
                     "d.weight"});
  for (const char* name : {"model_ema.decay", "model_ema.num_updates"}) {
    EXPECT_TRUE(named.Of(name).of_training) << name;
    EXPECT_FALSE(named.Of(name).evidence.empty());
  }
}

TEST(Averages, WithoutNamesInAListBelongToNothing) {
  const Named named({"ema.shadow_params.0", {"ema.shadow_params.1", {2, 2}}, "c.weight"});
  EXPECT_EQ(named.RoleOf("ema.shadow_params.1"), "ema_shadow");
  EXPECT_EQ(named.OwnerOf("ema.shadow_params.1"), "");
}

TEST(Averages, MayBeTheModelItself) {
  const Named named({{"n_averaged", {}, Dtype::kI64}, "c.weight"});
  EXPECT_TRUE(named.Of("n_averaged").of_training);
  ASSERT_TRUE(named.analysis.averaged);
  EXPECT_THAT(named.analysis.averaged->detail, HasSubstr("n_averaged"));
}

// mmengine/hooks/ema_hook.py, _swap_ema_state_dict: the values change places before the file is
// written.
TEST(Averages, OfMmengineStandUnderTheModelsOwnNames) {
  const Named named(
      {{"ema_state_dict.steps", {}, Dtype::kI64}, "ema_state_dict.module.c.weight", "c.weight"});
  EXPECT_EQ(named.RoleOf("ema_state_dict.module.c.weight"), "other");
  EXPECT_TRUE(named.Of("ema_state_dict.module.c.weight").of_training);
  ASSERT_TRUE(named.analysis.averaged);
  EXPECT_EQ(named.analysis.averaged->source, EvidenceSource::kFrameworkRecord);
}

TEST(RandomStates, AreOfTheTraining) {
  const Named named({{"rng.th", {5056}, Dtype::kU8},
                     {"cuda_rng_state", {16}, Dtype::kU8},
                     {"random_state.1", {624}, Dtype::kU32},
                     "strng.weight"});
  for (const char* name : {"rng.th", "cuda_rng_state", "random_state.1"}) {
    EXPECT_TRUE(named.Of(name).of_training) << name;
  }
  EXPECT_FALSE(named.Of("strng.weight").of_training);
}

// Keras' seed generators belong to the model: it does not load without them.
TEST(RandomStates, OfKerasLayersAreKept) {
  Manifest manifest = ManifestOf({{"dropout/seed_generator/rng_state", {2}, Dtype::kU32}});
  manifest.framework = Framework::kKeras;
  EXPECT_FALSE(Named::OfManifest(manifest).analysis.roles[0].of_training);
}

}  // namespace
}  // namespace ckpt::testing::averages_test
