// Whole files of real frameworks: the findings above information, and what is said besides.
#include <filesystem>

#include "ckpt/formats/format.h"
#include "tests/audit/audited.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::testing::real_files_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct AuditedFile {
  std::unique_ptr<Checkpoint> checkpoint;
  Analysis analysis;
  AuditResult result;
};

// `older` may be empty.
AuditedFile AuditFile(const std::string& path, const std::string& older = "",
                      bool all_data = true) {
  AuditedFile file;
  Result<std::unique_ptr<Checkpoint>> opened = formats::OpenCheckpoint(path);
  if (!opened) {
    ADD_FAILURE() << ToString(opened.error());
    return file;
  }
  file.checkpoint = *std::move(opened);
  file.analysis = Analyse(file.checkpoint->manifest());
  AuditOptions options;
  options.all_data = all_data;
  std::unique_ptr<Checkpoint> compared;
  if (!older.empty()) {
    opened = formats::OpenCheckpoint(older);
    if (!opened) {
      ADD_FAILURE() << ToString(opened.error());
      return file;
    }
    compared = *std::move(opened);
    options.older = compared.get();
  }
  file.result = Audit(*file.checkpoint, file.analysis, options);
  return file;
}

struct Case {
  std::string path;
  std::vector<std::string> judged;  // rule and severity: "error BN001"
};

// The findings without their subjects.
std::vector<std::string> RulesOf(const AuditResult& result) {
  std::vector<std::string> rules;
  for (const std::string& judged : Judged(result)) {
    rules.push_back(judged.substr(0, judged.find(' ', judged.find(' ') + 1)));
  }
  return rules;
}

std::string TestName(const ::testing::TestParamInfo<Case>& info) {
  std::string name = info.param.path;
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
}

class TestdataAudit : public ::testing::TestWithParam<Case> {};

TEST_P(TestdataAudit, FindsWhatIsWrongAndNothingElse) {
  const AuditedFile file =
      AuditFile(std::string(ckpt::testing::TestData() + "/") + GetParam().path);
  EXPECT_EQ(RulesOf(file.result), GetParam().judged) << Described(file.result);
  EXPECT_FALSE(file.result.error.has_value());
}

INSTANTIATE_TEST_SUITE_P(
    TensorFlow, TestdataAudit,
    ::testing::Values(
        Case{"tf1/resnet/correct/model.ckpt-200", {}},
        Case{"tf1/resnet/updates_not_run/model.ckpt-200", {"error BN010", "error GR001"}},
        Case{"tf1/resnet/trainable_only/model.ckpt-200", {"error BN001"}},
        Case{"tf1/resnet/updates_partly_run/model.ckpt-200",
             {"error BN010", "error GR001", "warning BN012"}},
        Case{"tf1/resnet/updates_fetched_beside/model.ckpt-200", {}},
        Case{"tf1/resnet/zero_debias_correct/model.ckpt-200", {}},
        Case{"tf1/resnet/zero_debias_updates_not_run/model.ckpt-200", {"error BN010"}},
        Case{"tf1/mnist/correct/model.ckpt-700", {}},
        Case{"tf1/mnist/updates_not_run/model.ckpt-700", {"error BN010", "error GR001"}},
        Case{"tf1/mnist/trainable_only/model.ckpt-700", {"error BN001"}},
        Case{"tf/slim/ema/model.ckpt-300", {}}, Case{"tf/slim/in_place_updates/model.ckpt-300", {}},
        Case{"tf/slim/zero_debias/model.ckpt-300", {}},
        Case{"tf/cases/warm_start/base/model.ckpt-150", {}},
        Case{"tf/cases/two_towers/model.ckpt-150", {"warning BN032"}},
        Case{"tf/cases/renorm/model.ckpt-150", {}},
        Case{"tf/cases/virtual_batch/model.ckpt-150", {}},
        Case{"tf/cases/zero_debias/model.ckpt-40", {}},
        Case{"tf/cases/frozen_drift/after/model.ckpt-250", {}},
        Case{"tf/rewritten/big_endian/model.ckpt", {}},
        Case{"tf/rewritten/snappy_index/model.ckpt", {}}, Case{"tf2/classic_optimizer/ckpt-2", {}},
        Case{"tf2/new_optimizer/ckpt-2", {}}, Case{"tf2/save_weights/weights", {}}),
    TestName);

// The same values in three formats; only the .h5 holds the slots that prove training.
INSTANTIATE_TEST_SUITE_P(
    BadValues, TestdataAudit,
    ::testing::Values(
        Case{"bad_values/good.h5", {}}, Case{"bad_values/good.safetensors", {}},
        Case{"bad_values/good.npz", {}}, Case{"bad_values/nan_variance.h5", {"error BN020"}},
        Case{"bad_values/nan_variance.npz", {"error BN020"}},
        Case{"bad_values/inf_mean.h5", {"error BN020"}},
        Case{"bad_values/inf_mean.safetensors", {"error BN020"}},
        Case{"bad_values/negative_variance_tiny.h5", {"warning BN021"}},
        Case{"bad_values/negative_variance.h5", {"error BN022"}},
        Case{"bad_values/negative_variance.safetensors", {"error BN021"}},
        Case{"bad_values/zero_variance.h5", {}}, Case{"bad_values/denormal_variance.h5", {}},
        Case{"bad_values/never_updated.h5", {"error BN010"}},
        Case{"bad_values/never_updated.npz", {"warning BN011"}},
        Case{"bad_values/never_updated_some_layers.h5", {"error BN010", "warning BN012"}},
        Case{"bad_values/never_updated_some_layers.npz", {"warning BN012"}},
        Case{"bad_values/looks_never_updated.h5", {"warning BN011"}},
        Case{"bad_values/absorbed.h5", {}}, Case{"bad_values/absorbed.safetensors", {}},
        Case{"bad_values/huge_variance.h5", {}},
        Case{"bad_values/float16_overflow.npz", {"error BN020"}},
        Case{"bad_values/float16_overflow.safetensors", {"error BN020"}}),
    TestName);

// One run has one verdict in all its containers; weights alone do not record momentum.
INSTANTIATE_TEST_SUITE_P(
    KerasTraining, TestdataAudit,
    ::testing::Values(
        Case{"keras_training/k2_frozen_sequential.h5", {}},
        Case{"keras_training/k2_frozen_sequential.keras", {}},
        Case{"keras_training/k2_frozen_sequential.weights.h5", {}},
        Case{"keras_training/k2_called_in_training_sequential.h5", {"error BN060"}},
        Case{"keras_training/k2_called_in_training_sequential.keras", {"error BN060"}},
        Case{"keras_training/k2_frozen_functional.h5", {}},
        Case{"keras_training/k2_frozen_functional.keras", {}},
        Case{"keras_training/k2_frozen_functional.weights.h5", {}},
        Case{"keras_training/k2_called_in_training_functional.h5", {"error BN060"}},
        Case{"keras_training/k2_called_in_training_functional.keras", {"error BN060"}},
        Case{"keras_training/k2_few_steps.h5", {"warning BN015"}},
        Case{"keras_training/k2_few_steps.keras", {"warning BN015"}},
        Case{"keras_training/k2_few_steps.weights.h5", {}},
        Case{"keras_training/k2_never_updated.h5", {"error BN010"}},
        Case{"keras_training/k2_never_updated.keras", {"error BN010"}},
        Case{"keras_training/k2_never_updated.weights.h5", {"error BN010"}},
        Case{"keras_training/k2_average.h5", {}}, Case{"keras_training/k2_average.keras", {}},
        Case{"keras_training/k2_own_class.h5", {}}, Case{"keras_training/k2_own_class.keras", {}},
        Case{"keras_training/k2_own_layer.h5", {}}, Case{"keras_training/k2_own_layer.keras", {}},
        Case{"keras_training/k2_own_layer.weights.h5", {}},
        Case{"keras_training/k3_frozen_sequential.h5", {}},
        Case{"keras_training/k3_frozen_sequential.keras", {}},
        Case{"keras_training/k3_frozen_sequential.weights.h5", {}},
        Case{"keras_training/k3_called_in_training_sequential.h5", {"warning BN060"}},
        Case{"keras_training/k3_called_in_training_sequential.keras", {"warning BN060"}},
        Case{"keras_training/k3_frozen_functional.h5", {}},
        Case{"keras_training/k3_frozen_functional.keras", {}},
        Case{"keras_training/k3_frozen_functional.weights.h5", {}},
        Case{"keras_training/k3_called_in_training_functional.h5", {"warning BN060"}},
        Case{"keras_training/k3_called_in_training_functional.keras", {"warning BN060"}},
        Case{"keras_training/k3_few_steps.h5", {"warning BN015"}},
        Case{"keras_training/k3_few_steps.keras", {"warning BN015"}},
        Case{"keras_training/k3_few_steps.weights.h5", {}},
        Case{"keras_training/k3_never_updated.h5", {"error BN010"}},
        Case{"keras_training/k3_never_updated.keras", {"error BN010"}},
        Case{"keras_training/k3_never_updated.weights.h5", {"error BN010"}},
        Case{"keras_training/k3_average.h5", {}}, Case{"keras_training/k3_average.keras", {}},
        Case{"keras_training/k3_own_class.h5", {}}, Case{"keras_training/k3_own_class.keras", {}},
        Case{"keras_training/k3_own_layer.h5", {}}, Case{"keras_training/k3_own_layer.keras", {}},
        Case{"keras_training/k3_own_layer.weights.h5", {}},
        Case{"keras_training/k2_called_for_inference.h5", {}},
        Case{"keras_training/k2_called_for_inference.keras", {}}),
    TestName);

INSTANTIATE_TEST_SUITE_P(
    PyTorchNames, TestdataAudit,
    ::testing::Values(
        Case{"safetensors/torch_good.safetensors", {}},
        Case{"safetensors/sharded/model.safetensors.index.json", {}},
        Case{"safetensors/torch_no_counter.safetensors", {}},
        Case{"safetensors/torch_tracked_0_but_trained.safetensors", {}},
        Case{"safetensors/torch_never_updated_tracked_0.safetensors", {"warning BN011"}},
        Case{"safetensors/torch_never_updated_tracked_100.safetensors", {"error BN010"}},
        Case{"safetensors/torch_absorbed.safetensors", {}},
        Case{"safetensors/torch_missing_statistics.safetensors", {"error BN001"}}),
    TestName);

TEST(TestdataAudits, SwappedStatisticsAreToldFromNegativeOnes) {
  for (const char* suffix : {".h5", ".npz", ".safetensors"}) {
    const AuditedFile file =
        AuditFile(std::string(ckpt::testing::TestData() + "/bad_values/swapped") + suffix);
    const Finding* finding = FindingOf(file.result, "BN031");
    ASSERT_NE(finding, nullptr) << Described(file.result);
    EXPECT_THAT(finding->message, HasSubstr("moving variance and moving mean"));
    EXPECT_EQ(finding->subject, "bn1 and bn2");
  }
}

TEST(TestdataAudits, DeadChannelsComeWithTheirGain) {
  // epsilon 1e-5: 1 / sqrt(1e-5)
  const AuditedFile file = AuditFile(ckpt::testing::TestData() + "/bad_values/zero_variance.h5");
  ASSERT_NE(FindingOf(file.result, "BN023"), nullptr) << Described(file.result);
  EXPECT_THAT(FindingOf(file.result, "BN023")->message, HasSubstr("2 of 7 channels, gain 316.2"));
}

TEST(TestdataAudits, AbsorbedStatisticsAreSaidToBe) {
  for (const char* path : {"bad_values/absorbed.h5", "safetensors/torch_absorbed.safetensors"}) {
    const AuditedFile file = AuditFile(std::string(ckpt::testing::TestData() + "/") + path);
    EXPECT_EQ(CountOf(file.result, "BN013"), 1U) << Described(file.result);
  }
}

// Random weights, sound statistics: whatever the layers, nothing above information.
TEST(TestdataAudits, EveryKerasModelIsSilent) {
  std::size_t models = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(ckpt::testing::TestData() + "/keras_h5")) {
    if (entry.path().extension() != ".h5") continue;
    ++models;
    const AuditedFile file = AuditFile(entry.path().string());
    EXPECT_TRUE(Silent(file.result)) << entry.path();
  }
  EXPECT_GT(models, 50U);
}

TEST(TestdataAudits, OrdinaryTrainingBetweenTwoCheckpointsIsSilent) {
  const std::string run = ckpt::testing::TestData() + "/tf1/mnist/correct/model.ckpt-";
  EXPECT_TRUE(Silent(AuditFile(run + "700", run + "300").result));
}

TEST(TestdataAudits, UpdatesThatNeverRanBetweenTwoCheckpoints) {
  const std::string run = ckpt::testing::TestData() + "/tf1/mnist/updates_not_run/model.ckpt-";
  EXPECT_THAT(RulesOf(AuditFile(run + "700", run + "600").result),
              ElementsAre("error BN010", "error GR001", "warning BN050"));
}

// The two founding bugs from the graph alone: the .meta copied away from its checkpoint.
TEST(TestdataAudits, AGraphByItselfProvesBothFoundingBugs) {
  const std::pair<const char*, std::vector<std::string>> cases[] = {
      {"mnist/correct/model.ckpt-700", {}},
      {"mnist/updates_not_run/model.ckpt-700", {"error GR001"}},
      {"mnist/trainable_only/model.ckpt-700", {"error GR003"}},
      {"resnet/correct/model.ckpt-200", {}},
      {"resnet/updates_not_run/model.ckpt-200", {"error GR001"}},
      {"resnet/updates_partly_run/model.ckpt-200", {"error GR001"}},
      {"resnet/trainable_only/model.ckpt-200", {"error GR003"}},
      {"resnet/zero_debias_correct/model.ckpt-200", {}},
  };
  for (const auto& [name, judged] : cases) {
    SCOPED_TRACE(name);
    const TemporaryFolder folder;
    const std::string copy = (folder / "graph.meta").string();
    std::filesystem::copy_file(std::string(ckpt::testing::TestData() + "/tf1/") + name + ".meta",
                               copy);
    const AuditedFile file = AuditFile(copy);
    EXPECT_EQ(RulesOf(file.result), judged) << Described(file.result);
    EXPECT_FALSE(file.result.error);
  }
}

TEST(TestdataAudits, AFrozenLayerThatDrifted) {
  const std::string folder = ckpt::testing::TestData() + "/tf/cases/frozen_drift/";
  const AuditResult result =
      AuditFile(folder + "after/model.ckpt-250", folder + "before/model.ckpt-150").result;
  EXPECT_THAT(RulesOf(result), ElementsAre("warning BN051", "warning BN051"));
}

TEST(TestdataAudits, AWarmStartThatResetTheStatistics) {
  const std::string folder = ckpt::testing::TestData() + "/tf/cases/warm_start/";
  const AuditResult result =
      AuditFile(folder + "fine_tuned/model.ckpt-0", folder + "base/model.ckpt-150").result;
  EXPECT_THAT(RulesOf(result), ElementsAre("error BN010", "warning BN052"));
  EXPECT_THAT(FindingOf(result, "BN052")->message, HasSubstr("warm start"));
}

// A checkpoint made of the index of one step and the data of another, both sound by themselves.
TEST(DamagedFiles, IndexAndDataOfDifferentStepsAreNamedAsTheCause) {
  const TemporaryFolder folder;
  const std::string run = ckpt::testing::TestData() + "/tf1/mnist/correct/model.ckpt-";
  std::filesystem::copy_file(run + "700.index", folder / "model.ckpt-700.index");
  std::filesystem::copy_file(run + "600.data-00000-of-00001",
                             folder / "model.ckpt-700.data-00000-of-00001");
  const AuditResult result = AuditFile((folder / "model.ckpt-700").string(), "", false).result;
  ASSERT_TRUE(result.error.has_value());
  EXPECT_EQ(result.error->code, ErrorCode::kCorrupt);
  EXPECT_THAT(RulesOf(result), ElementsAre("error CK002"));
  const Finding* finding = FindingOf(result, "CK002");
  EXPECT_THAT(finding->message, HasSubstr("index and data are likely of different training steps"));
  EXPECT_GE(finding->tensors.size(), 8U);
}

TEST(DamagedFiles, OneFlippedBitNamesItsTensorAndTheRestIsJudged) {
  const TemporaryFolder folder;
  const std::string source =
      ckpt::testing::TestData() + "/tf1/resnet/updates_partly_run/model.ckpt-200";
  std::filesystem::copy_file(source + ".index", folder / "model.ckpt-200.index");
  std::ifstream file(source + ".data-00000-of-00001", std::ios::binary);
  std::string data{std::istreambuf_iterator<char>(file), {}};
  // The statistics of final_bn are 24 bytes of 1.0; tensors lie in the order of their names.
  const std::string ones = std::string("\x00\x00\x80\x3f", 4) + std::string("\x00\x00\x80\x3f", 4);
  const std::size_t last = data.rfind(ones);
  ASSERT_NE(last, std::string::npos);
  data[last] ^= 1;
  folder.Write("model.ckpt-200.data-00000-of-00001", data);
  const AuditResult result = AuditFile((folder / "model.ckpt-200").string(), "", false).result;
  ASSERT_TRUE(result.error.has_value());
  EXPECT_EQ(result.error->tensor, "unit_last/final_bn/moving_variance");
  EXPECT_THAT(RulesOf(result), ElementsAre("error BN010", "error CK002", "warning BN012"))
      << Described(result);
  EXPECT_EQ(FindingOf(result, "BN010")->subject, "unit_1_0/sub2/bn2");
}

TEST(DamagedFiles, ATruncatedDataFileLeavesTheRestJudged) {
  const TemporaryFolder folder;
  const std::string source =
      ckpt::testing::TestData() + "/tf1/resnet/updates_not_run/model.ckpt-200";
  for (const char* suffix : {".index", ".data-00000-of-00001"}) {
    std::filesystem::copy_file(source + suffix, folder / (std::string("model.ckpt-200") + suffix));
  }
  const auto data = folder / "model.ckpt-200.data-00000-of-00001";
  std::filesystem::resize_file(data, std::filesystem::file_size(data) - 1);
  const AuditResult result = AuditFile((folder / "model.ckpt-200").string(), "", false).result;
  ASSERT_TRUE(result.error.has_value());
  EXPECT_EQ(CountOf(result, "CK002"), 1U) << Described(result);
  EXPECT_EQ(CountOf(result, "BN010"), 1U) << Described(result);
}

class CorpusAudit : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(ckpt::testing::Corpus()))
      GTEST_SKIP() << "no corpus of public files";
  }
  static std::string Path(const std::string& path) { return ckpt::testing::Corpus() + "/" + path; }
};

TEST_F(CorpusAudit, WithoutItsDataShardNamesAreJudged) {
  for (const auto& [path, layers] :
       {std::pair("B2/musicnn/MSD_vgg/.index", 6), std::pair("B2/musicnn/MTT_vgg/.index", 6),
        std::pair("B3/checkpoint/model.ckpt-13800", 84), std::pair("B8/model/model.ckpt", 4)}) {
    const AuditedFile file = AuditFile(Path(path));
    EXPECT_THAT(file.analysis.batch_norms, SizeIs(layers)) << path;
    EXPECT_THAT(RulesOf(file.result), ElementsAre("warning CK001")) << Described(file.result);
    EXPECT_FALSE(file.result.error.has_value());
  }
}

TEST_F(CorpusAudit, SoundNetworksAreSilent) {
  for (const auto& [path, layers] :
       {std::pair("C5/benchmark/training/keyword_spotting/trained_models/kws_ref_model/variables/"
                  "variables",
                  9),
        std::pair("C8/tf/export_models/RFB/variables/variables", 35),
        std::pair("F1/weights/Meso4_DF.h5", 4),
        std::pair("F7/benchmark/training/anomaly_detection/trained_models/ad01.h5", 9),
        std::pair("F10/benchmark/training/streaming_wakeword/trained_models/str_ww_ref_model.h5",
                  4)}) {
    const AuditedFile file = AuditFile(Path(path));
    EXPECT_THAT(file.analysis.batch_norms, SizeIs(layers)) << path;
    EXPECT_TRUE(Silent(file.result)) << path;
    EXPECT_TRUE(file.result.read_all);
  }
}

TEST_F(CorpusAudit, PublishedSavedModelsServe) {
  for (const auto& [path, layers] :
       {std::pair("C1/basic_pitch/saved_models/icassp_2022/nmp", 3),
        std::pair("C5/benchmark/training/keyword_spotting/trained_models/kws_ref_model", 9)}) {
    const AuditedFile file = AuditFile(Path(path));
    EXPECT_THAT(file.analysis.batch_norms, SizeIs(layers)) << path;
    EXPECT_TRUE(Silent(file.result)) << path;
    for (const BatchNorm& norm : file.analysis.batch_norms) {
      ASSERT_TRUE(norm.epsilon) << norm.scope;
      EXPECT_EQ(norm.epsilon->value, double{0.001F}) << norm.scope;
      EXPECT_EQ(norm.epsilon->evidence.source, EvidenceSource::kGraph) << norm.scope;
      EXPECT_EQ(file.analysis.roles[norm.gamma->index].trainable, true) << norm.scope;
      EXPECT_EQ(file.analysis.roles[norm.moving_mean->index].trainable, false) << norm.scope;
    }
  }
}

TEST_F(CorpusAudit, PublishedWeightsThatLookNeverUpdated) {
  for (const char* path :
       {"F18/compact_cnn/weights_tensorflow.hdf5", "F18/compact_cnn/weights_theano.hdf5"}) {
    const AuditedFile file = AuditFile(Path(path));
    EXPECT_THAT(file.analysis.batch_norms, SizeIs(5));
    EXPECT_THAT(RulesOf(file.result), ElementsAre("warning BN011")) << Described(file.result);
  }
}

TEST_F(CorpusAudit, OptimizerStateIsInformation) {
  const AuditedFile file = AuditFile(
      Path("F10/benchmark/training/streaming_wakeword/trained_models/str_ww_ref_model.h5"));
  EXPECT_EQ(CountOf(file.result, "CK005"), 1U) << Described(file.result);
}

TEST_F(CorpusAudit, WithoutBatchNormThereIsNothingToSay) {
  const AuditedFile file =
      AuditFile(Path("J3/onnxruntime/test/testdata/transformers/tiny_t5/model.safetensors"));
  EXPECT_THAT(file.result.findings, IsEmpty()) << Described(file.result);
}

}  // namespace
}  // namespace ckpt::testing::real_files_test
