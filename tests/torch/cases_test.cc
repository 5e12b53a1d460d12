// Files of trainers that were handled wrongly, where they are at hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "tests/support/paths.h"
#include "tests/torch/torch_files.h"

namespace ckpt::formats::cases_test {
namespace {

using ::testing::HasSubstr;

std::string Case(const std::string& name) {
  return ckpt::testing::Corpus() + "/../cases/torch/" + name;
}

Result<std::unique_ptr<Checkpoint>> OpenCase(const std::string& name) {
  return OpenTorch(SystemFiles(), Case(name), {});
}

std::set<std::string> NamesIn(const Checkpoint& checkpoint) {
  std::set<std::string> names;
  for (const TensorInfo& info : checkpoint.manifest().tensors) names.insert(info.name);
  return names;
}

class TrainersFile : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(Case("ema_variants/raw.pt"))) GTEST_SKIP() << "no cases here";
  }
};

TEST_F(TrainersFile, HasTheNamesOfTheModelWhateverIsWrappedAroundIt) {
  const auto raw = OpenCase("ema_variants/raw.pt");
  ASSERT_TRUE(raw) << ToString(raw.error());
  for (const char* name : {"ema_variants/orig_mod_module.pt", "ema_variants/module_orig_mod.pt"}) {
    const auto wrapped = OpenCase(name);
    ASSERT_TRUE(wrapped) << ToString(wrapped.error());
    EXPECT_EQ(NamesIn(**wrapped), NamesIn(**raw)) << name;
  }
  const auto online = OpenCase("ema_variants/lucidrains.pt");
  ASSERT_TRUE(online) << ToString(online.error());
  EXPECT_TRUE(NamesIn(**online).contains("bn1.running_var"));
  const auto student = OpenCase("ema_variants/dino.pth");
  ASSERT_TRUE(student) << ToString(student.error());
  EXPECT_TRUE(NamesIn(**student).contains("backbone.bn1.running_var"));
}

TEST_F(TrainersFile, GivesListedAveragesTheNamesOfTheParameters) {
  const auto listed = OpenCase("ema_variants/torch_ema.pt");
  ASSERT_TRUE(listed) << ToString(listed.error());
  const auto id = FindTensor((*listed)->manifest(), "ema_state_dict.shadow_params.fc.weight");
  ASSERT_TRUE(id);
  EXPECT_EQ((*listed)->manifest().tensors[id->index].stored_as, "ema_state_dict.shadow_params.3");
}

TEST_F(TrainersFile, OfOneRankIsRefusedWithTheWayToWholeWeights) {
  const auto rank = OpenCase("ema_variants/zero_pp_rank_0_mp_rank_00_model_states.pt");
  ASSERT_FALSE(rank);
  EXPECT_EQ(rank.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(rank.error().message, HasSubstr("zero_to_fp32.py"));
  const auto flat = OpenCase("ema_variants/fsdp1_flat.pt");
  ASSERT_FALSE(flat);
  EXPECT_THAT(flat.error().message, HasSubstr("FULL_STATE_DICT"));
  EXPECT_TRUE(OpenCase("ema_variants/mp_rank_00_model_states.pt"));
}

TEST_F(TrainersFile, OfTorchExportIsNamed) {
  const auto program = OpenCase("pt2/net.pt2");
  ASSERT_FALSE(program);
  EXPECT_EQ(program.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(program.error().message, HasSubstr("torch.export.load"));
}

}  // namespace
}  // namespace ckpt::formats::cases_test
