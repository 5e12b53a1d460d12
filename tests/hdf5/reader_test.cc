// What is read of good files: everything that h5py reads of them.
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <map>
#include <thread>

#include "formats/hdf5/hdf5_elements.h"
#include "tests/hdf5/hdf5_support.h"

namespace ckpt::formats::reader_test {
namespace {

using ::ckpt::testing::CountDatasets;
using ::ckpt::testing::ExpectDataset;
using ::ckpt::testing::OpenHdf5;
using ::ckpt::testing::OpenHdf5Bytes;
using ::ckpt::testing::ReadDataset;
using ::ckpt::testing::ReadExpected;
using ::ckpt::testing::Testdata;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Files with a list of what h5py reads, in the folders of that list.
std::vector<std::string> ExpectedFiles() {
  std::vector<std::string> files;
  for (const char* folder : {"hdf5", "keras_h5", "keras_h5_variants", "bad_values"}) {
    for (const auto& entry : std::filesystem::directory_iterator(Testdata(folder))) {
      const std::string name = entry.path().filename().string();
      if (name.ends_with(".h5") &&
          std::filesystem::exists(entry.path().string() + ".expected.json"))
        files.push_back(std::string(folder) + "/" + name);
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

class EveryFile : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryFile, HasTheDatasetsThatH5pyReads) {
  const auto path = Testdata(GetParam());
  const auto file = OpenHdf5(path);
  if (!file && file.error().code == ErrorCode::kUnsupported &&
      file.error().message.find("a newer one may have written") != std::string::npos) {
    GTEST_SKIP() << ToString(file.error());
  }
  ASSERT_TRUE(file) << ToString(file.error());
  const auto expected = ReadExpected(path.string() + ".expected.json");
  std::size_t tensors = 0;
  for (const auto& tensor : expected["tensors"]) {
    ExpectDataset(**file, tensor);
    ++tensors;
  }
  // h5py's walk meets an object once, however many links it has.
  EXPECT_EQ(CountDatasets(**file), tensors + ((*file)->Find("/hard_link") != nullptr ? 1 : 0));
}

INSTANTIATE_TEST_SUITE_P(Hdf5, EveryFile, ::testing::ValuesIn(ExpectedFiles()),
                         [](const auto& name) {
                           std::string plain = name.param;
                           for (char& c : plain) c = std::isalnum(c) ? c : '_';
                           return plain;
                         });

const Hdf5Attribute& AttributeAt(const Hdf5File& file, const std::string& key) {
  static const Hdf5Attribute none{};
  const std::size_t at = key.find('@');
  const Hdf5Object* object = file.Find(key.substr(0, at));
  const Hdf5Attribute* attribute =
      object == nullptr ? nullptr : object->FindAttribute(key.substr(at + 1));
  EXPECT_NE(attribute, nullptr) << key;
  return attribute == nullptr ? none : *attribute;
}

void ExpectLong(const Hdf5Attribute& attribute, std::uint32_t crc) {
  if (const std::string* text = attribute.text()) {
    EXPECT_EQ(Crc32(std::as_bytes(std::span(*text))), crc);
  } else {
    ASSERT_TRUE(std::holds_alternative<std::vector<double>>(attribute.value));
    EXPECT_EQ(Crc32(std::as_bytes(std::span(std::get<std::vector<double>>(attribute.value)))), crc);
  }
}

void ExpectAttribute(const Hdf5Attribute& attribute, const nlohmann::json& expected) {
  const auto dims = expected["shape"].get<std::vector<std::int64_t>>();
  EXPECT_EQ(attribute.shape, *Shape::FromDims(dims));
  if (expected.contains("crc32")) return ExpectLong(attribute, expected["crc32"]);
  const auto& values = expected["values"];
  if (values.is_null()) {
    EXPECT_TRUE(std::holds_alternative<std::monostate>(attribute.value));
  } else if (values.empty()) {
    EXPECT_EQ(attribute.texts(), std::vector<std::string>{});
  } else if (values[0].is_string()) {
    EXPECT_EQ(attribute.texts(), values.get<std::vector<std::string>>());
  } else if (values[0].is_number_integer()) {
    EXPECT_EQ(std::get<std::vector<std::int64_t>>(attribute.value),
              values.get<std::vector<std::int64_t>>());
  } else {
    EXPECT_EQ(std::get<std::vector<double>>(attribute.value), values.get<std::vector<double>>());
  }
}

TEST(Hdf5Attributes, AreWhatH5pyReads) {
  for (const char* name : {"hdf5/attributes.h5", "hdf5/attributes_v110.h5", "hdf5/small.h5"}) {
    const auto file = OpenHdf5(Testdata(name));
    ASSERT_TRUE(file) << ToString(file.error());
    const auto expected = ReadExpected(Testdata(name).string() + ".expected.json")["attributes"];
    EXPECT_GT(expected.size(), 0U);
    std::size_t found = 0;
    for (const auto& [key, value] : expected.items()) {
      SCOPED_TRACE(key);
      ExpectAttribute(AttributeAt(**file, key), value);
    }
    for (const Hdf5Object& object : (*file)->objects()) found += object.attributes.size();
    EXPECT_EQ(found, expected.size());
  }
}

TEST(Hdf5Attributes, TextIsNullUnlessThereIsOneString) {
  const auto file = OpenHdf5(Testdata("hdf5/attributes.h5"));
  ASSERT_TRUE(file);
  EXPECT_EQ(*AttributeAt(**file, "/group@ascii").text(), "bytes of Keras");
  EXPECT_EQ(AttributeAt(**file, "/group@names").text(), nullptr);
  EXPECT_EQ(AttributeAt(**file, "/group@int").text(), nullptr);
  EXPECT_EQ(AttributeAt(**file, "/group@int").texts(), std::nullopt);
  EXPECT_EQ(AttributeAt(**file, "/group@null").texts(), std::nullopt);
}

TEST(Hdf5File, ListsGroupsAndDatasetsSortedByPath) {
  const auto file = OpenHdf5(Testdata("hdf5/small.h5"));
  ASSERT_TRUE(file) << ToString(file.error());
  std::vector<std::string> paths;
  for (const auto& object : (*file)->objects()) paths.push_back(object.path);
  EXPECT_THAT(paths, ElementsAre("/", "/layer", "/layer/bias", "/layer/kernel", "/text"));
  EXPECT_EQ((*file)->Find("/layer")->kind, Hdf5Object::Kind::kGroup);
  EXPECT_EQ((*file)->Find("/layer/kernel")->kind, Hdf5Object::Kind::kDataset);
  EXPECT_EQ((*file)->Find("layer"), nullptr);
}

TEST(Hdf5File, TellsWherePlainDatasetsStandAndWhatNeedsDecoding) {
  const auto numeric = OpenHdf5(Testdata("hdf5/numeric.h5"));
  ASSERT_TRUE(numeric) << ToString(numeric.error());
  for (const char* plain : {"/little/float32", "/little/float16", "/little/complex128", "/bool",
                            "/scalar", "/bfloat16", "/little/int8", "/float8"}) {
    EXPECT_TRUE((*numeric)->Find(plain)->data_offset) << plain;
  }
  // Five bytes do not divide a stream's chunk.
  for (const char* decoded : {"/big/float32", "/big/complex64", "/opaque"}) {
    EXPECT_FALSE((*numeric)->Find(decoded)->data_offset) << decoded;
  }
  const auto storage = OpenHdf5(Testdata("hdf5/storage.h5"));
  ASSERT_TRUE(storage) << ToString(storage.error());
  for (const auto& object : (*storage)->objects()) EXPECT_FALSE(object.data_offset) << object.path;
}

TEST(Hdf5File, AnAttributeNamesOnlyTypesThatHdf5Lacks) {
  const auto file = OpenHdf5(Testdata("hdf5/numeric.h5"));
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->Find("/bfloat16")->dtype, Dtype::kBF16);
  EXPECT_EQ((*file)->Find("/float8")->dtype, Dtype::kF8E4M3FN);
  EXPECT_EQ((*file)->Find("/misnamed")->dtype, Dtype::kVoid);
}

TEST(Hdf5File, ReadsTheSameFromMemory) {
  for (const char* name : {"hdf5/small.h5", "hdf5/numeric.h5", "keras_h5_variants/user_block.h5"}) {
    const auto source = SystemFiles().Open(Testdata(name));
    ASSERT_TRUE(source);
    std::vector<std::byte> bytes((*source)->size());
    ASSERT_TRUE((*source)->ReadAt(0, bytes));
    const auto file = OpenHdf5Bytes(std::move(bytes));
    ASSERT_TRUE(file) << ToString(file.error());
    const auto expected = ReadExpected(Testdata(name).string() + ".expected.json");
    for (const auto& tensor : expected["tensors"]) ExpectDataset(**file, tensor);
  }
}

TEST(Hdf5File, UnsupportedTypesAndFiltersAreListedAndNotRead) {
  const std::map<std::string, std::string> reasons = {
      {"/compound", "compound"},         {"/complex_of_integers", "compound"},
      {"/reference", "reference"},       {"/ragged", "variable-length"},
      {"/enumeration", "enumeration"},   {"/array", "array"},
      {"/long_double", "not IEEE"},      {"/lzf", "filter 32000 (lzf)"},
      {"/scale_offset", "scale-offset"}, {"/null", "null dataspace"}};
  const auto file = OpenHdf5(Testdata("hdf5/unsupported.h5"));
  ASSERT_TRUE(file) << ToString(file.error());
  EXPECT_EQ(CountDatasets(**file), reasons.size() + 1);
  for (const auto& [path, reason] : reasons) {
    const Hdf5Object* dataset = (*file)->Find(path);
    ASSERT_NE(dataset, nullptr) << path;
    EXPECT_THAT(dataset->unsupported, HasSubstr(reason));
    EXPECT_FALSE(dataset->dtype);
    const auto stream = (*file)->OpenDataset(*dataset);
    ASSERT_FALSE(stream);
    EXPECT_EQ(stream.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(stream.error().tensor, path);
  }
  const auto readable = ReadDataset(**file, *(*file)->Find("/readable"));
  EXPECT_TRUE(readable) << ToString(readable.error());
}

TEST(Hdf5File, AGroupIsNoDataset) {
  const auto file = OpenHdf5(Testdata("hdf5/small.h5"));
  ASSERT_TRUE(file);
  const auto stream = (*file)->OpenDataset(*(*file)->Find("/layer"));
  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error().code, ErrorCode::kInvalidArgument);
}

TEST(Hdf5File, StreamsOfOneFileTakeTurnsAndOutliveIt) {
  auto file = OpenHdf5(Testdata("hdf5/storage.h5"));
  ASSERT_TRUE(file) << ToString(file.error());
  const auto expected = ReadExpected(Testdata("hdf5/storage.h5").string() + ".expected.json");
  std::map<std::string, std::unique_ptr<TensorStream>> streams;
  std::map<std::string, std::vector<std::byte>> read;
  for (const auto& tensor : expected["tensors"]) {
    const auto path = tensor["name"].get<std::string>();
    auto stream = (*file)->OpenDataset(*(*file)->Find(path));
    ASSERT_TRUE(stream) << ToString(stream.error());
    streams[path] = *std::move(stream);
  }
  file->reset();
  for (bool more = true; more;) {
    more = false;
    for (auto& [path, stream] : streams) {
      const auto piece = stream->Next();
      ASSERT_TRUE(piece) << ToString(piece.error());
      read[path].insert(read[path].end(), piece->begin(), piece->end());
      more |= !piece->empty();
    }
  }
  for (const auto& tensor : expected["tensors"]) {
    EXPECT_EQ(ckpt::testing::HexCrc(read[tensor["name"]]), tensor["crc32"]) << tensor["name"];
  }
}

TEST(Hdf5File, ManyFilesAreReadFromManyThreads) {
  CKPT_NOT_UNDER_ADDRESS_SANITIZER();
  const auto expected = ReadExpected(Testdata("hdf5/storage.h5").string() + ".expected.json");
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 4; ++round) {
        const auto file = OpenHdf5(Testdata("hdf5/storage.h5"));
        ASSERT_TRUE(file) << ToString(file.error());
        for (const auto& tensor : expected["tensors"]) ExpectDataset(**file, tensor);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Hdf5File, OneFileIsReadFromManyThreads) {
  const auto file = OpenHdf5(Testdata("hdf5/storage.h5"));
  ASSERT_TRUE(file) << ToString(file.error());
  const auto expected = ReadExpected(Testdata("hdf5/storage.h5").string() + ".expected.json");
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      for (const auto& tensor : expected["tensors"]) ExpectDataset(**file, tensor);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Hdf5File, SurvivesTheThreadThatOpenedIt) {
  Result<std::unique_ptr<Hdf5File>> file = Fail(ErrorCode::kInternal, "not opened");
  std::thread([&] { file = OpenHdf5(Testdata("hdf5/storage.h5")); }).join();
  ASSERT_TRUE(file) << ToString(file.error());
  const auto bytes = ReadDataset(**file, *(*file)->Find("/gzip"));
  EXPECT_TRUE(bytes) << ToString(bytes.error());
}

TEST(Hdf5File, LeavesNeitherChildrenNorDescriptors) {
  const auto descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  const auto before = descriptors();
  {
    const auto kept = OpenHdf5(Testdata("hdf5/storage.h5"));
    const auto plain = OpenHdf5(Testdata("keras_h5/conv2d_bn.h5"));
    const auto refused = OpenHdf5(Testdata("malformed/keras_h5/soft_link.h5"));
    ASSERT_TRUE(kept && plain && !refused);
  }
  EXPECT_EQ(descriptors(), before);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

// Every range is cut into boxes that follow one another and stay within what was asked.
TEST(BoxAt, CoversAShapeInOrder) {
  for (const auto& dims : std::vector<std::vector<std::int64_t>>{
           {}, {7}, {3, 5}, {2, 3, 4}, {1, 6, 1, 2}, {4, 1, 3}}) {
    const Shape shape = *Shape::FromDims(dims);
    for (std::uint64_t most = 1; most <= shape.element_count() + 1; ++most) {
      for (std::uint64_t at = 0; at < shape.element_count();) {
        const ElementBox box = BoxAt(shape, at, most);
        std::uint64_t first = 0, last = 0;
        for (std::size_t axis = 0; axis < dims.size(); ++axis) {
          const auto extent = static_cast<std::uint64_t>(dims[axis]);
          ASSERT_LE(box.start[axis] + box.count[axis], extent);
          first = first * extent + box.start[axis];
          last = last * extent + box.start[axis] + box.count[axis] - 1;
        }
        ASSERT_EQ(first, at);
        ASSERT_EQ(last - first + 1, box.elements) << "not contiguous";
        ASSERT_LE(box.elements, most);
        at += box.elements;
      }
    }
  }
}

}  // namespace
}  // namespace ckpt::formats::reader_test
