// Models that the onnx package wrote, cut and damaged everywhere: an error in words or a model,
// read to the end and judged; never anything else.
#include <gtest/gtest.h>

#include <random>

#include "ckpt/audit.h"
#include "ckpt/fold.h"
#include "tests/onnx/model_builder.h"

namespace ckpt::testing::sweep_test {
namespace {

class OnnxSweep : public ::testing::TestWithParam<const char*> {
 protected:
  // Was it opened? Everything that the program does with a model is done.
  static bool Exercise(const std::string& bytes) {
    const auto opened = OpenBytes(bytes);
    if (!opened) {
      EXPECT_FALSE(opened.error().message.empty());
      return false;
    }
    const Checkpoint& checkpoint = **opened;
    for (std::uint32_t i = 0; i < checkpoint.manifest().tensors.size(); ++i) {
      (void)ReadBytes(checkpoint, TensorId{i}, 1 << 20);
    }
    const Analysis analysis = Analyse(checkpoint.manifest());
    (void)Audit(checkpoint, analysis, {.all_data = true});
    FoldOptions options;
    options.fold = options.leftover_affine = true;
    const auto plan = PlanFold(checkpoint, analysis, options);
    if (plan) (void)formats::RewriteOnnx(checkpoint.manifest(), plan->edits);
    return true;
  }

  std::string bytes_ = FileBytes(FixturePath(GetParam()));
};

TEST_P(OnnxSweep, EveryCutIsHandled) {
  ASSERT_TRUE(Exercise(bytes_));
  for (std::size_t size = 0; size < bytes_.size(); ++size) {
    // A cut between fields leaves a valid protocol buffer.
    (void)Exercise(bytes_.substr(0, size));
  }
}

TEST_P(OnnxSweep, EveryByteIsDamaged) {
  for (std::size_t i = 0; i < bytes_.size(); ++i) {
    for (const int flip : {0x01, 0x88}) {
      std::string damaged = bytes_;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      (void)Exercise(damaged);
    }
  }
}

TEST_P(OnnxSweep, RandomMutants) {
  std::mt19937 random(7);
  for (int round = 0; round < 400; ++round) {
    std::string mutant = bytes_;
    for (int edits = 1 + static_cast<int>(random() % 4); edits > 0; --edits) {
      const std::size_t at = random() % mutant.size();
      const std::size_t length = std::min<std::size_t>(1 + random() % 24, mutant.size() - at);
      switch (random() % 3) {
        case 0:
          mutant[at] = static_cast<char>(random());
          break;
        case 1:
          mutant.erase(at, std::min(length, mutant.size() - 1));
          break;
        default:
          mutant.insert(at, mutant.substr(random() % (mutant.size() - length + 1), length));
      }
    }
    (void)Exercise(mutant);
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, OnnxSweep,
                         ::testing::Values("matmul_add_bn", "captured_weight", "bn_flatten_gemm",
                                           "identity_parameters"),
                         [](const auto& fixture) { return std::string(fixture.param); });

}  // namespace
}  // namespace ckpt::testing::sweep_test
