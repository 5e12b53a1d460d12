// Every fixture of these formats holds the tensors that its maker lists.
#include <gtest/gtest.h>

#include <cctype>

#include "tests/other_frameworks/open_fixture.h"
#include "tests/support/expected_tensors.h"
#include "tests/support/paths.h"

namespace ckpt::formats::golden_test {
namespace {

struct Fixture {
  const char* format;
  const char* file;
};

class OtherFrameworksGolden : public ::testing::TestWithParam<Fixture> {};

TEST_P(OtherFrameworksGolden, HoldsWhatItsMakerLists) {
  const auto checkpoint = OpenFixture(GetParam().file);
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->format(), GetParam().format);
  testing::ExpectTensors(*checkpoint, testing::ReadExpected(ckpt::testing::TestData() + "/" +
                                                            GetParam().file + ".expected.json"));
  const Manifest& manifest = checkpoint->manifest();
  EXPECT_TRUE(manifest.problems.empty());
  EXPECT_TRUE(std::is_sorted(manifest.tensors.begin(), manifest.tensors.end(),
                             [](const auto& a, const auto& b) { return a.name < b.name; }));
}

INSTANTIATE_TEST_SUITE_P(
    , OtherFrameworksGolden,
    ::testing::Values(
        Fixture{"flax", "flax/model.msgpack"}, Fixture{"flax", "flax/train_state.msgpack"},
        Fixture{"flax", "flax/params_only.msgpack"}, Fixture{"flax", "flax/never_updated.msgpack"},
        Fixture{"flax", "flax/dtypes.msgpack"}, Fixture{"flax", "flax/chunked.msgpack"},
        Fixture{"darknet", "darknet/small.weights"},
        Fixture{"darknet", "darknet/lone_pjreddie.weights"},
        Fixture{"darknet", "darknet/lone_alexeyab.weights"},
        Fixture{"caffe", "caffe/small.caffemodel"}, Fixture{"caffe", "caffe/double.caffemodel"},
        Fixture{"caffe", "caffe/untrained.caffemodel"}, Fixture{"caffe", "caffe/v1.caffemodel"},
        Fixture{"mxnet", "mxnet/net-0010.params"}, Fixture{"mxnet", "mxnet/fixed-0010.params"},
        Fixture{"mxnet", "mxnet/dtypes.params"}, Fixture{"mxnet", "mxnet_real/net-0010.params"},
        Fixture{"mxnet", "mxnet_real/fixed-0010.params"},
        Fixture{"mxnet", "mxnet_real/gluon.params"}, Fixture{"tfjs", "tfjs/float32/model.json"},
        Fixture{"tfjs", "tfjs/quantized/model.json"}, Fixture{"npz", "chainer/model.npz"}),
    [](const auto& instance) {
      std::string name = instance.param.file;
      for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
      return name;
    });

}  // namespace
}  // namespace ckpt::formats::golden_test
