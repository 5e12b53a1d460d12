// Slots, shadows, steps and the helpers of batch norms are told from the model by their names.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/roles/names.h"

namespace ckpt::testing::training_state_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Case {
  const char* what;
  std::vector<NamedTensor> tensors;  // the first is the one in question
  std::string role, owner;
};
void PrintTo(const Case& value, std::ostream* out) { *out << value.what; }

class TrainingName : public ::testing::TestWithParam<Case> {};

TEST_P(TrainingName, GivesRoleAndOwner) {
  const Named named(GetParam().tensors);
  const std::string& name = GetParam().tensors[0].name;
  EXPECT_EQ(named.RoleOf(name), GetParam().role);
  EXPECT_EQ(named.OwnerOf(name), GetParam().owner);
  EXPECT_EQ(named.Of(name).trainable, false);
  EXPECT_FALSE(named.Of(name).evidence.empty());
  EXPECT_THAT(named.Layers(), IsEmpty());
}

const Case kSlots[] = {
    {"Momentum", {"c/w/Momentum", "c/w"}, "optimizer_slot", "c/w"},
    {"Adam", {"c/w/Adam", "c/w"}, "optimizer_slot", "c/w"},
    {"AdamSecond", {"c/w/Adam_1", "c/w"}, "optimizer_slot", "c/w"},
    {"RmsProp", {"c/w/RMSProp", "c/w"}, "optimizer_slot", "c/w"},
    {"RmsPropSecond", {"c/w/RMSProp_1", "c/w"}, "optimizer_slot", "c/w"},
    {"Adagrad", {"c/w/Adagrad", "c/w"}, "optimizer_slot", "c/w"},
    {"Ftrl", {"c/w/Ftrl_1", "c/w"}, "optimizer_slot", "c/w"},
    {"Adadelta", {"c/w/Adadelta", "c/w"}, "optimizer_slot", "c/w"},
    {"BertAdamM", {"c/w/adam_m", "c/w"}, "optimizer_slot", "c/w"},
    {"BertAdamV", {"c/w/adam_v", "c/w"}, "optimizer_slot", "c/w"},
    {"SlotOfGamma", {"bn/gamma/Momentum", "bn2/w"}, "optimizer_slot", ""},
    {"InScopeOfTheOptimizer", {"train/c/w/Adam", "c/w"}, "optimizer_slot", "c/w"},
    {"OtherShapeIsNotTheOwner", {"train/w/Adam", {"w", {7}}}, "optimizer_slot", ""},
    {"KerasPrefix", {"Adam/m/c/kernel", "c/kernel"}, "optimizer_slot", "c/kernel"},
    {"KerasPrefixOfGamma", {"Adam/v/bn/gamma", "c/kernel"}, "optimizer_slot", ""},
    {"KerasSuffix", {"training/RMSprop/c/kernel/rms", "c/kernel"}, "optimizer_slot", "c/kernel"},
    {"KerasUnnamed", {"training/Adam/Variable_12", "c/kernel"}, "optimizer_slot", ""},
    {"ObjectGraphKey",
     {"l-0/kernel/.OPTIMIZER_SLOT/optimizer/m", "l-0/kernel"},
     "optimizer_slot",
     "l-0/kernel"},
    {"BetaPower", {{"beta1_power", {}}}, "optimizer_slot", ""},
    {"BetaPowerInScope", {{"optim/beta2_power_1", {}}}, "optimizer_slot", ""},
    {"TorchState", {"optimizer.state.0.exp_avg_sq", "fc.weight"}, "optimizer_slot", ""},
    {"TorchStep", {{"optimizer.state.0.step", {}}, "fc.weight"}, "optimizer_slot", ""},
    {"TorchMomentum", {"state.3.momentum_buffer", "fc.weight"}, "optimizer_slot", ""},
};
const Case kShadows[] = {
    {"Average", {"c/w/ExponentialMovingAverage", "c/w"}, "ema_shadow", "c/w"},
    {"AverageAlone", {"c/w/ExponentialMovingAverage"}, "ema_shadow", ""},
    {"AverageOfStatistic", {"x/moving_mean/ExponentialMovingAverage"}, "ema_shadow", ""},
    {"SecondAverage", {"c/w/ExponentialMovingAverage_1", "c/w"}, "ema_shadow", "c/w"},
    {"Biased", {"c/w/ExponentialMovingAverage/biased", "c/w"}, "ema_shadow", "c/w"},
    {"LocalStep", {{"c/w/ExponentialMovingAverage/local_step", {}}, "c/w"}, "ema_shadow", "c/w"},
    {"Lower", {"c/w/ema", "c/w"}, "ema_shadow", "c/w"},
    {"Tensorpack", {{"cost/EMA", {}}, "c/w"}, "ema_shadow", ""},
    {"Prefix", {"ema.c.weight", "c.weight"}, "ema_shadow", "c.weight"},
    {"StateDictBesideModel", {"ema_state_dict.c.weight", "c.weight"}, "ema_shadow", "c.weight"},
    {"PrefixBesideModel", {"model_ema.c.weight", "model.c.weight"}, "ema_shadow", "model.c.weight"},
    {"AveragedModel", {"ema_model.module.c.weight", "c.weight"}, "ema_shadow", "c.weight"},
    {"PrefixOfStatistic", {"ema.n.running_mean", "n.running_mean_"}, "moving_mean", ""},
};
const Case kSteps[] = {
    {"GlobalStep", {{"global_step", {}, Dtype::kI64}}, "step", ""},
    {"FloatGlobalStep", {{"global_step", {}, Dtype::kF32}}, "step", ""},
    {"InScope", {{"train/global_step", {}, Dtype::kI32}}, "step", ""},
    {"Iterations", {{"optimizer/iterations", {}, Dtype::kI64}}, "step", ""},
    {"Iter", {{"optimizer/iter", {}, Dtype::kI64}}, "step", ""},
    {"OneElementVector", {{"global_step", {1}, Dtype::kI64}}, "step", ""},
};

std::string NameOfCase(const ::testing::TestParamInfo<Case>& param) { return param.param.what; }
INSTANTIATE_TEST_SUITE_P(Slot, TrainingName, ::testing::ValuesIn(kSlots), NameOfCase);
INSTANTIATE_TEST_SUITE_P(Step, TrainingName, ::testing::ValuesIn(kSteps), NameOfCase);

TEST(Shadows, AreFoundInAllSpellings) {
  for (const Case& shadow : kShadows) {
    SCOPED_TRACE(shadow.what);
    const Named named(shadow.tensors);
    EXPECT_EQ(named.RoleOf(shadow.tensors[0].name), shadow.role);
    EXPECT_EQ(named.OwnerOf(shadow.tensors[0].name), shadow.owner);
  }
}

TEST(Shadows, OfAWholeBatchNormAreNoSecondLayer) {
  const Named named({"C/BatchNorm/beta", "C/BatchNorm/moving_mean", "C/BatchNorm/moving_variance",
                     "C/BatchNorm/beta/ExponentialMovingAverage",
                     "C/BatchNorm/moving_mean/ExponentialMovingAverage",
                     "C/BatchNorm/moving_variance/ExponentialMovingAverage"});
  EXPECT_THAT(named.Scopes(), ElementsAre("C/BatchNorm"));
  EXPECT_EQ(named.OwnerOf("C/BatchNorm/moving_mean/ExponentialMovingAverage"),
            "C/BatchNorm/moving_mean");
}

TEST(Shadows, AloneUnderAPrefixAreTheModel) {
  const Named named({"ema.bn.weight", "ema.bn.bias", "ema.bn.running_mean", "ema.bn.running_var"});
  EXPECT_THAT(named.Scopes(), ElementsAre("ema.bn"));
}

TEST(Slots, OfGammaAndBetaAreNoSecondLayer) {
  // As Keras writes optimizer_weights beside the model; and as TensorFlow 1 does.
  const Named named({"Adam/m/bn/beta", "Adam/m/bn/gamma", "Adam/v/bn/beta", "Adam/v/bn/gamma",
                     "bn/beta", "bn/gamma", "bn/moving_mean", "bn/moving_variance", "old/bn/beta",
                     "old/bn/gamma", "old/bn/moving_mean", "old/bn/moving_variance",
                     "old/bn/beta/Adam", "old/bn/gamma/Adam"});
  EXPECT_THAT(named.Scopes(), ElementsAre("bn", "old/bn"));
}

TEST(Slots, ShowThatAVariableWasTrained) {
  const Named named(
      {"bn/gamma", "bn/gamma/Momentum", "bn/beta", "bn/moving_mean", "bn/moving_variance"});
  EXPECT_EQ(named.Of("bn/gamma").trainable, true);
  EXPECT_EQ(named.Of("bn/gamma").evidence[0],
            (Evidence{EvidenceSource::kSlots, "has the optimizer slot \"bn/gamma/Momentum\""}));
  EXPECT_EQ(named.Of("bn/beta").trainable, std::nullopt);
  EXPECT_EQ(named.Of("bn/moving_mean").trainable, false);
  EXPECT_EQ(named.analysis.batch_norms[0].evidence[0],
            (Evidence{EvidenceSource::kSlots, "\"bn/gamma\" has optimizer slots"}));
}

TEST(Slots, RecordedByTheFileNeedNoName) {
  Manifest manifest =
      ManifestOf({"a", {"b", {}, Dtype::kI64}, "c/gamma", "c/moving_mean", "c/moving_variance"});
  manifest.tensors[0].slot_of = FindTensor(manifest, "c/gamma");
  manifest.tensors[0].slot_name = "m";
  manifest.tensors[1].section = Section::kOptimizer;
  const Named named = Named::OfManifest(manifest);
  EXPECT_EQ(named.RoleOf("a"), "optimizer_slot");
  EXPECT_EQ(named.OwnerOf("a"), "c/gamma");
  EXPECT_EQ(named.Of("a").evidence[0].source, EvidenceSource::kFrameworkRecord);
  EXPECT_EQ(named.RoleOf("b"), "optimizer_slot");
  EXPECT_EQ(named.Of("c/gamma").trainable, true);
}

TEST(Slots, RecordedAsOptimizerStateAreNeverALayer) {
  Manifest manifest = ManifestOf({"x/bn/gamma", "x/bn/beta", "x/bn/moving_mean"});
  for (TensorInfo& info : manifest.tensors) info.section = Section::kOptimizer;
  EXPECT_THAT(Named::OfManifest(manifest).Layers(), IsEmpty());
}

TEST(RecordedFlag, WinsOverSlots) {
  Manifest manifest = ManifestOf({"bn/gamma", "bn/gamma/Adam", "bn/moving_mean"});
  manifest.tensors[0].trainable = false;
  const Named named = Named::OfManifest(manifest);
  EXPECT_EQ(named.Of("bn/gamma").trainable, false);
  EXPECT_EQ(named.Of("bn/gamma").evidence[0].source, EvidenceSource::kFrameworkRecord);
}

TEST(Step, IsTheProgramsOwnWhereThereAreSeveral) {
  const Named named({{"global_step", {}, Dtype::kI64}, {"optimizer/iter", {}, Dtype::kI64}});
  EXPECT_EQ(named.NameOf(named.analysis.step), "global_step");
}

TEST(Step, IsUnknownWhereTwoAreAlike) {
  const Named named({{"d/iter", {}, Dtype::kI64}, {"g/iter", {}, Dtype::kI64}});
  EXPECT_EQ(named.analysis.step, std::nullopt);
}

TEST(Step, MayBeTheOnlyUnnamedIntegerBesideSlots) {
  const Named named({{"Variable", {}, Dtype::kI32}, "c/w", "c/w/Momentum"});
  EXPECT_EQ(named.NameOf(named.analysis.step), "Variable");
}

TEST(Step, IsNotGuessedAmongSeveralIntegersOrWithoutSlots) {
  const Named two({{"Variable", {}, Dtype::kI32}, {"Variable_1", {}, Dtype::kI32}, "w/Momentum"});
  EXPECT_EQ(two.analysis.step, std::nullopt);
  const Named no_slots({{"Variable", {}, Dtype::kI32}, "c/w"});
  EXPECT_EQ(no_slots.RoleOf("Variable"), "other");
  const Named not_scalar({{"Variable", {3}, Dtype::kI32}, "c/w", "c/w/Momentum"});
  EXPECT_EQ(not_scalar.analysis.step, std::nullopt);
}

TEST(Extras, JoinTheirBatchNorm) {
  const Named named({"b/bn/gamma",
                     "b/bn/beta",
                     "b/bn/moving_mean",
                     "b/bn/moving_variance",
                     "b/bn/moving_stddev",
                     "b/bn/renorm_mean",
                     {"b/bn/renorm_mean_weight", {}},
                     "b/bn/renorm_stddev",
                     {"b/bn/renorm_stddev_weight", {}},
                     "b/bn/moving_mean/biased",
                     {"b/bn/moving_mean/local_step", {}},
                     "b/bn/b/bn/moving_variance/biased"});
  ASSERT_THAT(named.Scopes(), ElementsAre("b/bn"));
  std::vector<std::string> extras;
  for (const TensorId id : named.analysis.batch_norms[0].extras) {
    extras.push_back(named.manifest.tensors[id.index].name);
    EXPECT_EQ(named.RoleOf(extras.back()), "bn_extra");
  }
  EXPECT_THAT(extras,
              ::testing::UnorderedElementsAre(
                  "b/bn/moving_stddev", "b/bn/renorm_mean", "b/bn/renorm_mean_weight",
                  "b/bn/renorm_stddev", "b/bn/renorm_stddev_weight", "b/bn/moving_mean/biased",
                  "b/bn/moving_mean/local_step", "b/bn/b/bn/moving_variance/biased"));
}

}  // namespace
}  // namespace ckpt::testing::training_state_test
