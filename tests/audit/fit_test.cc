// BN033: statistics that do not fit the network around them.
#include <filesystem>
#include <map>
#include <random>
#include <set>

#include "ckpt/formats/format.h"
#include "ckpt/network/network.h"
#include "tests/audit/audited.h"
#include "tests/support/paths.h"

namespace ckpt::testing::fit_test {
namespace {

using ::testing::HasSubstr;
using Values = std::vector<double>;

// A checkpoint with other values in some tensors.
class Changed : public Checkpoint {
 public:
  explicit Changed(const Checkpoint& original)
      : original_(original), manifest_(original.manifest()) {}
  void Set(TensorId id, const Values& values) {
    TensorInfo& info = manifest_.tensors[id.index];
    info.checksum.reset();
    std::vector<std::byte>& bytes = bytes_[id];
    bytes.resize(values.size() * BitSize(info.dtype) / 8);
    EncodeFromDouble(info.dtype, values, bytes);
  }
  std::string_view format() const noexcept override { return original_.format(); }
  const Manifest& manifest() const noexcept override { return manifest_; }
  Result<network::Network> MakeNetwork() const override { return original_.MakeNetwork(); }
  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override {
    const auto found = bytes_.find(id);
    if (found == bytes_.end()) return original_.Open(id);
    return std::unique_ptr<TensorStream>(std::make_unique<Held>(found->second));
  }

 private:
  class Held : public TensorStream {
   public:
    explicit Held(std::span<const std::byte> bytes) : bytes_(bytes) {}
    Result<std::span<const std::byte>> Next() override {
      return std::exchange(bytes_, std::span<const std::byte>());
    }

   private:
    std::span<const std::byte> bytes_;
  };

  const Checkpoint& original_;
  Manifest manifest_;
  std::map<TensorId, std::vector<std::byte>> bytes_;
};

struct Opened {
  std::unique_ptr<Checkpoint> checkpoint;
  Analysis analysis;

  explicit Opened(const std::string& path) : checkpoint(*formats::OpenCheckpoint(path)) {
    analysis = Analyse(checkpoint->manifest());
  }
  Values Of(TensorId id) const { return *ReadDoubles(*checkpoint, id, 1U << 20); }
  const BatchNorm& Norm(std::size_t i) const { return analysis.batch_norms[i]; }
};

AuditResult Misfits(const Checkpoint& checkpoint, const Analysis& analysis) {
  AuditOptions options;
  options.all_data = true;
  options.only_rules = {"BN033"};
  return Audit(checkpoint, analysis, options);
}
bool IsFound(const Opened& file, const Checkpoint& changed, std::size_t layer) {
  const AuditResult result = Misfits(changed, file.analysis);
  return std::any_of(result.findings.begin(), result.findings.end(),
                     [&](const Finding& finding) { return finding.IsAbout(layer); });
}

// The same order for mean and variance, as a converter's mistake makes it.
void Shuffle(const Opened& file, std::size_t layer, unsigned seed, Changed& changed) {
  const BatchNorm& norm = file.Norm(layer);
  Values mean = file.Of(*norm.moving_mean), variance = file.Of(*norm.moving_variance);
  std::mt19937 random(seed);
  for (std::size_t i = mean.size(); i > 1; --i) {
    const std::size_t other = random() % i;
    std::swap(mean[i - 1], mean[other]);
    std::swap(variance[i - 1], variance[other]);
  }
  changed.Set(*norm.moving_mean, mean);
  changed.Set(*norm.moving_variance, variance);
}

void Exchange(const Opened& file, std::size_t a, std::size_t b, Changed& changed) {
  for (const auto part : {&BatchNorm::moving_mean, &BatchNorm::moving_variance}) {
    changed.Set(*(file.Norm(a).*part), file.Of(*(file.Norm(b).*part)));
    changed.Set(*(file.Norm(b).*part), file.Of(*(file.Norm(a).*part)));
  }
}

// Places of a small network that the rule looks at: 16 channels or more behind another batch norm.
constexpr std::size_t kJudged[] = {1, 2, 3, 4, 5, 6};

TEST(StatisticsMisfit, ATrainedNetworkFits) {
  for (const char* name : {"good.h5", "stale.h5"}) {
    const Opened file(std::string(ckpt::testing::TestData() + "/drift/") + name);
    EXPECT_TRUE(Silent(Misfits(*file.checkpoint, file.analysis)));
  }
}

TEST(StatisticsMisfit, ChannelsInAnotherOrderAreFoundInEachLayer) {
  const Opened file(ckpt::testing::TestData() + "/drift/good.h5");
  for (const std::size_t layer : kJudged) {
    Changed changed(*file.checkpoint);
    Shuffle(file, layer, 1, changed);
    const AuditResult result = Misfits(changed, file.analysis);
    EXPECT_EQ(Judged(result), std::vector{"warning BN033 " + file.Norm(layer).scope});
  }
}

TEST(StatisticsMisfit, StatisticsOfTwoLayersThatChangedPlacesAreFoundAndSayWhoseTheyAre) {
  const Opened file(ckpt::testing::TestData() + "/drift/good.h5");
  Changed changed(*file.checkpoint);
  Exchange(file, 3, 5, changed);
  const AuditResult result = Misfits(changed, file.analysis);
  ASSERT_EQ(Judged(result), (std::vector<std::string>{"warning BN033 b4", "warning BN033 b6"}));
  EXPECT_THAT(result.findings[0].message, HasSubstr("those of \"b6\" fit"));
  EXPECT_THAT(result.findings[1].message, HasSubstr("those of \"b4\" fit"));
}

TEST(StatisticsMisfit, KernelsAreReadUnderChecksumsOnly) {
  const Opened file(ckpt::testing::TestData() + "/drift/good.h5");
  Changed changed(*file.checkpoint);
  Shuffle(file, 3, 1, changed);
  EXPECT_TRUE(Silent(Audit(changed, file.analysis, {})));
}

// Real networks, really trained: by the kernels of each, its own statistics fit, and no others do.
struct Case {
  const char* name;
  const char* path;
  // Layers that are found with their channels in another order; the others are the first ones,
  // those of fewer than 16 channels, and dead ones.
  std::size_t judged;
};
void PrintTo(const Case& network, std::ostream* out) { *out << network.name; }
class PublicNetwork : public ::testing::TestWithParam<Case> {};

TEST_P(PublicNetwork, FitsAndIsFoundWhenShuffledOrExchanged) {
  const std::string path = std::string(ckpt::testing::Corpus() + "/") + GetParam().path;
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no corpus";
  const Opened file(path);
  EXPECT_TRUE(Silent(Misfits(*file.checkpoint, file.analysis)));
  std::set<std::size_t> judged;
  const auto& norms = file.analysis.batch_norms;
  for (std::size_t layer = 0; layer < norms.size(); ++layer) {
    Changed changed(*file.checkpoint);
    Shuffle(file, layer, 0, changed);
    if (IsFound(file, changed, layer)) judged.insert(layer);
  }
  EXPECT_EQ(judged.size(), GetParam().judged);
  for (std::size_t layer = 1; layer + 1 < norms.size(); layer += 2) {
    const bool both = judged.contains(layer) && judged.contains(layer + 1);
    if (!both || norms[layer].channels != norms[layer + 1].channels) continue;
    Changed changed(*file.checkpoint);
    Exchange(file, layer, layer + 1, changed);
    for (const std::size_t one : {layer, layer + 1}) {
      EXPECT_TRUE(IsFound(file, changed, one)) << norms[one].scope;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Corpus, PublicNetwork,
    ::testing::Values(
        Case{"Rfb320", "H1/models/onnx/version-RFB-320.onnx", 29},
        Case{"KeywordsInAFrozenGraph", "E1/Pretrained_models/DS_CNN/DS_CNN_S.pb", 8},
        Case{"KeywordsInASavedModel",
             "C5/benchmark/training/keyword_spotting/trained_models/kws_ref_model", 8},
        Case{"AnomalyDetection", "F7/benchmark/training/anomaly_detection/trained_models/ad01.h5",
             7},
        Case{"WakeWord",
             "F10/benchmark/training/streaming_wakeword/trained_models/str_ww_ref_model.h5", 3}),
    [](const ::testing::TestParamInfo<Case>& network) { return network.param.name; });

}  // namespace
}  // namespace ckpt::testing::fit_test
