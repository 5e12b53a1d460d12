#include "ckpt/drift.h"

#include <gmock/gmock.h>

#include "calibration/grouped_moments.h"
#include "ckpt/formats/format.h"
#include "tests/support/expected_tensors.h"
#include "tests/support/paths.h"
#include "tests/verification/test_networks.h"

namespace ckpt::drift_test {
namespace {

using ckpt::testing::Made;
using ckpt::testing::NetMaker;
using ckpt::testing::Numbers;
using ckpt::testing::TestNet;
using execution::Array;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class HeldExamples : public ExampleSource {
 public:
  explicit HeldExamples(Array all) : all_(std::move(all)) {}
  std::uint64_t count() const noexcept override {
    return static_cast<std::uint64_t>(all_.shape[0]);
  }
  Result<std::vector<Array>> Read(std::uint64_t begin, std::uint64_t count) const override {
    Array part{all_.shape, {}, all_.kind};
    part.shape[0] = static_cast<std::int64_t>(count);
    const std::size_t of_one = all_.elements.size() / static_cast<std::size_t>(all_.shape[0]);
    const auto from = all_.elements.begin() + static_cast<std::ptrdiff_t>(begin * of_one);
    part.elements.assign(from, from + static_cast<std::ptrdiff_t>(count * of_one));
    return std::vector{std::move(part)};
  }

 private:
  Array all_;
};

const std::string kFolder = ckpt::testing::TestData() + "/drift/";

// The first `most` examples, each element times `scale` and moved by `shift`.
HeldExamples Images(double scale = 1, double shift = 0, std::int64_t most = 96) {
  const auto file = *formats::OpenCheckpoint(kFolder + "data.npz");
  const TensorId id = *FindTensor(file->manifest(), "images");
  const auto dims = file->manifest().tensors[id.index].shape.dims();
  Array array{network::Sizes(dims.begin(), dims.end()), *ReadDoubles(*file, id, 1U << 20)};
  array.elements.resize(array.elements.size() / 96 * static_cast<std::size_t>(most));
  array.shape[0] = most;
  for (double& element : array.elements) element = element * scale + shift;
  return HeldExamples(std::move(array));
}

struct Measured {
  std::unique_ptr<Checkpoint> checkpoint;
  Analysis analysis;
  Result<DataDrift> drift = Fail(ErrorCode::kInternal, "not measured");
  AuditResult judged = {};

  const LayerDrift& Of(const std::string& scope) const {
    return *std::find_if(drift->layers.begin(), drift->layers.end(), [&](const LayerDrift& layer) {
      return analysis.batch_norms[layer.layer].scope == scope;
    });
  }
  std::vector<std::string> Findings() const {
    std::vector<std::string> texts;
    for (const Finding& finding : judged.findings) {
      texts.push_back(std::string(finding.rule->id) + " " + finding.subject);
    }
    return texts;
  }
};

Measured Measure(const std::string& name, const HeldExamples& data,
                 const execution::Budget& budget = {}) {
  Measured measured{*formats::OpenCheckpoint(kFolder + name), {}};
  measured.analysis = Analyse(measured.checkpoint->manifest());
  measured.drift = MeasureDrift(*measured.checkpoint->MakeNetwork(), *measured.checkpoint,
                                measured.analysis, data, budget);
  if (measured.drift) {
    JudgeDrift(*measured.checkpoint, measured.analysis, *measured.drift, {}, measured.judged);
  }
  return measured;
}

void ExpectAsTensorFlowFound(const Measured& measured, const std::string& which) {
  ASSERT_TRUE(measured.drift) << measured.drift.error().message;
  const auto expected = ckpt::testing::ReadExpected(kFolder + "expected.json").at(which);
  ASSERT_EQ(measured.drift->layers.size(), expected.size());
  for (const auto& [scope, views] : expected.items()) {
    const LayerDrift& layer = measured.Of(scope);
    const std::pair<const char*, const Drift*> both[] = {{"served", &layer.as_served},
                                                         {"alone", &layer.alone}};
    for (const auto& [view, drift] : both) {
      const auto& numbers = views.at(view);
      EXPECT_NEAR(drift->mean_shift.typical, numbers.at("mean_shift").get<double>(), 1e-9) << scope;
      EXPECT_NEAR(drift->mean_shift.largest, numbers.at("mean_shift_largest").get<double>(), 1e-9);
      EXPECT_NEAR(drift->log2_variance.typical, numbers.at("log2_variance").get<double>(), 1e-9);
      EXPECT_NEAR(drift->log2_variance.largest, numbers.at("log2_variance_largest").get<double>(),
                  1e-9);
    }
  }
}

TEST(Drift, StatisticsOfATrainedNetworkAreThoseOfDataThatItHasNotSeen) {
  const Measured measured = Measure("good.h5", Images());
  ExpectAsTensorFlowFound(measured, "good");
  EXPECT_THAT(measured.Findings(), IsEmpty());
}

TEST(Drift, UpdatesThatStoppedHalfWayAreOneFinding) {
  const Measured measured = Measure("stale.h5", Images());
  ExpectAsTensorFlowFound(measured, "stale");
  EXPECT_THAT(measured.Findings(), ElementsAre("BN071 b2, b3 and b4"));
  EXPECT_THAT(measured.judged.findings[0].message, HasSubstr("all over the network"));
  EXPECT_EQ(measured.judged.findings[0].severity, Severity::kWarning);
}

TEST(Drift, OtherInputIsOneFindingAtTheFirstLayer) {
  const Measured measured = Measure("good.h5", Images(1.5, 30));
  ExpectAsTensorFlowFound(measured, "skewed");
  EXPECT_THAT(measured.Findings(), ElementsAre("BN070 b1"));
  // As served every layer is far off: it takes both views to tell.
  EXPECT_GT(measured.Of("b7").as_served.mean_shift.typical, 0.25);
}

TEST(Drift, InputOfAnotherRangeIsInputSkewAlthoughAllLayersMove) {
  const Measured measured = Measure("good.h5", Images(1 / 255.0, 0));
  EXPECT_THAT(measured.Findings(), ElementsAre("BN070 b1"));
}

TEST(Drift, StatisticsOfOneLayerThatAreWrongAreAFindingOfThatLayer) {
  Measured measured{*formats::OpenCheckpoint(kFolder + "good.h5"), {}};
  measured.analysis = Analyse(measured.checkpoint->manifest());
  const BatchNorm& norm = measured.analysis.batch_norms[6];
  CalibratedLayer wrong;
  wrong.mean = *norm.moving_mean;
  wrong.variance = *norm.moving_variance;
  wrong.stored = {*ReadDoubles(*measured.checkpoint, wrong.mean, 1000),
                  *ReadDoubles(*measured.checkpoint, wrong.variance, 1000)};
  std::reverse(wrong.stored.mean.begin(), wrong.stored.mean.end());
  const auto changed = WithStatistics(*measured.checkpoint, {wrong});
  measured.drift = MeasureDrift(*changed->MakeNetwork(), *changed, measured.analysis, Images());
  ASSERT_TRUE(measured.drift);
  JudgeDrift(*changed, measured.analysis, *measured.drift, {}, measured.judged);
  EXPECT_THAT(measured.Findings(), ElementsAre("BN071 " + norm.scope));
}

TEST(Drift, FewExamplesAreMeasuredAndNotJudged) {
  const Measured measured = Measure("good.h5", Images(1.5, 30, 31));
  ASSERT_TRUE(measured.drift);
  EXPECT_GT(measured.Of("b1").alone.mean_shift.typical, 0.3);
  EXPECT_THAT(measured.Findings(), IsEmpty());
}

TEST(Drift, ExamplesThatDoNotFitMemoryTogetherGiveTheSameNumbers) {
  execution::Budget small;
  small.memory_bytes = 7U << 20;
  const Measured parts = Measure("stale.h5", Images(), small);
  ExpectAsTensorFlowFound(parts, "stale");
  small.memory_bytes = 1U << 16;
  EXPECT_EQ(Measure("stale.h5", Images(), small).drift.error().code, ErrorCode::kLimitExceeded);
  small = {};
  small.operations = 1000;
  EXPECT_EQ(Measure("stale.h5", Images(), small).drift.error().code, ErrorCode::kLimitExceeded);
}

TEST(Drift, AnOperationThatIsNotUnderstoodIsNamed) {
  const auto checkpoint = *formats::OpenCheckpoint(kFolder + "good.h5");
  network::Network net = *checkpoint->MakeNetwork();
  for (network::Operation& op : net.operations) {
    if (std::holds_alternative<network::Pool>(op.computation)) {
      op.computation = network::Unknown{"Lambda", "a function of the user's own"};
    }
  }
  const auto drift = MeasureDrift(net, *checkpoint, Analyse(checkpoint->manifest()), Images());
  ASSERT_FALSE(drift);
  EXPECT_EQ(drift.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(drift.error().message, HasSubstr("Lambda"));
}

TEST(Drift, NoiseIsTheStandardErrorWhateverTheDependenceWithinExamples) {
  // 64 sets of 48 examples, all 25 elements of one example being one number: 48 independent ones.
  std::mt19937 random(3);
  std::normal_distribution<double> normal;
  double squares = 0, predicted = 0, log_squares = 0, log_predicted = 0;
  for (int set = 0; set < 64; ++set) {
    Array data{{48, 25, 1}, {}};
    data.elements.clear();
    for (int example = 0; example < 48; ++example) {
      data.elements.insert(data.elements.end(), 25, 2 * normal(random) + 7);
    }
    GroupedMoments moments(48, 1, 2);
    moments.Add(data);
    EXPECT_EQ(moments.elements(), 48U * 25);
    const EstimatedMoments estimate = moments.Estimate(0)[0];
    squares += (estimate.mean - 7) * (estimate.mean - 7) / 64;
    predicted += estimate.mean_error * estimate.mean_error / 64;
    const double log = std::log2(estimate.variance / 4);
    log_squares += log * log / 64;
    log_predicted += estimate.log2_variance_error * estimate.log2_variance_error / 64;
  }
  EXPECT_NEAR(predicted, 4.0 / 48, 0.3 * 4.0 / 48);
  EXPECT_NEAR(squares / predicted, 1, 0.5);
  EXPECT_NEAR(log_squares / log_predicted, 1, 0.5);
}

TEST(Drift, EffectiveElementsAreFewerThanElements) {
  const Measured measured = Measure("good.h5", Images());
  const LayerDrift& first = measured.Of("b1");
  EXPECT_EQ(first.elements, 96U * 144);
  EXPECT_LT(first.alone.effective_elements, 0.5 * 96 * 144);
  EXPECT_GT(first.alone.effective_elements, 96);
}

TEST(Drift, StatisticsThatTwoLayersReadAreLeftOut) {
  const TestNet net(2);
  Made made;
  NetMaker(net, made).MakePlain();
  Analysis analysis;
  for (const char* number : {"0", "1", "2"}) {
    BatchNorm norm;
    norm.scope = std::string("bn") + number;
    norm.moving_mean = FindTensor(made.weights.manifest(), std::string("mean") + number);
    norm.moving_variance = FindTensor(made.weights.manifest(), std::string("variance") + number);
    analysis.batch_norms.push_back(norm);
  }
  std::vector<network::Operation*> norms;
  for (network::Operation& op : made.network.operations) {
    if (std::holds_alternative<network::BatchNormalization>(op.computation)) norms.push_back(&op);
  }
  norms[1]->operands[3] = norms[0]->operands[3];
  norms[1]->operands[4] = norms[0]->operands[4];
  Array data{{4, 3, 9, 9}, Numbers(4 * 3 * 81, 0.5)};
  data.elements[0] = 2;
  const auto drift = MeasureDrift(made.network, made.weights, analysis, HeldExamples(data));
  ASSERT_TRUE(drift) << drift.error().message;
  ASSERT_EQ(drift->left_out.size(), 2U);
  EXPECT_EQ(drift->left_out[0].why, "it is called several times");
  ASSERT_EQ(drift->layers.size(), 1U);
  EXPECT_EQ(drift->layers[0].layer, 2U);
  EXPECT_FALSE(drift->layers[0].first);
}

}  // namespace
}  // namespace ckpt::drift_test
