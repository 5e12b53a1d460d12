#include "formats/keras/model/weight_names.h"

#include <gtest/gtest.h>

#include "formats/keras/h5/optimizer_slots.h"
#include "formats/keras/model/weight_order.h"

namespace ckpt::formats::keras::weight_names_test {
namespace {

TEST(WeightNamesTest, OfEveryGenerationBecomeTheNamesThatPeopleUse) {
  struct Case {
    const char *group, *stored, *name;
  };
  for (const Case& c : {
           Case{"bn_a", "bn_a_gamma", "bn_a/gamma"},  // Keras 1
           Case{"bn_a", "bn_a_running_std:0", "bn_a/running_std"},
           Case{"inner", "batchnormalization_1_running_mean:0",
                "inner/batchnormalization_1/running_mean"},
           Case{"inner", "convolution2d_1_W", "inner/convolution2d_1/W"},
           Case{"conv", "param_0", "conv/param_0"},     // Theano
           Case{"bn_a", "bn_a/gamma:0", "bn_a/gamma"},  // Keras 2
           Case{"bn_a", "bn_a_1/gamma:0", "bn_a/gamma"},
           Case{"bn_a_1", "bn_a/gamma:0", "bn_a_1/gamma"},
           Case{"bn_a", "scope/bn_a/gamma:0", "bn_a/gamma"},
           Case{"inner", "ic/kernel:0", "inner/ic/kernel"},
           Case{"bi", "bi/forward_lstm/lstm_cell/kernel:0", "bi/forward_lstm/lstm_cell/kernel"},
           Case{"bn_a", "sequential/bn_a/gamma", "bn_a/gamma"},  // Keras 3
           Case{"inner", "sequential/inner/ibn/gamma", "inner/ibn/gamma"},
           Case{"a/b", "a/b/kernel", "a/b/kernel"},  // a layer's name may have slashes
       }) {
    EXPECT_EQ(TensorName(c.group, c.stored), c.name) << c.group << " " << c.stored;
  }
}

TEST(WeightNamesTest, OnlyANumberBehindAColonIsAnOutput) {
  EXPECT_EQ(WithoutOutputNumber("kernel:0"), "kernel");
  EXPECT_EQ(WithoutOutputNumber("kernel:12"), "kernel");
  EXPECT_EQ(WithoutOutputNumber("kernel:"), "kernel:");
  EXPECT_EQ(WithoutOutputNumber("a:b"), "a:b");
}

TEST(OptimizerSlotsTest, AreFoundByTheNamesOfEveryOptimizer) {
  SlotFinder finder;
  finder.AddVariable("conv/kernel:0", TensorId{3});
  finder.AddVariable("sequential/d_1/bias", TensorId{5});
  struct Case {
    const char* stored;
    std::uint32_t variable;
    const char* slot;
  };
  for (const Case& c : {Case{"Adam/m/conv/kernel:0", 3, "m"},
                        Case{"training/SGD/conv/kernel/momentum:0", 3, "momentum"},
                        Case{"adam/sequential_d_1_bias_velocity", 5, "velocity"}}) {
    const auto slot = finder.Find(c.stored);
    ASSERT_TRUE(slot.has_value()) << c.stored;
    EXPECT_EQ(slot->variable.index, c.variable);
    EXPECT_EQ(slot->name, c.slot);
  }
  for (const char* stored : {"iteration:0", "adam/learning_rate", "training/Adam/Variable:0"}) {
    EXPECT_FALSE(finder.Find(stored).has_value()) << stored;
  }
}

TEST(OptimizerSlotsTest, AreNotGuessedWhereTwoVariablesFlattenToOneName) {
  SlotFinder finder;
  finder.AddVariable("a_b/c", TensorId{0});
  finder.AddVariable("a/b_c", TensorId{1});
  EXPECT_FALSE(finder.Find("adam/a_b_c_momentum").has_value());
}

TEST(WeightOrderTest, SurvivesItsText) {
  const WeightOrder order{{{WeightGroup::Kind::kLayer, "a\tb\n\\c", {{"a/kernel", "a/kernel:0"}}},
                           {WeightGroup::Kind::kLayer, "empty"},
                           {WeightGroup::Kind::kTopLevel, "", {{"step", "step:0"}}},
                           {WeightGroup::Kind::kOptimizer, "", {{"x\\n", "x\\n"}}},
                           {WeightGroup::Kind::kOther, "", {{"d", "/d"}}}}};
  const auto again = ParseWeightOrder(WeightOrderText(order));
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->groups, order.groups);
}

TEST(WeightOrderTest, RefusesOtherTextWithItsLine) {
  const auto order = ParseWeightOrder("layer\ta\nweight\tx\n");
  ASSERT_FALSE(order.has_value());
  EXPECT_EQ(order.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(order.error().message.find("line 2"), std::string::npos) << order.error().message;
  EXPECT_FALSE(ParseWeightOrder("weight\tx\ty\n").has_value());  // of no group
}

}  // namespace
}  // namespace ckpt::formats::keras::weight_names_test
