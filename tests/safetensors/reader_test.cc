#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/safetensors/file_builder.h"
#include "tests/support/expected_tensors.h"
#include "tests/support/paths.h"

namespace ckpt::formats::reader_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

std::vector<std::string> Names(const Checkpoint& checkpoint) {
  std::vector<std::string> names;
  for (const TensorInfo& info : checkpoint.manifest().tensors) names.push_back(info.name);
  return names;
}

std::string Text(const Checkpoint& checkpoint, std::uint32_t index) {
  const auto bytes = testing::AllBytes(checkpoint, TensorId{index});
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(SafetensorsReader, ReadsTensorsByTheirOwnOffsets) {
  const auto opened = OpenBytes(FileOf(R"({"__metadata__":{"format":"pt","step":"7"},)"
                                       R"("b":{"dtype":"I8","shape":[3],"data_offsets":[2,5]},)"
                                       R"("a":{"dtype":"U16","shape":[1,1],"data_offsets":[0,2]}})",
                                       "xyabc"));
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  EXPECT_EQ((*opened)->format(), "safetensors");
  EXPECT_THAT(Names(**opened), ElementsAre("a", "b"));
  EXPECT_EQ(manifest.tensors[0].stored_as, "a");
  EXPECT_EQ(manifest.tensors[0].dtype, Dtype::kU16);
  EXPECT_EQ(ToString(manifest.tensors[0].shape), "[1, 1]");
  EXPECT_EQ(manifest.tensors[0].byte_size, 2U);
  EXPECT_EQ(manifest.tensors[0].data_file, "m.safetensors");
  EXPECT_EQ(Text(**opened, 0), "xy");
  EXPECT_EQ(Text(**opened, 1), "abc");
  EXPECT_THAT(manifest.metadata, ElementsAre(Pair("format", "pt"), Pair("step", "7")));
  EXPECT_EQ(manifest.framework, Framework::kPyTorch);
  EXPECT_THAT(manifest.files, ElementsAre("m.safetensors"));
}

TEST(SafetensorsReader, KnowsOnlyFrameworksThatTheFileRecords) {
  const auto framework = [](std::string_view header) {
    return (*OpenBytes(FileOf(header)))->manifest().framework;
  };
  EXPECT_EQ(framework(R"({"__metadata__":{"format":"tf"}})"), Framework::kTensorFlow);
  EXPECT_EQ(framework(R"({"__metadata__":{"format":"np"}})"), std::nullopt);
  EXPECT_EQ(framework(R"({"__metadata__":{}})"), std::nullopt);
  EXPECT_EQ(framework("{}"), std::nullopt);
}

// What the reference implementation takes, as it was observed to.
TEST(SafetensorsReader, AcceptsWhatTheReferenceAccepts) {
  const std::string two = R"({"dtype":"I8","shape":[2],"data_offsets":[0,2]})";
  const std::vector<std::pair<std::string, std::string>> headers = {
      {"empty object", "{}"},
      {"padding on both sides", " \n\t\r{} \n\t\r"},
      {"null metadata", R"({"__metadata__":null})"},
      {"scalar", R"({"a":{"dtype":"U16","shape":[],"data_offsets":[0,2]}})"},
      {"empty tensor before another",
       R"({"e":{"dtype":"F32","shape":[2,0],"data_offsets":[0,0]},"a":)" + two + "}"},
      {"empty tensor behind another",
       R"({"e":{"dtype":"F32","shape":[0],"data_offsets":[2,2]},"a":)" + two + "}"},
      {"empty tensors on one offset",
       R"({"d":{"dtype":"I8","shape":[0],"data_offsets":[2,2]},"e":{"dtype":"I8","shape":[0],"data_offsets":[2,2]},"a":)" +
           two + "}"},
      {"unknown field",
       R"({"a":{"x":{"y":[1,{"dtype":5}]},"dtype":"I8","shape":[2],"data_offsets":[0,2]}})"},
      {"deep unknown field", R"({"a":{"x":)" + std::string(120, '[') + std::string(120, ']') +
                                 R"(,"dtype":"I8","shape":[2],"data_offsets":[0,2]}})"},
      {"empty name", R"({"":)" + two + "}"},
      {"name with NUL", R"({"\u0000x":)" + two + "}"},
      {"escaped name", R"({"a\"\\\u00e9\ud83d\ude00":)" + two + "}"},
      {"nibbles", R"({"a":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}})"},
      {"unaligned data",
       R"({"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"I8","shape":[1],"data_offsets":[1,2]}})"},
  };
  for (const auto& [what, header] : headers) {
    SCOPED_TRACE(what);
    const bool has_data = header.find("data_offsets") != std::string::npos;
    const auto opened = OpenBytes(FileOf(header, has_data ? "ab" : ""));
    ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
    for (std::uint32_t i = 0; i < (*opened)->manifest().tensors.size(); ++i) {
      EXPECT_EQ(Text(**opened, i).size(), (*opened)->manifest().tensors[i].byte_size);
    }
  }
}

TEST(SafetensorsReader, DecodesEscapesInNames) {
  const auto opened = OpenBytes(FileOf(
      R"({"a\"\\\/\u00e9\ud83d\ude00\u0000":{"dtype":"I8","shape":[0],"data_offsets":[0,0]}})"));
  ASSERT_TRUE(opened.has_value());
  EXPECT_EQ((*opened)->manifest().tensors[0].name,
            std::string("a\"\\/\u00e9\U0001F600\0", 4 + 2 + 4 + 1));
}

TEST(SafetensorsReader, KnowsEveryDtypeAndItsSize) {
  const std::vector<std::tuple<std::string, Dtype, int>> rows = {
      {"BOOL", Dtype::kBool, 8},
      {"F4", Dtype::kF4E2M1, 4},
      {"F6_E2M3", Dtype::kF6E2M3, 6},
      {"F6_E3M2", Dtype::kF6E3M2, 6},
      {"U8", Dtype::kU8, 8},
      {"I8", Dtype::kI8, 8},
      {"F8_E5M2", Dtype::kF8E5M2, 8},
      {"F8_E4M3", Dtype::kF8E4M3FN, 8},
      {"F8_E8M0", Dtype::kF8E8M0, 8},
      {"F8_E4M3FNUZ", Dtype::kF8E4M3FNUZ, 8},
      {"F8_E5M2FNUZ", Dtype::kF8E5M2FNUZ, 8},
      {"I16", Dtype::kI16, 16},
      {"U16", Dtype::kU16, 16},
      {"F16", Dtype::kF16, 16},
      {"BF16", Dtype::kBF16, 16},
      {"I32", Dtype::kI32, 32},
      {"U32", Dtype::kU32, 32},
      {"F32", Dtype::kF32, 32},
      {"C64", Dtype::kC64, 64},
      {"F64", Dtype::kF64, 64},
      {"I64", Dtype::kI64, 64},
      {"U64", Dtype::kU64, 64}};
  for (const auto& [name, dtype, bits] : rows) {
    SCOPED_TRACE(name);
    const int bytes = bits * 4 / 8;
    const auto opened =
        OpenBytes(FileOf(R"({"a":{"dtype":")" + name + R"(","shape":[2,2],"data_offsets":[0,)" +
                             std::to_string(bytes) + "]}}",
                         std::string(static_cast<std::size_t>(bytes), 'x')));
    ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
    EXPECT_EQ((*opened)->manifest().tensors[0].dtype, dtype);
    EXPECT_EQ(Text(**opened, 0).size(), static_cast<std::size_t>(bytes));
  }
}

// Chunks hold whole elements also where an element has six bits: four in three bytes.
TEST(SafetensorsReader, StreamsInChunksOfWholeElements) {
  const std::size_t bytes = 3U << 20;
  std::string data(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) data[i] = static_cast<char>(i * 7 / 5);
  const auto opened = OpenBytes(
      FileOf(R"({"a":{"dtype":"F6_E2M3","shape":[4194304],"data_offsets":[0,3145728]}})", data));
  ASSERT_TRUE(opened.has_value());
  const auto stream = *(*opened)->Open(TensorId{0});
  std::string read;
  for (int chunks = 0;; ++chunks) {
    const auto chunk = stream->Next();
    ASSERT_TRUE(chunk.has_value());
    if (chunk->empty()) break;
    EXPECT_EQ(chunk->size() % 3, 0U);
    EXPECT_LE(chunk->size(), std::size_t{1} << 20);
    read.append(reinterpret_cast<const char*>(chunk->data()), chunk->size());
  }
  EXPECT_EQ(read, data);
  EXPECT_THAT(*stream->Next(), IsEmpty());
}

TEST(SafetensorsReader, NamesTheTensorWhenTheFileShrinksAfterOpening) {
  const auto path = std::filesystem::path(::testing::TempDir()) / "shrinks.safetensors";
  const std::string bytes =
      FileOf(R"({"w":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}})", "abcd");
  std::ofstream(path, std::ios::binary) << bytes;
  const auto opened = OpenSafetensors(SystemFiles(), path, {});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  std::filesystem::resize_file(path, bytes.size() - 1);
  const auto read = ReadBytes(**opened, TensorId{0}, 100);
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(read.error().tensor, "w");
  EXPECT_EQ(read.error().file, path.string());
  EXPECT_EQ(read.error().offset, bytes.size() - 1);
  std::filesystem::remove(path);
}

TEST(SafetensorsReader, StreamsAreIndependentAcrossThreads) {
  std::string header = "{", data;
  for (int i = 0; i < 8; ++i) {
    header += (i == 0 ? "" : ",") + std::string("\"t") + std::to_string(i) +
              R"(":{"dtype":"U8","shape":[1000],"data_offsets":[)" + std::to_string(i * 1000) +
              "," + std::to_string(i * 1000 + 1000) + "]}";
    data += std::string(1000, static_cast<char>('a' + i));
  }
  const auto opened = OpenBytes(FileOf(header + "}", data));
  ASSERT_TRUE(opened.has_value());
  std::vector<std::string> seen(8);
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] { seen[i] = Text(**opened, i); });
  }
  for (auto& thread : threads) thread.join();
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(seen[static_cast<std::size_t>(i)], std::string(1000, static_cast<char>('a' + i)));
  }
}

Match Probe(std::string_view name, std::string_view bytes) {
  const auto all = std::as_bytes(std::span(bytes));
  const auto head = all.first(std::min<std::size_t>(all.size(), 512));
  const auto tail = all.last(std::min<std::size_t>(all.size(), 65536));
  return ProbeSafetensors({name, head, tail, all.size()});
}

TEST(SafetensorsProbe, IsCertainByContentWhateverTheName) {
  EXPECT_EQ(Probe("x.bin", FileOf("{}")), Match::kCertain);
  EXPECT_EQ(Probe("x.bin", FileOf("  \n{ \"a\":")), Match::kCertain);
  EXPECT_EQ(Probe("x.json", R"({"metadata":{},"weight_map":{}})"), Match::kCertain);
}

TEST(SafetensorsProbe, TakesADamagedFileByItsSuffixAndNothingElse) {
  EXPECT_EQ(Probe("x.safetensors", ""), Match::kLikely);
  EXPECT_EQ(Probe("x.safetensors", SizePrefix(1000) + "{}"), Match::kLikely);
  EXPECT_EQ(Probe("x.safetensors.index.json", "{ broken"), Match::kLikely);
  EXPECT_EQ(Probe("x.bin", SizePrefix(1000) + "{}"), Match::kNo);
  EXPECT_EQ(Probe("x.bin", FileOf("[]")), Match::kNo);
  EXPECT_EQ(Probe("config.json", R"({"a":1})"), Match::kNo);
  EXPECT_EQ(Probe("x", ""), Match::kNo);
}

void ExpectLikeItsProducer(const std::filesystem::path& path) {
  SCOPED_TRACE(path);
  const auto opened = OpenSafetensors(SystemFiles(), path, {});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const auto expected = testing::ReadExpected(path.string() + ".expected.json");
  testing::ExpectTensors(**opened, expected);
  const auto metadata = expected["metadata"].is_null()
                            ? std::map<std::string, std::string>()
                            : expected["metadata"].get<std::map<std::string, std::string>>();
  EXPECT_EQ((*opened)->manifest().metadata, metadata);
}

TEST(SafetensorsGolden, ReadsWhatTheReferencePackageWrote) {
  const std::filesystem::path folder = ckpt::testing::TestData() + "/safetensors";
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".safetensors") continue;
    if (!std::filesystem::exists(entry.path().string() + ".expected.json")) continue;
    ExpectLikeItsProducer(entry.path());
    ++files;
  }
  EXPECT_GT(files, 0);
}

TEST(SafetensorsGolden, ReadsAShardedSetAsItsShardsTogether) {
  const std::filesystem::path folder = ckpt::testing::TestData() + "/safetensors/sharded";
  const auto name = ResolveSafetensorsFolder(SystemFiles(), folder);
  ASSERT_TRUE(name.has_value() && name->has_value());
  const auto opened = OpenSafetensors(SystemFiles(), folder / **name, {});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  EXPECT_THAT((*opened)->manifest().problems, IsEmpty());
  EXPECT_EQ((*opened)->manifest().note, "");
  std::size_t tensors = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!entry.path().string().ends_with(".expected.json")) continue;
    const auto shard = testing::ReadExpected(entry.path().string());
    for (const auto& tensor : shard["tensors"]) {
      testing::ExpectTensor(**opened, tensor, tensor["name"].get<std::string>());
      ++tensors;
    }
  }
  EXPECT_GT(tensors, 0U);
  EXPECT_EQ((*opened)->manifest().tensors.size(), tensors);
}

TEST(SafetensorsCorpus, ListsAndReadsThePublicT5) {
  const std::filesystem::path path =
      ckpt::testing::Corpus() +
      "/J3/onnxruntime/test/testdata/transformers/tiny_t5/model.safetensors";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no corpus";
  const auto opened = OpenSafetensors(SystemFiles(), path, {});
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  EXPECT_EQ(manifest.framework, Framework::kPyTorch);
  EXPECT_FALSE(manifest.tensors.empty());
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
    sum += testing::AllBytes(**opened, TensorId{i}).size();
  }
  std::ifstream file(path, std::ios::binary);
  std::array<char, 8> size{};
  file.read(size.data(), size.size());
  const std::uint64_t header = ByteReader(std::as_bytes(std::span(size))).U64();
  EXPECT_EQ(sum + 8 + header, std::filesystem::file_size(path));
}

}  // namespace
}  // namespace ckpt::formats::reader_test
