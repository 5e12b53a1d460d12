// What a user is told whose file is no checkpoint at all, under the name of each format.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats::first_contact_test {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace std::string_literals;

struct Sample {
  const char* name;
  std::string bytes;
  const char* message;
};

std::string Ustar() {
  std::string bytes(512, 'a');
  return bytes.replace(257, 5, "ustar");
}

const std::vector<Sample>& Samples() {
  static const std::vector<Sample> samples = {
      {"text", "Not Found: see the release notes\n", "is a text, no binary file; it begins"},
      {"html", "<!DOCTYPE html>\n<html><head></head></html>", "is an HTML page"},
      {"late_html", "\n  <HTML lang=\"en\">", "is an HTML page"},
      {"json", "{\"error\": \"Repository not found\"}", "is a JSON text"},
      {"xml", "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "is an XML text"},
      {"lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
       "is a Git LFS pointer"},
      {"empty", "", "the file is empty"},
      {"gzip", "\x1f\x8b\x08\0\0\0\0\0"s + std::string(600, 'x'), "is a gzip file"},
      {"seven", "7z\xbc\xaf\x27\x1c"s + std::string(600, 'x'), "is a 7z archive"},
      {"rar", "Rar!\x1a\x07\x01\0"s + std::string(600, 'x'), "is a RAR archive"},
      {"tar", Ustar(), "is a tar archive"},
      {"png", "\x89PNG\r\n\x1a\n"s + std::string(600, 'x'), "is a PNG image"},
      {"gguf", "GGUF\x03\0\0\0"s + std::string(600, 'x'), "is a GGUF file"},
      {"ort", "\x1c\0\0\0ORTM"s + std::string(600, 'x'), "is an ONNX Runtime model (.ort)"},
      {"ncnn", "7767517\n75 83\nInput data 0 1 data 0=3\n", "is the graph of an ncnn model"},
      {"ncnn_binary", "\xdd\x85\x76\x00"s + std::string(600, 'x'), "is the graph of an ncnn model"},
      {"tflite", "\x1c\0\0\0TFL3"s + std::string(600, 'x'), "is a TensorFlow Lite model"},
  };
  return samples;
}

std::string RefusalOf(const std::string& name, const std::string& bytes) {
  MemoryFiles files;
  files.Add(name, bytes);
  const auto opened = OpenCheckpoint(files, name, {});
  return opened ? "read" : ToString(opened.error());
}

class FirstContact : public ::testing::TestWithParam<const char*> {};

TEST_P(FirstContact, SaysWhatTheFileIs) {
  for (const Sample& sample : Samples()) {
    EXPECT_THAT(RefusalOf("model" + std::string(GetParam()), sample.bytes),
                HasSubstr(sample.message))
        << sample.name;
  }
}

TEST_P(FirstContact, SaysThatAZipArchiveIsOneOrIsCut) {
  EXPECT_THAT(RefusalOf("model" + std::string(GetParam()), "PK\x03\x04" + std::string(100, 'x')),
              AnyOf(HasSubstr("cut short"), HasSubstr("is a zip archive: unpack it first")));
}

INSTANTIATE_TEST_SUITE_P(Names, FirstContact,
                         ::testing::Values(".onnx", ".pt", ".pth", ".bin", ".h5", ".weights.h5",
                                           ".keras", ".safetensors", ".npz", ".npy", ".msgpack",
                                           ".weights", ".caffemodel", ".params", ".ckpt"));

// A table and a graph are cut in a way of their own: no zip archive has these names.
INSTANTIATE_TEST_SUITE_P(TensorFlowNames, FirstContact, ::testing::Values(".index", ".pb"));

TEST(FirstContact, ATextUnderTheNameOfATextKeepsItsPlace) {
  EXPECT_THAT(RefusalOf("model.safetensors.index.json", "{\"weight_map\": 1}"),
              AllOf(HasSubstr("weight_map"), Not(HasSubstr("no binary file"))));
}

TEST(FirstContact, ATruncatedOnnxModelSaysSo) {
  const std::string graph = "\x08\x08\x3a\x7f"s + std::string(20, '\0');
  EXPECT_THAT(RefusalOf("m.onnx", graph), HasSubstr("cut short"));
}

TEST(FirstContact, RandomBytesAreNoOnnxModel) {
  EXPECT_THAT(RefusalOf("m.onnx", "\x1b\x1b\x1b\x1b"s), HasSubstr("no ONNX model"));
}

TEST(KnownFormats, AreToldByTheirNamesWithTheWayOut) {
  const std::string bytes = "\x08\x04\x12\x02"s + std::string(600, 'x');
  EXPECT_THAT(RefusalOf("net.mlmodel", bytes), HasSubstr("is a Core ML model"));
  EXPECT_THAT(RefusalOf("net.mnn", bytes), HasSubstr("is an MNN model"));
  EXPECT_THAT(RefusalOf("__0_0.distcp", bytes), HasSubstr("format_utils dcp_to_torch"));
}

std::string RefusalOfFolder(const std::vector<std::string>& names) {
  MemoryFiles files;
  for (const std::string& name : names) files.Add("run/" + name, "\x01x");
  const auto opened = OpenCheckpoint(files, "run", {});
  return opened ? "read" : ToString(opened.error());
}

TEST(Folders, OfFormatsThatAreNotReadAreNamedWithTheWayOut) {
  EXPECT_THAT(RefusalOfFolder({"__0_0.distcp", ".metadata"}),
              HasSubstr("torch.distributed.checkpoint.format_utils dcp_to_torch"));
  EXPECT_THAT(RefusalOfFolder({"zero_to_fp32.py", "latest"}), HasSubstr("python zero_to_fp32.py"));
  EXPECT_THAT(RefusalOfFolder({"_CHECKPOINT_METADATA", "_METADATA"}), HasSubstr("Orbax"));
  EXPECT_THAT(RefusalOfFolder({"saved_model.cpb"}), HasSubstr("in chunks"));
}

TEST(Folders, NameTheCheckpointsInThem) {
  EXPECT_THAT(RefusalOfFolder({"epoch=9.ckpt", "epoch=10.ckpt", "hparams.yaml", "optimizer.pt"}),
              HasSubstr("name one of the files in it: epoch=10.ckpt, epoch=9.ckpt"));
  EXPECT_THAT(RefusalOfFolder({"checkpoint-9/model.safetensors", "checkpoint-10/model.safetensors",
                               "logs/events.out"}),
              HasSubstr("name one of the folders in it: checkpoint-10/, checkpoint-9/"));
  EXPECT_THAT(RefusalOfFolder({"readme.md"}), HasSubstr("holds no checkpoint"));
}

}  // namespace
}  // namespace ckpt::formats::first_contact_test
