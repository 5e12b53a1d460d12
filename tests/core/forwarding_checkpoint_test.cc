// What a checkpoint in front of another one passes on: the network above all, over its own tensors.
#include "ckpt/forwarding_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "averages/ema_weights.h"
#include "ckpt/network/bind_network.h"
#include "ckpt/weight_norm.h"
#include "tests/support/memory_checkpoint.h"

namespace ckpt::testing::forwarding_checkpoint_test {
namespace {

using network::StoredConstant;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Its network reads the tensors that are named, in this order.
class WithNetwork : public MemoryCheckpoint {
 public:
  explicit WithNetwork(std::vector<std::string> read) : read_(std::move(read)) {}
  Result<network::Network> MakeNetwork() const override {
    network::NetworkBuilder builder(network::Origin::kOnnxGraph);
    for (const std::string& name : read_) {
      builder.AddStored(name, StoredConstant{*FindTensor(manifest(), name)}, {2, 2});
    }
    return std::move(builder).Finish();
  }

 private:
  std::vector<std::string> read_;
};

WithNetwork Model(std::vector<std::string> read, const std::vector<std::string>& names) {
  WithNetwork model(std::move(read));
  double value = 0;
  for (const std::string& name : names) {
    model.Add(name, {2, 2}, {value + 1, value + 2, value + 3, value + 4});
    value += 10;
  }
  model.Seal();
  return model;
}

// The names that the tensors have, which the constants of the network are, in `checkpoint`.
std::vector<std::string> NamesRead(const network::Network& net, const Manifest& manifest) {
  std::vector<std::string> names;
  for (const network::Value& value : net.values) {
    if (!value.constant) continue;
    const auto& stored = std::get<StoredConstant>(*value.constant);
    names.push_back(manifest.tensors.at(stored.tensor.index).name);
  }
  return names;
}

class Plain : public ForwardingCheckpoint {
 public:
  explicit Plain(const Checkpoint& inner) : ForwardingCheckpoint(inner) {}
};

// The tensors in the opposite order, without those called "gone".
class Turned : public RewrittenCheckpoint {
 public:
  explicit Turned(const Checkpoint& inner) : RewrittenCheckpoint(inner) {
    std::erase_if(manifest_.tensors, [](const TensorInfo& info) { return info.name == "gone"; });
    std::reverse(manifest_.tensors.begin(), manifest_.tensors.end());
  }

 protected:
  std::optional<TensorId> PlaceOf(TensorId id) const override {
    const std::string& name = inner().manifest().tensors[id.index].name;
    for (std::uint32_t i = 0; i < manifest_.tensors.size(); ++i) {
      if (manifest_.tensors[i].name == name) return TensorId{i};
    }
    return std::nullopt;
  }
};

TEST(Forwarding, PassesOnEverythingThatIsNotChanged) {
  WithNetwork model = Model({"b", "a"}, {"a", "b"});
  model.set_input_name({"logs", "logs/checkpoint names a", {}});
  const Plain plain(model);
  EXPECT_EQ(plain.format(), "memory");
  EXPECT_EQ(&plain.manifest(), &model.manifest());
  EXPECT_EQ(plain.input_name().note, "logs/checkpoint names a");
  EXPECT_THAT(*ReadDoubles(plain, {1}, 4), ElementsAre(11, 12, 13, 14));
  const auto net = plain.MakeNetwork();
  ASSERT_TRUE(net) << ToString(net.error());
  EXPECT_THAT(NamesRead(*net, plain.manifest()), ElementsAre("b", "a"));
}

TEST(Forwarding, ANetworkReadsTensorsWhereTheyStandNow) {
  const WithNetwork model = Model({"c", "a"}, {"a", "b", "c"});
  const Turned turned(model);
  const auto net = turned.MakeNetwork();
  ASSERT_TRUE(net) << ToString(net.error());
  EXPECT_THAT(NamesRead(*net, turned.manifest()), ElementsAre("c", "a"));
}

TEST(Forwarding, ANetworkThatReadsWhatIsGoneIsRefused) {
  const WithNetwork model = Model({"a", "gone"}, {"a", "gone"});
  const auto net = Turned(model).MakeNetwork();
  ASSERT_FALSE(net);
  EXPECT_EQ(net.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(net.error().tensor, "gone");
}

TEST(Forwarding, WithoutANetworkThereIsNone) {
  MemoryCheckpoint names;
  names.Add("a", {1}, {1});
  EXPECT_EQ(Plain(names).MakeNetwork().error().code, ErrorCode::kUnsupported);
}

TEST(Forwarding, AveragesHaveTheNetworkOfTheModelOverTheirValues) {
  const WithNetwork model = Model({"w"}, {"w", "w/ExponentialMovingAverage"});
  const EmaWeights averages(model, {{TensorId{0}, TensorId{1}}});
  const auto net = averages.MakeNetwork();
  ASSERT_TRUE(net) << ToString(net.error());
  EXPECT_THAT(NamesRead(*net, averages.manifest()), ElementsAre("w"));
  EXPECT_THAT(*ReadDoubles(averages, {0}, 4), ElementsAre(11, 12, 13, 14));
}

// The file's own network computes the weight of g and v: no tensor of the result is either.
TEST(Forwarding, ANetworkThatComputesAWeightNormItselfIsRefusedWhereTheWeightStands) {
  for (const bool reads_v : {true, false}) {
    auto model = std::make_unique<WithNetwork>(
        std::vector<std::string>{reads_v ? "conv.weight_v" : "other"});
    model->Add("conv.weight_v", {2, 2}, {1, 2, 3, 4});
    model->Add("conv.weight_g", {2, 1}, {1, 2});
    model->Add("other", {2, 2}, {5, 6, 7, 8});
    model->Seal();
    const auto computed = WithWeightNormsComputed(std::move(model));
    ASSERT_TRUE(FindTensor(computed->manifest(), "conv.weight"));
    const auto net = computed->MakeNetwork();
    ASSERT_EQ(net.has_value(), !reads_v);
    if (net) {
      EXPECT_THAT(NamesRead(*net, computed->manifest()), ElementsAre("other"));
    } else {
      EXPECT_EQ(net.error().tensor, "conv.weight_v");
    }
  }
}

TEST(BindNetwork, TakesTensorsByName) {
  const WithNetwork model = Model({"c", "a"}, {"a", "c"});
  const WithNetwork names = Model({}, {"a", "b", "c"});
  auto net = *model.MakeNetwork();
  // "b" is a weight that the network does not know.
  const auto bound = BindNetwork(net, model, names.manifest());
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().tensor, "b");
  const WithNetwork same = Model({}, {"a", "c"});
  net = *model.MakeNetwork();
  ASSERT_TRUE(BindNetwork(net, model, same.manifest()));
  EXPECT_THAT(NamesRead(net, same.manifest()), ElementsAre("c", "a"));
}

TEST(BindNetwork, KeepsTheNumbersOfTheGraphAndNotItsWeights) {
  WithNetwork model = Model({"scale", "w"}, {"scale", "w"});
  const WithNetwork names = Model({}, {"w"});
  auto net = *model.MakeNetwork();
  EXPECT_EQ(BindNetwork(net, model, names.manifest()).error().tensor, "scale");
  model.mutable_manifest().tensors[0].section = Section::kConstant;
  net = *model.MakeNetwork();
  ASSERT_TRUE(BindNetwork(net, model, names.manifest()));
  const auto* held = std::get_if<network::InlineConstant>(&*net.values[0].constant);
  ASSERT_NE(held, nullptr);
  EXPECT_EQ(held->shape, (network::Sizes{2, 2}));
  EXPECT_THAT(held->elements, ElementsAre(1, 2, 3, 4));
}

}  // namespace
}  // namespace ckpt::testing::forwarding_checkpoint_test
