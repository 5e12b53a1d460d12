// CK001 to CK007, and that damage never stops the rest.
#include <limits>

#include "audit/non_finite.h"
#include "tests/audit/audited.h"

namespace ckpt::testing::reading_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(Reading, OneDamagedTensorDoesNotHideTheOtherLayers) {
  Network network;
  network.BatchNormalization("bn1").BatchNormalization("bn2", NeverUpdated());
  network.Break("bn1/moving_mean", {ErrorCode::kCorrupt, "checksum mismatch", "model.data", 128});
  const AuditResult result = Audited(network);
  EXPECT_THAT(Judged(result), ElementsAre("error CK002 model.data", "warning BN011 bn2"));
  ASSERT_TRUE(result.error.has_value());
  EXPECT_EQ(result.error->code, ErrorCode::kCorrupt);
  EXPECT_EQ(result.error->tensor, "bn1/moving_mean");
  EXPECT_EQ(result.error->offset, 128U);
  EXPECT_THAT(FindingOf(result, "CK002")->tensors, ElementsAre("bn1/moving_mean"));
}

Network WithChecksums(std::size_t broken) {
  Network network;
  network.BatchNormalization("bn1").BatchNormalization("bn2");
  for (TensorInfo& info : network.mutable_manifest().tensors) {
    info.checksum = StoredChecksum{ChecksumKind::kCrc32c, 1};
    if (broken == 0) continue;
    --broken;
    network.Break(info.name, {ErrorCode::kCorrupt, "checksum mismatch", "model.data"});
  }
  return network;
}

TEST(Reading, WhenMostChecksumsFailIndexAndDataAreOfDifferentSteps) {
  Network network = WithChecksums(5);
  const AuditResult result = Audited(network);
  EXPECT_THAT(FindingOf(result, "CK002")->message,
              HasSubstr("5 of 8 checksums fail: index and data are likely of different"));
}

TEST(Reading, WhenFewChecksumsFailTheyAreNot) {
  Network network = WithChecksums(3);
  const AuditResult result = Audited(network);
  EXPECT_THAT(FindingOf(result, "CK002")->message, Not(HasSubstr("different")));
}

TEST(Reading, AnAbsentShardIsAWarningAndNoError) {
  Network network;
  network.BatchNormalization("bn1").BatchNormalization("bn2", {.mean = {}, .variance = {}});
  network.Seal();
  Problem problem{{ErrorCode::kNotFound, "no such file", "model.data-00000-of-00001"}, {}};
  for (std::uint32_t i = 0; i < network.manifest().tensors.size(); ++i) {
    network.mutable_manifest().tensors[i].data_present = false;
    problem.tensors.push_back(TensorId{i});
  }
  network.mutable_manifest().problems.push_back(problem);
  const AuditResult result = Audited(network, {.all_data = true});
  EXPECT_THAT(Judged(result),
              ElementsAre("error BN001 bn2", "warning CK001 model.data-00000-of-00001"));
  EXPECT_FALSE(result.error.has_value());
}

TEST(Reading, AShortShardIsDamage) {
  Network network;
  network.BatchNormalization("bn1");
  network.Seal();
  const TensorId id = *FindTensor(network.manifest(), "bn1/moving_variance");
  network.mutable_manifest().tensors[id.index].data_present = false;
  network.mutable_manifest().problems.push_back(
      {{ErrorCode::kCorrupt, "ends early", "model.data-00000-of-00001"}, {id}});
  const AuditResult result = Audited(network);
  EXPECT_THAT(Judged(result), ElementsAre("error CK002 model.data-00000-of-00001"));
  EXPECT_EQ(result.error->message, "ends early");
}

TEST(Reading, KernelsAreReadOnlyWithAllData) {
  for (const bool all_data : {false, true}) {
    Network network;
    network.BatchNormalization("bn").Matrix("conv/kernel", {1, kNan, 3, kInfinity});
    const AuditResult result = Audited(network, {.all_data = all_data});
    EXPECT_EQ(result.read_all, all_data);
    EXPECT_EQ(CountOf(result, "CK003"), all_data ? 1U : 0U);
    if (!all_data) continue;
    EXPECT_EQ(FindingOf(result, "CK003")->severity, Severity::kError);
    EXPECT_THAT(FindingOf(result, "CK003")->message, HasSubstr("1 NaN, 1 infinite of 4 elements"));
  }
}

TEST(Reading, ABatchNormsNanIsReportedOnce) {
  Network network;
  network.BatchNormalization("bn", {.mean = {kNan, 0, 0, 0}});
  const AuditResult result = Audited(network, {.all_data = true});
  EXPECT_EQ(CountOf(result, "BN020"), 1U);
  EXPECT_EQ(CountOf(result, "CK003"), 0U);
}

TEST(Reading, AnAttentionMaskIsInformation) {
  Network network;
  network.Matrix("text_model.attn_mask", {0, -kInfinity, 0, 0});
  const AuditResult result = Audited(network, {.all_data = true});
  EXPECT_TRUE(Silent(result));
  EXPECT_EQ(CountOf(result, "CK004"), 1U);
}

TEST(Reading, NanInAnOptimizerSlotIsAWarning) {
  Network network;
  network.Matrix("conv/kernel", {1, 2, 3, 4}).Matrix("conv/kernel/Momentum", {kNan, 0, 0, 1});
  EXPECT_THAT(Judged(Audited(network, {.all_data = true})),
              ElementsAre("warning CK004 conv/kernel/Momentum"));
}

TEST(Reading, ATypeThatCannotBeComputedWithIsSaid) {
  Network network;
  network.BatchNormalization("bn");
  network.Seal();
  const TensorId id = *FindTensor(network.manifest(), "bn/moving_mean");
  network.mutable_manifest().tensors[id.index].dtype = Dtype::kVoid;
  const AuditResult result = Audited(network);
  EXPECT_TRUE(Silent(result));
  EXPECT_EQ(CountOf(result, "CK007"), 1U);
}

TEST(Reading, OnlyTheRulesThatWereAskedFor) {
  Network network;
  network.BatchNormalization("bn1", NeverUpdated())
      .BatchNormalization("bn2", {.mean = {}, .variance = {}});
  Network again = network;
  EXPECT_THAT(Judged(Audited(network, {.only_rules = {"BN001"}})), ElementsAre("error BN001 bn2"));
  EXPECT_THAT(Judged(Audited(again, {.without_rules = {"statistics-missing"}})),
              ElementsAre("warning BN011 bn1"));
}

// Every bit pattern of the 8- and 16-bit types, against the decoder.
TEST(NonFinite, AgreesWithTheDecoderOnEveryPattern) {
  for (const Dtype dtype : {Dtype::kF16, Dtype::kBF16, Dtype::kF8E4M3FN, Dtype::kF8E5M2,
                            Dtype::kF8E4M3FNUZ, Dtype::kF8E5M2FNUZ, Dtype::kF8E8M0}) {
    const std::size_t size = BitSize(dtype) / 8;
    const std::size_t patterns = std::size_t{1} << BitSize(dtype);
    std::uint64_t expected = 0, counted = 0;
    for (std::size_t i = 0; i < patterns; ++i) {
      const std::vector<std::byte> bytes = {static_cast<std::byte>(i & 0xFF),
                                            static_cast<std::byte>(i >> 8)};
      double value = 0;
      DecodeToDouble(dtype, std::span(bytes).first(size), {&value, 1});
      expected += std::isfinite(value) ? 0 : 1;
      counted += audit::CountNonFinite(dtype, std::span(bytes).first(size));
    }
    EXPECT_EQ(counted, expected) << Name(dtype);
  }
}

TEST(NonFinite, CountsInWideAndComplexTypes) {
  const std::vector<double> values = {1, kNan, -kInfinity, 1e30, 0, kInfinity};
  for (const Dtype dtype : {Dtype::kF32, Dtype::kF64}) {
    std::vector<std::byte> bytes(values.size() * BitSize(dtype) / 8);
    EncodeFromDouble(dtype, values, bytes);
    EXPECT_EQ(audit::CountNonFinite(dtype, bytes), 3U);
    EXPECT_EQ(audit::CountNonFinite(dtype == Dtype::kF32 ? Dtype::kC64 : Dtype::kC128, bytes), 3U);
  }
}

TEST(Reading, CodeThatRunsOnLoadIsAnErrorThatNamesIt) {
  Network network;
  network.BatchNorm2d("bn");
  network.mutable_manifest().runs_on_load = {"posix.system", "builtins.eval"};
  const AuditResult result = Audited(network);
  const Finding* const finding = FindingOf(result, "CK008");
  ASSERT_NE(finding, nullptr) << Described(result);
  EXPECT_EQ(finding->severity, Severity::kError);
  EXPECT_THAT(finding->message, HasSubstr("posix.system and builtins.eval"));
  EXPECT_FALSE(result.error);
}

TEST(Reading, ATensorOfAKindThatIsNotReadIsAWarningAndNotDamage) {
  Network network;
  network.BatchNorm2d("bn");
  network.Vector("sparse", {1, 2});
  network.Seal();
  Manifest& manifest = network.mutable_manifest();
  const TensorId id = *FindTensor(manifest, "sparse");
  manifest.tensors[id.index].data_present = false;
  manifest.problems.push_back({Error{ErrorCode::kUnsupported, "is a sparse tensor"}, {id}});
  const AuditResult result = Audit(network, Analyse(manifest));
  const Finding* const finding = FindingOf(result, "CK007");
  ASSERT_NE(finding, nullptr) << Described(result);
  EXPECT_EQ(finding->severity, Severity::kWarning);
  EXPECT_THAT(finding->message, HasSubstr("sparse: is a sparse tensor"));
  EXPECT_EQ(FindingOf(result, "CK002"), nullptr);
  EXPECT_FALSE(result.error);
}

TEST(Reading, WhereNoTensorCanBeReadTheFileIsRefused) {
  Network network;
  network.Vector("w", {1, 2});
  network.Seal();
  Manifest& manifest = network.mutable_manifest();
  manifest.tensors[0].data_present = false;
  manifest.problems.push_back(
      {Error{ErrorCode::kUnsupported, "is made by nobody knows what"}, {TensorId{0}}});
  EXPECT_TRUE(Audit(network, Analyse(manifest)).error.has_value());
}

}  // namespace
}  // namespace ckpt::testing::reading_test
