// What every format owes: reading, over each row of the table; writing, over each that writes
// tensors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "ckpt/formats/format.h"
#include "formats/encoding/checksum.h"
#include "tests/support/committed.h"
#include "tests/support/memory_checkpoint.h"
#include "tests/support/program.h"

namespace ckpt::formats {
namespace {

using ckpt::testing::MemoryCheckpoint;
using ckpt::testing::TemporaryFolder;

// What differs between formats in this suite.
struct Sample {
  std::string format;
  std::string output;                        // name of a file to write
  std::string real_file;                     // made by the framework, below testdata
  std::vector<std::string> files_of_output;  // all files that writing it makes
  std::vector<Document> documents = {};      // what the format needs beside the tensors
};

// The variables of SmallModel as Keras 3 numbers them.
constexpr const char* kSmallLayout =
    "group\tlayers/conv2d\tconv1\nvariable\t0\tconv1/kernel\nvariable\t1\tconv1/bias\n"
    "group\tlayers/batch_normalization\tbn1\nvariable\t0\tbn1/gamma\nvariable\t1\tbn1/moving_mean\n"
    "group\tlayers/dense\tdense\nvariable\t0\tdense/kernel\n"
    "group\tlayers/dense_1\thalf\nvariable\t0\thalf/kernel\n"
    "group\tlayers/step\tstep\nvariable\t0\tstep/count\n"
    "group\tlayers/conv1d\tnone\nvariable\t0\tnone/kernel\n";

const std::vector<Sample>& Samples() {
  static const std::vector<Sample> samples = {
      {"tf-bundle",
       "model.ckpt",
       "tf1/resnet/correct/model.ckpt-200",
       {"model.ckpt.data-00000-of-00001", "model.ckpt.index"}},
      {"keras-h5", "model.h5", "keras_h5/conv2d_bn.h5", {"model.h5"}},
      {"safetensors",
       "model.safetensors",
       "safetensors/torch_good.safetensors",
       {"model.safetensors"}},
      {"torch", "model.pt", "torch/state_dict.pt", {"model.pt"}},
      {"keras",
       "model.keras",
       "keras3/k3_functional.keras",
       {"model.keras"},
       {{"config.json", "{}"}, {"variable_layout", kSmallLayout}}},
      {"keras-weights",
       "model.weights.h5",
       "keras3/k3_functional.weights.h5",
       {"model.weights.h5"},
       {{"variable_layout", kSmallLayout}}},
      {"npz", "model.npz", "npz/keras_net.npz", {"model.npz"}},
  };
  return samples;
}

// A small model with odd shapes; values in no pattern.
MemoryCheckpoint SmallModel() {
  MemoryCheckpoint checkpoint;
  const auto add = [&](const char* name, std::vector<std::int64_t> dims, Dtype dtype) {
    std::uint64_t count = 1;
    for (const auto dim : dims) count *= static_cast<std::uint64_t>(dim);
    std::vector<double> values(count);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<double>((i * 37 + dims.size()) % 113) / 8 - 5;
    checkpoint.Add(name, std::move(dims), values, dtype);
  };
  add("conv1/kernel", {3, 5, 2, 7}, Dtype::kF32);
  add("conv1/bias", {7}, Dtype::kF32);
  add("bn1/gamma", {7}, Dtype::kF32);
  add("bn1/moving_mean", {7}, Dtype::kF64);
  add("dense/kernel", {300, 41}, Dtype::kF32);
  add("half/kernel", {4, 3}, Dtype::kF16);
  add("step/count", {}, Dtype::kI64);
  add("none/kernel", {2, 0, 3}, Dtype::kF32);
  checkpoint.Seal();
  return checkpoint;
}

OutputModel ModelOf(const Checkpoint& checkpoint) {
  OutputModel model;
  model.tensors = checkpoint.manifest().tensors;
  model.open = [&checkpoint](std::size_t i) {
    return checkpoint.Open(TensorId{static_cast<std::uint32_t>(i)});
  };
  return model;
}

std::map<std::string, std::vector<std::byte>> Contents(const Checkpoint& checkpoint) {
  std::map<std::string, std::vector<std::byte>> contents;
  for (std::uint32_t i = 0; i < checkpoint.manifest().tensors.size(); ++i) {
    auto bytes = ReadBytes(checkpoint, TensorId{i}, 1 << 28);
    EXPECT_TRUE(bytes) << ToString(bytes.error());
    if (bytes) contents[checkpoint.manifest().tensors[i].name] = *bytes;
  }
  return contents;
}

// A file of each format, made by its framework.
struct RealFile {
  std::string format;
  std::string path;  // below testdata
};

std::vector<RealFile> RealFiles() {
  std::vector<RealFile> files = {{"tf-v1", "tf/v1/resnet/model.ckpt-200"},
                                 {"tf-meta", "tf1/mnist/trainable_only/model.ckpt-700.meta"},
                                 {"saved-model", "tf_graphs/tf2.15/served/1"},
                                 {"graph-def", "tf_graphs/tf2.15/frozen.pb"},
                                 {"onnx", "onnx/conv1d_bn.onnx"},
                                 {"flax", "flax/train_state.msgpack"},
                                 {"darknet", "darknet/lone_alexeyab.weights"},
                                 {"caffe", "caffe/small.caffemodel"},
                                 {"mxnet", "mxnet/net-0010.params"},
                                 {"tfjs", "tfjs/float32/model.json"}};
  for (const Sample& sample : Samples()) files.push_back({sample.format, sample.real_file});
  return files;
}

class FormatReading : public ::testing::TestWithParam<RealFile> {
 protected:
  Result<std::unique_ptr<Checkpoint>> OpenRealFile() const {
    OpenOptions options;
    // Beside its checkpoint a .meta names that, unless it is asked for.
    if (GetParam().format == "tf-meta") options.format = "tf-meta";
    return OpenCheckpoint(std::string(CKPT_TESTDATA) + "/" + GetParam().path, options);
  }
};

class FormatContract : public ::testing::TestWithParam<Sample> {
 protected:
  const Format& format() const { return *FindFormat(GetParam().format); }
  // SmallModel, with what the format needs beside it.
  OutputModel ModelToWrite(const Checkpoint& checkpoint) const {
    OutputModel model = ModelOf(checkpoint);
    model.documents = GetParam().documents;
    return model;
  }
};

TEST_P(FormatReading, ListsTheRealFileInOrderAndComplete) {
  const auto checkpoint = OpenRealFile();
  ASSERT_TRUE(checkpoint) << ToString(checkpoint.error());
  EXPECT_EQ((*checkpoint)->format(), GetParam().format);
  const Manifest& manifest = (*checkpoint)->manifest();
  ASSERT_FALSE(manifest.tensors.empty());
  EXPECT_FALSE(manifest.files.empty());
  for (const std::string& file : manifest.files)
    EXPECT_TRUE(std::filesystem::is_regular_file(file)) << file;
  for (std::size_t i = 0; i < manifest.tensors.size(); ++i) {
    const TensorInfo& info = manifest.tensors[i];
    if (i > 0) {
      EXPECT_LT(manifest.tensors[i - 1].name, info.name);
    }
    EXPECT_FALSE(info.stored_as.empty());
    if (BitSize(info.dtype) != 0) {
      EXPECT_EQ(info.byte_size, info.shape.element_count() * BitSize(info.dtype) / 8);
    }
  }
}

TEST_P(FormatReading, StreamsWholeTensorsInBoundedChunks) {
  const auto checkpoint = OpenRealFile();
  ASSERT_TRUE(checkpoint) << ToString(checkpoint.error());
  for (std::uint32_t i = 0; i < (*checkpoint)->manifest().tensors.size(); ++i) {
    const TensorInfo& info = (*checkpoint)->manifest().tensors[i];
    auto stream = (*checkpoint)->Open(TensorId{i});
    if (GetParam().format == "tf-meta") {  // a graph by itself: it says that it has no values
      ASSERT_FALSE(stream) << info.name;
      EXPECT_EQ(stream.error().tensor, info.name);
      continue;
    }
    ASSERT_TRUE(stream) << ToString(stream.error());
    std::uint64_t total = 0;
    while (true) {
      const auto chunk = (*stream)->Next();
      ASSERT_TRUE(chunk) << ToString(chunk.error());
      if (chunk->empty()) break;
      EXPECT_LE(chunk->size(), std::size_t{8} << 20);
      total += chunk->size();
    }
    EXPECT_EQ(total, info.byte_size) << info.name;
  }
}

TEST_P(FormatContract, WritesWhatItReadsBack) {
  const TemporaryFolder folder;
  const MemoryCheckpoint source = SmallModel();
  const auto written = ckpt::testing::Committed(format().write, folder / GetParam().output,
                                                ModelToWrite(source), {});
  ASSERT_TRUE(written) << ToString(written.error());
  EXPECT_EQ(folder.Names(), GetParam().files_of_output);
  const auto back = OpenCheckpoint(folder / GetParam().output);
  ASSERT_TRUE(back) << ToString(back.error());
  ASSERT_EQ((*back)->manifest().tensors.size(), source.manifest().tensors.size());
  for (std::size_t i = 0; i < source.manifest().tensors.size(); ++i) {
    const TensorInfo& meant = source.manifest().tensors[i];
    const TensorInfo& found = (*back)->manifest().tensors[i];
    EXPECT_EQ(found.name, meant.name);
    EXPECT_EQ(found.dtype, meant.dtype);
    EXPECT_EQ(found.shape, meant.shape) << meant.name;
  }
  EXPECT_EQ(Contents(**back), Contents(source));
}

TEST_P(FormatContract, WritesTheSameBytesEachTime) {
  const TemporaryFolder one, two;
  const MemoryCheckpoint source = SmallModel();
  ASSERT_TRUE(
      ckpt::testing::Committed(format().write, one / GetParam().output, ModelToWrite(source), {}));
  ASSERT_TRUE(
      ckpt::testing::Committed(format().write, two / GetParam().output, ModelToWrite(source), {}));
  for (const std::string& name : GetParam().files_of_output) {
    EXPECT_EQ(one.Read(name), two.Read(name)) << name;
  }
}

TEST_P(FormatContract, KeepsAnExistingFileUnlessItMayReplaceIt) {
  const TemporaryFolder folder;
  const std::string marker = folder / GetParam().files_of_output.back();
  ckpt::testing::WriteFile(marker, "precious");
  const MemoryCheckpoint source = SmallModel();
  const auto refused = ckpt::testing::Committed(format().write, folder / GetParam().output,
                                                ModelToWrite(source), {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(ckpt::testing::ReadFile(marker), "precious");
  EXPECT_EQ(folder.Names().size(), 1U);
  EXPECT_TRUE(ckpt::testing::Committed(format().write, folder / GetParam().output,
                                       ModelToWrite(source), {.replace = true}));
  EXPECT_NE(ckpt::testing::ReadFile(marker), "precious");
}

TEST_P(FormatContract, LeavesNothingWhenATensorCannotBeRead) {
  const TemporaryFolder folder;
  MemoryCheckpoint source = SmallModel();
  source.Break("dense/kernel",
               Error{ErrorCode::kCorrupt, "checksum mismatch", "model", 12, "dense/kernel"});
  const auto failed = ckpt::testing::Committed(format().write, folder / GetParam().output,
                                               ModelToWrite(source), {});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kCorrupt);
  EXPECT_TRUE(folder.Names().empty());
}

TEST_P(FormatContract, AFileCutAtAnyTenthIsRefusedOrMarked) {
  const TemporaryFolder folder;
  ASSERT_TRUE(ckpt::testing::Committed(format().write, folder / GetParam().output,
                                       ModelToWrite(SmallModel()), {}));
  for (const std::string& name : GetParam().files_of_output) {
    const std::string whole = ckpt::testing::ReadFile(folder / name);
    for (std::size_t tenth = 0; tenth < 10; ++tenth) {
      ckpt::testing::WriteFile(folder / name, whole.substr(0, whole.size() * tenth / 10));
      const auto checkpoint = OpenCheckpoint(folder / GetParam().output);
      if (!checkpoint) {
        EXPECT_FALSE(checkpoint.error().message.empty());
        EXPECT_FALSE(checkpoint.error().file.empty()) << checkpoint.error().message;
        continue;
      }
      // An index that is whole may open; then the manifest says that bytes are missing.
      EXPECT_FALSE((*checkpoint)->manifest().problems.empty())
          << name << " cut to " << tenth << " tenths";
    }
    ckpt::testing::WriteFile(folder / name, whole);
  }
}

std::string TestName(std::string format) {
  std::replace(format.begin(), format.end(), '-', '_');
  return format;
}

INSTANTIATE_TEST_SUITE_P(EveryFormat, FormatContract, ::testing::ValuesIn(Samples()),
                         [](const auto& instance) { return TestName(instance.param.format); });
INSTANTIATE_TEST_SUITE_P(EveryFormat, FormatReading, ::testing::ValuesIn(RealFiles()),
                         [](const auto& instance) { return TestName(instance.param.format); });

// What these write is a graph with its weights; the model of this suite has no graph. Their writers
// have suites of their own, and the frameworks load what they write.
bool WritesAGraph(const Format& format) {
  return format.name == "onnx" || format.name == "saved-model" || format.name == "graph-def";
}

TEST(FormatTable, EveryFormatIsReadInThisSuite) {
  const std::vector<RealFile> files = RealFiles();
  for (const Format& format : BuiltinFormats()) {
    EXPECT_TRUE(std::any_of(files.begin(), files.end(), [&](const RealFile& file) {
      return file.format == format.name;
    })) << format.name;
  }
}

TEST(FormatTable, EveryWritableFormatIsInThisSuite) {
  for (const Format& format : BuiltinFormats()) {
    if (format.write == nullptr || WritesAGraph(format)) continue;
    EXPECT_TRUE(std::any_of(Samples().begin(), Samples().end(), [&](const Sample& sample) {
      return sample.format == format.name;
    })) << format.name;
  }
}

}  // namespace
}  // namespace ckpt::formats
