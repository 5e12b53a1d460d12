// Weights of weight norms in the place of their parts. The norm is taken here by its definition.
#include "ckpt/weight_norm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/memory_checkpoint.h"

namespace ckpt::weight_norm_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::MemoryCheckpoint;

std::vector<std::string> NamesOf(const Checkpoint& checkpoint) {
  std::vector<std::string> names;
  for (const TensorInfo& info : checkpoint.manifest().tensors) names.push_back(info.name);
  return names;
}

// 1, 2, 3, ... and a number that differs from it.
std::vector<double> Numbers(std::size_t count) {
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<double>(i + 1);
  return values;
}

std::unique_ptr<Checkpoint> Computed(MemoryCheckpoint checkpoint) {
  checkpoint.Seal();
  return WithWeightNormsComputed(std::make_unique<MemoryCheckpoint>(std::move(checkpoint)));
}

std::vector<double> Read(const Checkpoint& checkpoint, const std::string& name) {
  const auto id = FindTensor(checkpoint.manifest(), name);
  EXPECT_TRUE(id) << name;
  auto values = id ? ReadDoubles(checkpoint, *id, 1000) : Result<std::vector<double>>({});
  EXPECT_TRUE(values) << ToString(values.error());
  return values ? *values : std::vector<double>();
}

struct Case {
  std::string g, v;
  std::vector<std::int64_t> g_dims;
  std::function<std::size_t(std::size_t o, std::size_t i)> channel;  // of v[o, i, 0..1]
};

class WeightNorms : public ::testing::TestWithParam<Case> {};

TEST_P(WeightNorms, AreComputedByTheirDefinition) {
  const Case& c = GetParam();
  constexpr std::size_t kOut = 3, kIn = 2, kSpatial = 2;
  MemoryCheckpoint parts;
  const std::vector<double> v = Numbers(kOut * kIn * kSpatial);
  std::size_t count = 1;
  for (const std::int64_t dim : c.g_dims) count *= static_cast<std::size_t>(dim);
  std::vector<double> g = Numbers(count);
  for (double& length : g) length += 0.5;
  parts.Add(c.v, {3, 2, 2}, v);
  parts.Add(c.g, c.g_dims, g);
  parts.Add("conv.bias", {3}, {1, 2, 3});
  const auto computed = Computed(std::move(parts));
  EXPECT_THAT(NamesOf(*computed), ElementsAre("conv.bias", "conv.weight"));
  EXPECT_THAT(computed->manifest().note, HasSubstr("w = g * v / |v| (conv.weight)"));
  std::vector<double> squares(count, 0);
  for (std::size_t e = 0; e < v.size(); ++e) {
    squares[c.channel(e / 4, e / 2 % 2)] += v[e] * v[e];
  }
  const std::vector<double> w = Read(*computed, "conv.weight");
  ASSERT_EQ(w.size(), v.size());
  for (std::size_t e = 0; e < v.size(); ++e) {
    const std::size_t channel = c.channel(e / 4, e / 2 % 2);
    EXPECT_FLOAT_EQ(static_cast<float>(w[e]),
                    static_cast<float>(v[e] * g[channel] / std::sqrt(squares[channel])))
        << e;
  }
  EXPECT_THAT(Read(*computed, "conv.bias"), ElementsAre(1, 2, 3));
}

const auto kByOut = [](std::size_t o, std::size_t) { return o; };
const auto kByIn = [](std::size_t, std::size_t i) { return i; };
const auto kTogether = [](std::size_t, std::size_t) { return std::size_t{0}; };

INSTANTIATE_TEST_SUITE_P(
    Axes, WeightNorms,
    ::testing::Values(Case{"conv.weight_g", "conv.weight_v", {3, 1, 1}, kByOut},
                      Case{"conv.weight_g", "conv.weight_v", {1, 2, 1}, kByIn},
                      Case{"conv.weight_g", "conv.weight_v", {}, kTogether},
                      Case{"conv.parametrizations.weight.original0",
                           "conv.parametrizations.weight.original1",
                           {3, 1, 1},
                           kByOut}));

TEST(WeightNorm, WhatIsNoneStaysTheSameObject) {
  for (const auto& names : std::vector<std::vector<std::string>>{
           {"a.weight"},
           {"a.weight_v"},                            // no length
           {"a.w_g", "a.w_v"},                        // no weight
           {"a.weight_g", "a.weight_v", "a.weight"},  // the name is taken
           {"a.parametrizations.weight.original0", "a.parametrizations.weight.original1",
            "a.parametrizations.weight.1._u"}}) {  // computed with further on
    auto parts = std::make_unique<MemoryCheckpoint>();
    for (const std::string& name : names) {
      const bool length = name.ends_with("_g") || name.ends_with("0");
      parts->Add(name, {2, length ? 1 : 2}, Numbers(length ? 2 : 4));
    }
    parts->Seal();
    const Checkpoint* before = parts.get();
    EXPECT_EQ(WithWeightNormsComputed(std::move(parts)).get(), before) << names.back();
  }
}

TEST(WeightNorm, ALengthOfAnotherShapeIsNone) {
  MemoryCheckpoint parts;
  parts.Add("a.weight_v", {2, 2}, Numbers(4));
  parts.Add("a.weight_g", {2, 2}, Numbers(4));
  EXPECT_THAT(NamesOf(*Computed(std::move(parts))), ElementsAre("a.weight_g", "a.weight_v"));
}

TEST(WeightNorm, ADirectionOfZerosIsRefused) {
  MemoryCheckpoint parts;
  parts.Add("a.weight_v", {2, 2}, {1, 1, 0, 0});
  parts.Add("a.weight_g", {2, 1}, {1, 1});
  const auto computed = Computed(std::move(parts));
  const auto values = ReadDoubles(*computed, TensorId{0}, 100);
  ASSERT_FALSE(values);
  EXPECT_THAT(ToString(values.error()), HasSubstr("|v| is 0 or no number in channel 1"));
}

TEST(WeightNorm, ReferencesFollowTheirTensors) {
  MemoryCheckpoint parts;
  parts.Add("a.bias", {2}, {1, 2});
  parts.Add("a.weight_g", {2, 1}, {1, 1});
  parts.Add("a.weight_v", {2, 2}, Numbers(4));
  parts.Add("z.alias", {2}, {1, 2}).alias_of = TensorId{0};
  parts.Add("z.slot", {2, 2}, Numbers(4)).slot_of = TensorId{2};
  const auto computed = Computed(std::move(parts));
  const auto& tensors = computed->manifest().tensors;
  EXPECT_THAT(NamesOf(*computed), ElementsAre("a.bias", "a.weight", "z.alias", "z.slot"));
  EXPECT_EQ(tensors[2].alias_of, TensorId{0});
  EXPECT_EQ(tensors[3].slot_of, std::nullopt);
}

}  // namespace
}  // namespace ckpt::weight_norm_test
