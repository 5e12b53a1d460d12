// What every format owes, over each row of the table: reading, and writing where it is written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "ckpt/formats/format.h"
#include "ckpt/serving.h"
#include "formats/encoding/checksum.h"
#include "tests/support/committed.h"
#include "tests/support/memory_checkpoint.h"
#include "tests/support/paths.h"
#include "tests/support/program.h"

namespace ckpt::formats::format_contract_test {
namespace {

using ckpt::testing::MemoryCheckpoint;
using ckpt::testing::TemporaryFolder;

// What is written: the tensors of `source`, which may read another checkpoint.
struct Subject {
  std::shared_ptr<const Checkpoint> read = {}, source = {};
  OutputModel model = {};
};

// What differs between formats in this suite.
struct Sample {
  std::string format;
  std::string output;                        // name of a file to write
  std::string real_file;                     // made by the framework, below testdata
  std::vector<std::string> files_of_output;  // all files that writing it makes
  std::vector<Document> documents = {};      // what the format needs beside the tensors
  // Of a format whose files are graphs, which have tensors of their own; else SmallModel.
  Subject (*graph)() = nullptr;
};

// The variables of SmallModel as Keras 3 numbers them.
constexpr const char* kSmallLayout =
    "group\tlayers/conv2d\tconv1\nvariable\t0\tconv1/kernel\nvariable\t1\tconv1/bias\n"
    "group\tlayers/batch_normalization\tbn1\nvariable\t0\tbn1/gamma\nvariable\t1\tbn1/moving_mean\n"
    "group\tlayers/dense\tdense\nvariable\t0\tdense/kernel\n"
    "group\tlayers/dense_1\thalf\nvariable\t0\thalf/kernel\n"
    "group\tlayers/step\tstep\nvariable\t0\tstep/count\n"
    "group\tlayers/conv1d\tnone\nvariable\t0\tnone/kernel\n";

std::string RealPath(const std::string& path) { return ckpt::testing::TestData() + "/" + path; }

OutputModel ModelOf(const std::shared_ptr<const Checkpoint>& checkpoint) {
  OutputModel model;
  model.tensors = checkpoint->manifest().tensors;
  model.open = [checkpoint](std::size_t i) {
    return checkpoint->Open(TensorId{static_cast<std::uint32_t>(i)});
  };
  return model;
}

std::shared_ptr<const Checkpoint> Opened(const std::string& path) {
  auto checkpoint = OpenCheckpoint(RealPath(path));
  if (!checkpoint) throw std::runtime_error(ToString(checkpoint.error()));
  return *std::move(checkpoint);
}

// A model of ONNX as it is.
Subject OnnxGraph() {
  Subject subject{.source = Opened("onnx/conv1d_bn.onnx")};
  subject.model = ModelOf(subject.source);
  const Manifest& manifest = subject.source->manifest();
  auto documents = FindFormat("onnx")->rewrite(manifest, {});
  if (!documents) throw std::runtime_error(ToString(documents.error()));
  subject.model.documents = *std::move(documents);
  subject.model.metadata = manifest.metadata;
  subject.model.graph = manifest.graph;
  return subject;
}

// The serving graph of a SavedModel, whose variables become variables or constants.
Subject ServingGraph() {
  Subject subject{.read = Opened("tf_graphs/tf2.15/served/1")};
  auto serving = MakeServingModel(*subject.read, {});
  if (!serving) throw std::runtime_error(ToString(serving.error()));
  subject.source = *std::move(serving);
  subject.model = ModelOf(subject.source);
  subject.model.ops = subject.source->manifest().ops;
  return subject;
}

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
      {"onnx", "model.onnx", "onnx/conv1d_bn.onnx", {"model.onnx"}, {}, OnnxGraph},
      {"saved-model",
       "model",
       "tf_graphs/tf2.15/served/1",
       {"model/saved_model.pb", "model/variables/variables.data-00000-of-00001",
        "model/variables/variables.index"},
       {},
       ServingGraph},
      {"graph-def", "model.pb", "tf_graphs/tf2.15/frozen.pb", {"model.pb"}, {}, ServingGraph},
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
    return OpenCheckpoint(RealPath(GetParam().path), options);
  }
};

// All files below the folder, by their path in it.
std::vector<std::string> FilesIn(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_directory())
      files.push_back(std::filesystem::relative(entry.path(), folder).string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

class FormatContract : public ::testing::TestWithParam<Sample> {
 protected:
  const Format& format() const { return *FindFormat(GetParam().format); }
  Subject ToWrite() const {
    if (GetParam().graph != nullptr) return GetParam().graph();
    Subject subject{.source = std::make_shared<MemoryCheckpoint>(SmallModel())};
    subject.model = ModelOf(subject.source);
    subject.model.documents = GetParam().documents;
    return subject;
  }
  // As the row says; the folder that it is in is there.
  std::string MarkerIn(const TemporaryFolder& folder) const {
    const std::string output = folder / GetParam().output;
    const std::filesystem::path marker =
        format().marker == nullptr ? std::filesystem::path(output) : format().marker(output);
    std::filesystem::create_directories(marker.parent_path());
    return marker.string();
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
  const Subject subject = ToWrite();
  const auto written =
      ckpt::testing::Committed(format().write, folder / GetParam().output, subject.model, {});
  ASSERT_TRUE(written) << ToString(written.error());
  EXPECT_EQ(FilesIn(folder.path()), GetParam().files_of_output);
  const auto back = OpenCheckpoint(folder / GetParam().output);
  ASSERT_TRUE(back) << ToString(back.error());
  EXPECT_EQ((*back)->format(), GetParam().format);
  const Manifest& meant = subject.source->manifest();
  // A graph lists constants of its own beside the tensors that it was given.
  if (!format().holds_operations) {
    EXPECT_EQ((*back)->manifest().tensors.size(), meant.tensors.size());
  }
  const auto contents = Contents(**back);
  for (const auto& [name, bytes] : Contents(*subject.source)) {
    const auto found = FindTensor((*back)->manifest(), name);
    ASSERT_TRUE(found) << name;
    const TensorInfo& one = (*back)->manifest().tensors[found->index];
    const TensorInfo& other = meant.tensors[FindTensor(meant, name)->index];
    EXPECT_EQ(one.name, other.name);
    EXPECT_EQ(one.dtype, other.dtype) << name;
    EXPECT_EQ(one.shape, other.shape) << name;
    EXPECT_EQ(contents.at(name), bytes) << name;
  }
}

TEST_P(FormatContract, WritesTheSameBytesEachTime) {
  const TemporaryFolder one, two;
  const Subject subject = ToWrite();
  ASSERT_TRUE(ckpt::testing::Committed(format().write, one / GetParam().output, subject.model, {}));
  ASSERT_TRUE(ckpt::testing::Committed(format().write, two / GetParam().output, subject.model, {}));
  for (const std::string& name : GetParam().files_of_output) {
    EXPECT_EQ(one.Read(name), two.Read(name)) << name;
  }
}

TEST_P(FormatContract, KeepsAnExistingFileUnlessItMayReplaceIt) {
  const TemporaryFolder folder;
  const std::string marker = MarkerIn(folder);
  ckpt::testing::WriteFile(marker, "precious");
  const Subject subject = ToWrite();
  const auto refused =
      ckpt::testing::Committed(format().write, folder / GetParam().output, subject.model, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(refused.error().remedy, Remedy::kReplaceOutput);
  EXPECT_EQ(ckpt::testing::ReadFile(marker), "precious");
  EXPECT_EQ(FilesIn(folder.path()).size(), 1U);
  EXPECT_TRUE(ckpt::testing::Committed(format().write, folder / GetParam().output, subject.model,
                                       {.replace = true}));
  EXPECT_NE(ckpt::testing::ReadFile(marker), "precious");
}

TEST_P(FormatContract, LeavesNothingWhenATensorCannotBeRead) {
  const TemporaryFolder folder;
  Subject subject = ToWrite();
  const std::size_t broken = subject.model.tensors.size() / 2;
  subject.model.open = [open = subject.model.open,
                        broken](std::size_t i) -> Result<std::unique_ptr<TensorStream>> {
    if (i == broken) return Fail(Error{ErrorCode::kCorrupt, "checksum mismatch"}.In("model"));
    return open(i);
  };
  const auto failed =
      ckpt::testing::Committed(format().write, folder / GetParam().output, subject.model, {});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kCorrupt);
  EXPECT_TRUE(folder.Names().empty());
}

TEST_P(FormatContract, AFileCutAtAnyTenthIsRefusedOrMarked) {
  const TemporaryFolder folder;
  ASSERT_TRUE(
      ckpt::testing::Committed(format().write, folder / GetParam().output, ToWrite().model, {}));
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
    if (format.write == nullptr) continue;
    EXPECT_TRUE(std::any_of(Samples().begin(), Samples().end(), [&](const Sample& sample) {
      return sample.format == format.name;
    })) << format.name;
  }
}

// What holds a graph of operations is not written from tensors alone, and says so.
TEST(FormatTable, AFormatOfOperationsRefusesAModelWithoutOperations) {
  std::size_t formats = 0;
  for (const Format& format : BuiltinFormats()) {
    if (!format.holds_operations) continue;
    ++formats;
    const TemporaryFolder folder;
    const auto refused = ckpt::testing::Committed(
        format.write, folder / "out", ModelOf(std::make_shared<MemoryCheckpoint>(SmallModel())));
    ASSERT_FALSE(refused) << format.name;
    EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported) << format.name;
    EXPECT_TRUE(folder.Names().empty()) << format.name;
  }
  EXPECT_EQ(formats, 2U);
}

// A folder that both wrote holds both files: who is asked for gets his own.
TEST(FormatTable, AFormatThatIsNamedResolvesAFolderByItself) {
  const TemporaryFolder folder;
  std::filesystem::copy(RealPath("safetensors/torch_good.safetensors"),
                        folder / "model.safetensors");
  std::filesystem::copy(RealPath("torch/state_dict.pt"), folder / "pytorch_model.bin");
  const auto first = OpenCheckpoint(folder.path());
  ASSERT_TRUE(first) << ToString(first.error());
  EXPECT_EQ((*first)->format(), "safetensors");
  const auto named = OpenCheckpoint(folder.path(), {.format = "torch"});
  ASSERT_TRUE(named) << ToString(named.error());
  EXPECT_EQ((*named)->format(), "torch");
  EXPECT_EQ((*named)->input_name().note, "the folder's checkpoint is pytorch_model.bin");
}

}  // namespace
}  // namespace ckpt::formats::format_contract_test
