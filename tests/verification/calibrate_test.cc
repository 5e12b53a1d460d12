#include "ckpt/calibrate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/verification/test_networks.h"

namespace ckpt {
namespace {

using ckpt::testing::Made;
using ckpt::testing::NetMaker;
using ckpt::testing::Numbers;
using ckpt::testing::TestNet;
using execution::Array;
using network::OperationId;

class HeldExamples : public ExampleSource {
 public:
  explicit HeldExamples(Array all) : all_(std::move(all)) {}
  std::uint64_t count() const noexcept override {
    return static_cast<std::uint64_t>(all_.shape[0]);
  }
  Result<std::vector<Array>> Read(std::uint64_t begin, std::uint64_t count) const override {
    Array part = all_;
    part.shape[0] = static_cast<std::int64_t>(count);
    const std::size_t of_one = all_.elements.size() / static_cast<std::size_t>(all_.shape[0]);
    part.elements.assign(
        all_.elements.begin() + static_cast<std::ptrdiff_t>(begin * of_one),
        all_.elements.begin() + static_cast<std::ptrdiff_t>((begin + count) * of_one));
    return std::vector{std::move(part)};
  }

 private:
  Array all_;
};

Array DrawnExamples(std::int64_t count) {
  std::mt19937 random(5);
  std::normal_distribution<double> normal;
  Array array{{count, 3, 9, 9}, {}, {}};
  array.elements.resize(static_cast<std::size_t>(count * 3 * 81));
  for (double& element : array.elements) element = static_cast<float>(normal(random) * 2 + 0.5);
  return array;
}

std::set<OperationId> BatchNormsOf(const network::Network& net) {
  std::set<OperationId> ids;
  for (std::uint32_t i = 0; i < net.operations.size(); ++i) {
    if (std::holds_alternative<network::BatchNormalization>(net.operations[i].computation)) {
      ids.insert(OperationId{i});
    }
  }
  return ids;
}

NormPlace PlaceOf(const network::Network& net, OperationId id) {
  const auto tensor = [&](std::size_t operand) {
    const auto& constant = *net.value(net.operation(id).operands[operand]).constant;
    return std::get<network::StoredConstant>(constant).tensor;
  };
  const auto place = FindNorm(net, tensor(3), tensor(4));
  EXPECT_TRUE(place) << place.error().message;
  return place ? *place : NormPlace{};
}
std::vector<NormPlace> PlacesOf(const network::Network& net) {
  std::vector<NormPlace> places;
  for (const OperationId id : BatchNormsOf(net)) places.push_back(PlaceOf(net, id));
  return places;
}

// Mean and variance of each channel of [N, C, H, W], in long double.
struct Population {
  std::vector<double> mean, variance;
};
Population PopulationOf(const Array& data) {
  const auto channels = static_cast<std::size_t>(data.shape[1]);
  const auto points = static_cast<std::size_t>(data.shape[2] * data.shape[3]);
  Population population;
  for (std::size_t c = 0; c < channels; ++c) {
    long double sum = 0, squares = 0, count = 0;
    const auto each = [&](auto take) {
      for (std::size_t n = 0; n < static_cast<std::size_t>(data.shape[0]); ++n) {
        for (std::size_t i = 0; i < points; ++i)
          take(data.elements[(n * channels + c) * points + i]);
      }
    };
    each([&](double x) { sum += x, count += 1; });
    each([&](double x) { squares += (x - sum / count) * (x - sum / count); });
    population.mean.push_back(static_cast<double>(sum / count));
    population.variance.push_back(static_cast<double>(squares / count));
  }
  return population;
}

// What each batch norm reads, by a run with the statistics as they are stored.
std::vector<Array> InputsOfBatchNorms(const Made& made, const Checkpoint& weights,
                                      const Array& data) {
  execution::RunOptions options;
  for (const OperationId id : BatchNormsOf(made.network)) {
    options.wanted.push_back(made.network.operation(id).operands[0]);
  }
  const std::vector<Array> inputs = {data};
  return *execution::Run(made.network, weights, inputs, options);
}

TEST(Calibrate, StatisticsAreThoseOfThePopulationThatEachLayerReads) {
  const TestNet net(1);
  Made made;
  NetMaker(net, made).MakePlain();
  const HeldExamples examples(DrawnExamples(12));
  CalibrateOptions options;
  options.layers = PlacesOf(made.network);
  const auto layers = CalibrateStatistics(made.network, made.weights, examples, options);
  ASSERT_TRUE(layers) << layers.error().message;
  ASSERT_EQ(layers->size(), 3U);
  const auto calibrated = WithStatistics(made.weights, *layers);
  const auto read = InputsOfBatchNorms(made, *calibrated, DrawnExamples(12));
  for (std::size_t i = 0; i < 3; ++i) {
    const Population expected = PopulationOf(read[i]);
    for (std::size_t c = 0; c < expected.mean.size(); ++c) {
      const double sigma = std::sqrt(expected.variance[c]);
      EXPECT_NEAR((*layers)[i].stored.mean[c], expected.mean[c],
                  6e-8 * std::abs(expected.mean[c]) + 1e-9 * sigma);
      EXPECT_NEAR((*layers)[i].stored.variance[c], expected.variance[c],
                  6.1e-8 * expected.variance[c]);
    }
    EXPECT_EQ((*layers)[i].examples, 12U);
  }
}

TEST(Calibrate, HowManyExamplesAreRunAtATimeChangesNoBit) {
  const TestNet net(2);
  Made made;
  NetMaker(net, made).MakePlain();
  const HeldExamples examples(DrawnExamples(10));
  std::vector<std::vector<Numbers>> all;
  for (const std::uint64_t batch : std::initializer_list<std::uint64_t>{0, 1, 3, 7}) {
    CalibrateOptions options;
    options.layers = PlacesOf(made.network);
    options.batch = batch;
    const auto layers = CalibrateStatistics(made.network, made.weights, examples, options);
    ASSERT_TRUE(layers) << layers.error().message;
    std::vector<Numbers>& one = all.emplace_back();
    for (const CalibratedLayer& layer : *layers) {
      one.push_back(layer.stored.mean);
      one.push_back(layer.stored.variance);
    }
    EXPECT_EQ(one, all.front()) << batch;
  }
}

TEST(Calibrate, TheUnbiasedVarianceIsLargerByNOverNMinusOne) {
  const TestNet net(2);
  Made made;
  NetMaker(net, made).MakePlain();
  const HeldExamples examples(DrawnExamples(1));
  CalibrateOptions biased, unbiased;
  biased.layers = unbiased.layers = {PlacesOf(made.network).front()};
  unbiased.layers.front().rule = VarianceRule::kUnbiased;
  const auto one = CalibrateStatistics(made.network, made.weights, examples, biased);
  const auto other = CalibrateStatistics(made.network, made.weights, examples, unbiased);
  ASSERT_TRUE(one && other);
  EXPECT_EQ((*one)[0].elements, 81U);
  EXPECT_NEAR((*other)[0].stored.variance[0], (*one)[0].stored.variance[0] * 81.0 / 80, 1e-6);
}

TEST(Calibrate, LayersThatAreNotNamedKeepTheirStatistics) {
  const TestNet net(2);
  Made made;
  NetMaker(net, made).MakePlain();
  const HeldExamples examples(DrawnExamples(4));
  CalibrateOptions options;
  options.layers = {PlacesOf(made.network)[1]};
  const auto layers = CalibrateStatistics(made.network, made.weights, examples, options);
  ASSERT_TRUE(layers);
  ASSERT_EQ(layers->size(), 1U);
  EXPECT_EQ((*layers)[0].layer, "bn1");
  const auto calibrated = WithStatistics(made.weights, *layers);
  for (const char* name : {"mean0", "variance0", "mean2", "gamma1", "kernel1"}) {
    const TensorId id = *FindTensor(made.weights.manifest(), name);
    EXPECT_EQ(*ReadDoubles(*calibrated, id, 1000), *ReadDoubles(made.weights, id, 1000)) << name;
  }
  const TensorId moved = *FindTensor(made.weights.manifest(), "mean1");
  EXPECT_NE(*ReadDoubles(*calibrated, moved, 100), *ReadDoubles(made.weights, moved, 100));
}

TEST(Calibrate, StatisticsThatTwoLayersReadAreRefused) {
  const TestNet net(2);
  Made made;
  NetMaker(net, made).MakePlain();
  std::vector<OperationId> norms;
  for (const OperationId id : BatchNormsOf(made.network)) norms.push_back(id);
  made.network.operations[norms[1].index].operands[3] =
      made.network.operations[norms[0].index].operands[3];
  const auto tensor = [&](const char* name) { return *FindTensor(made.weights.manifest(), name); };
  const auto place = FindNorm(made.network, tensor("mean0"), tensor("variance0"));
  ASSERT_FALSE(place);
  EXPECT_EQ(place.error().code, ErrorCode::kUnfit);
  EXPECT_THAT(place.error().message, ::testing::HasSubstr("\"bn1\" read the same statistics"));
}

}  // namespace
}  // namespace ckpt
