#include "ckpt/calibrate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "tests/verification/test_networks.h"

namespace ckpt::calibrate_test {
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
  std::uint64_t examples_read() const { return examples_read_; }
  Result<std::vector<Array>> Read(std::uint64_t begin, std::uint64_t count) const override {
    examples_read_ += count;
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
  mutable std::uint64_t examples_read_ = 0;
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

// a = x K0, b0 = BN(a), b1 = BN(b0 K1), b2 = BN(b0 K2), b3 = BN((b1 + b2 + x) K3); four channels.
// Batch norms without gamma and beta, whose statistics are 0 and 1.
class Branches {
 public:
  static constexpr std::size_t kWidth = 4;
  static constexpr double kEpsilon = 1e-3;
  using Row = std::array<double, kWidth>;

  explicit Branches(std::int64_t examples_at_a_time = network::kUnknownSize) {
    std::mt19937 random(11);
    std::normal_distribution<double> normal;
    for (std::size_t i = 0; i < 4; ++i) {
      for (Row& row : kernels_[i]) {
        for (double& element : row) element = static_cast<float>(normal(random));
      }
    }
    MakeWeights();
    MakeNetwork(examples_at_a_time);
  }

  static Array Examples(std::int64_t count) {
    std::mt19937 random(12);
    std::normal_distribution<double> normal;
    Array array{{count, static_cast<std::int64_t>(kWidth)}, {}, {}};
    array.elements.resize(static_cast<std::size_t>(count) * kWidth);
    for (double& element : array.elements) element = normal(random) * 3 + 1;
    return array;
  }

  // By the formula, with NumPy's two passes in long double; layers 0 to 3.
  std::vector<Population> Expected(const Array& data) const {
    std::vector<Row> x(data.elements.size() / kWidth);
    for (std::size_t i = 0; i < data.elements.size(); ++i) {
      x[i / kWidth][i % kWidth] = data.elements[i];
    }
    std::vector<Population> found;
    const auto normalised = [&](const std::vector<Row>& read, std::size_t kernel) {
      std::vector<Row> rows = Times(read, kernels_[kernel]);
      found.push_back(Normalise(rows));
      return rows;
    };
    const std::vector<Row> b0 = normalised(x, 0), b1 = normalised(b0, 1), b2 = normalised(b0, 2);
    std::vector<Row> sum = x;
    for (std::size_t n = 0; n < x.size(); ++n) {
      for (std::size_t c = 0; c < kWidth; ++c) sum[n][c] += b1[n][c] + b2[n][c];
    }
    normalised(sum, 3);
    return found;
  }

  Made made;

 private:
  using Kernel = std::array<Row, kWidth>;

  static std::vector<Row> Times(const std::vector<Row>& rows, const Kernel& kernel) {
    std::vector<Row> products(rows.size(), Row{});
    for (std::size_t n = 0; n < rows.size(); ++n) {
      for (std::size_t o = 0; o < kWidth; ++o) {
        for (std::size_t i = 0; i < kWidth; ++i) products[n][o] += rows[n][i] * kernel[i][o];
      }
    }
    return products;
  }
  static Population Normalise(std::vector<Row>& rows) {
    Population population;
    for (std::size_t c = 0; c < kWidth; ++c) {
      long double sum = 0, squares = 0;
      for (const Row& row : rows) sum += row[c];
      const long double mean = sum / static_cast<long double>(rows.size());
      for (const Row& row : rows) squares += (row[c] - mean) * (row[c] - mean);
      const auto variance = static_cast<double>(squares / static_cast<long double>(rows.size()));
      population.mean.push_back(static_cast<float>(mean));
      population.variance.push_back(static_cast<float>(variance));
      const double deviation = std::sqrt(population.variance.back() + kEpsilon);
      for (Row& row : rows) row[c] = (row[c] - population.mean.back()) / deviation;
    }
    return population;
  }

  void MakeWeights() {
    for (std::size_t i = 0; i < 4; ++i) {
      Numbers kernel;
      for (const Row& row : kernels_[i]) kernel.insert(kernel.end(), row.begin(), row.end());
      const std::string at = std::to_string(i);
      made.weights.Add("kernel" + at, {4, 4}, kernel, Dtype::kF32);
      made.weights.Add("mean" + at, {4}, Numbers(kWidth, 0.0), Dtype::kF32);
      made.weights.Add("variance" + at, {4}, Numbers(kWidth, 1.0), Dtype::kF32);
    }
    made.weights.Seal();
  }
  void MakeNetwork(std::int64_t examples_at_a_time) {
    network::NetworkBuilder builder(network::Origin::kOnnxGraph);
    const auto stored = [&](const std::string& name, network::Sizes shape) {
      return builder.AddStored(name, {*FindTensor(made.weights.manifest(), name), {}, {}},
                               std::move(shape));
    };
    const auto block = [&](network::ValueId read, std::size_t i) {
      const std::string at = std::to_string(i);
      builder.StartLayer("dense" + at, "MatMul");
      const auto product =
          builder.Add(network::MatrixProduct{}, {read, stored("kernel" + at, {4, 4})});
      builder.StartLayer("bn" + at, "BatchNormalization");
      return builder.Add(network::BatchNormalization{1, kEpsilon},
                         {product, network::kNoValue, network::kNoValue, stored("mean" + at, {4}),
                          stored("variance" + at, {4})});
    };
    const auto x = builder.AddInput("x", network::Sizes{examples_at_a_time, 4});
    const auto b0 = block(x, 0), b1 = block(b0, 1), b2 = block(b0, 2);
    builder.StartLayer("sum", "Add");
    const auto sum = builder.Add(network::Binary{}, {b1, b2});
    const auto with_input = builder.Add(network::Binary{}, {sum, x});
    builder.AddOutput("y", block(with_input, 3));
    auto network = std::move(builder).Finish();
    ASSERT_TRUE(network) << network.error().message;
    made.network = std::move(*network);
  }

  std::array<Kernel, 4> kernels_ = {};
};

TEST(Calibrate, BranchesAndWhatSkipsLayersAreThoseOfTheSameExamples) {
  const Branches branches;
  const Array data = Branches::Examples(11);
  const auto expected = branches.Expected(data);
  for (const std::uint64_t batch : std::initializer_list<std::uint64_t>{0, 1, 4}) {
    CalibrateOptions options;
    options.layers = PlacesOf(branches.made.network);
    options.batch = batch;
    const auto layers = CalibrateStatistics(branches.made.network, branches.made.weights,
                                            HeldExamples(data), options);
    ASSERT_TRUE(layers) << layers.error().message;
    ASSERT_EQ(layers->size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ((*layers)[i].layer, "bn" + std::to_string(i));
      const auto near = [](const Numbers& numbers) {
        std::vector<::testing::Matcher<double>> each;
        for (const double x : numbers) {
          each.push_back(::testing::DoubleNear(x, 2.4e-7 * std::max(std::abs(x), 0.1)));
        }
        return ::testing::ElementsAreArray(each);
      };
      EXPECT_THAT((*layers)[i].stored.mean, near(expected[i].mean)) << i;
      EXPECT_THAT((*layers)[i].stored.variance, near(expected[i].variance)) << i;
    }
  }
}

TEST(Calibrate, DataAreReadOnceWhereWhatLaterLayersReadFitsTheMemory) {
  const TestNet net(2);
  Made made;
  NetMaker(net, made).MakePlain();
  const HeldExamples examples(DrawnExamples(40));
  CalibrateOptions options;
  options.layers = PlacesOf(made.network);
  options.batch = 5;
  const auto ample = CalibrateStatistics(made.network, made.weights, examples, options);
  ASSERT_TRUE(ample) << ample.error().message;
  EXPECT_LE(examples.examples_read(), 40U + 2);  // 2: to plan
  // The least memory that one example runs in: the others begin anew for each layer.
  for (std::uint64_t memory = 1 << 16;; memory += memory / 256) {
    const HeldExamples again(DrawnExamples(40));
    options.budget.memory_bytes = memory;
    const auto tight = CalibrateStatistics(made.network, made.weights, again, options);
    if (!tight) {
      ASSERT_EQ(tight.error().code, ErrorCode::kLimitExceeded) << tight.error().message;
      continue;
    }
    EXPECT_GT(again.examples_read(), 2 * 40U);
    for (std::size_t i = 0; i < ample->size(); ++i) {
      EXPECT_EQ((*tight)[i].stored.mean, (*ample)[i].stored.mean);
      EXPECT_EQ((*tight)[i].stored.variance, (*ample)[i].stored.variance);
    }
    break;
  }
}

TEST(Calibrate, ANetworkOfFixedBatchesIsRunOverAsManyExamplesAtATimeAsItSays) {
  const Branches branches(3), open;
  CalibrateOptions options;
  options.layers = PlacesOf(branches.made.network);
  const auto run = [&](const Branches& one, std::int64_t examples) {
    return CalibrateStatistics(one.made.network, one.made.weights,
                               HeldExamples(Branches::Examples(examples)), options);
  };
  const auto fixed = run(branches, 12), other = run(open, 12);
  ASSERT_TRUE(fixed && other) << fixed.error().message;
  for (std::size_t i = 0; i < fixed->size(); ++i) {
    EXPECT_EQ((*fixed)[i].stored.mean, (*other)[i].stored.mean);
  }
  const auto left_over = run(branches, 13);
  ASSERT_FALSE(left_over);
  EXPECT_EQ(left_over.error().code, ErrorCode::kUnfit);
  EXPECT_EQ(left_over.error().message,
            "the network takes 3 examples at a time, and the data hold 13");
}

}  // namespace
}  // namespace ckpt::calibrate_test
