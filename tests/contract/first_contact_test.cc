// What a user is told whose file is no checkpoint at all, under the name of each format.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {
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

}  // namespace
}  // namespace ckpt::formats
