// What is refused, and in which words.
#include <gmock/gmock.h>

#include "formats/hdf5/hdf5_wire.h"
#include "formats/hdf5/hdf5_writer.h"
#include "tests/hdf5/hdf5_support.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::formats::refusal_test {
namespace {

using ::ckpt::testing::OpenHdf5;
using ::ckpt::testing::OpenHdf5Bytes;
using ::ckpt::testing::ReadDataset;
using ::ckpt::testing::Testdata;
using ::testing::HasSubstr;

struct Refusal {
  const char* file;
  ErrorCode code;
  const char* says;  // somewhere in the printed error
};

void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.file; }

class RefusedFile : public ::testing::TestWithParam<Refusal> {};

TEST_P(RefusedFile, IsRefusedAtOpeningAndNamed) {
  const auto file = OpenHdf5(Testdata(std::string("malformed/") + GetParam().file));
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, GetParam().code) << ToString(file.error());
  EXPECT_THAT(ToString(file.error()), HasSubstr(GetParam().says));
  EXPECT_THAT(ToString(file.error()), HasSubstr(GetParam().file));
}

constexpr const char* kKernel = "\"/model_weights/conv/conv/kernel:0\"";
INSTANTIATE_TEST_SUITE_P(
    Hdf5, RefusedFile,
    ::testing::Values(
        Refusal{"keras_h5/external_link.h5", ErrorCode::kUnsafe, kKernel},
        Refusal{"keras_h5/soft_link.h5", ErrorCode::kUnsafe, kKernel},
        Refusal{"keras_h5/soft_link_loop.h5", ErrorCode::kUnsafe, "is a soft link"},
        Refusal{"keras_h5/hard_link_loop.h5", ErrorCode::kUnsafe, "\"/model_weights/conv/loop\""},
        Refusal{"keras_h5/external_storage.h5", ErrorCode::kUnsafe, kKernel},
        Refusal{"keras_h5/virtual_dataset.h5", ErrorCode::kUnsafe, kKernel},
        Refusal{"keras_h5/truncated.h5", ErrorCode::kCorrupt, "truncated"},
        Refusal{"keras_h5/external.raw", ErrorCode::kCorrupt, "is not an HDF5 file"},
        Refusal{"hdf5/external_link_to_group.h5", ErrorCode::kUnsafe, "\"/group/link\""},
        Refusal{"hdf5/dangling_soft_link.h5", ErrorCode::kUnsafe, "\"/group/link\""},
        Refusal{"hdf5/group_linked_twice.h5", ErrorCode::kUnsafe, "linked a second time"},
        Refusal{"hdf5/group_in_itself.h5", ErrorCode::kUnsafe, "\"/a/self\""},
        Refusal{"hdf5/external_storage_of_passwords.h5", ErrorCode::kUnsafe, "\"/stolen\""},
        Refusal{"hdf5/virtual_dataset_growing.h5", ErrorCode::kUnsafe, "virtual dataset"},
        Refusal{"hdf5/shape_bomb_contiguous.h5", ErrorCode::kUnsafe, "stores 0"},
        Refusal{"hdf5/shape_bomb_chunked.h5", ErrorCode::kUnsafe, "declares 4398046511104 bytes"},
        Refusal{"hdf5/shape_bomb_strings.h5", ErrorCode::kUnsafe, "\"/bomb\""},
        Refusal{"hdf5/groups_too_deep.h5", ErrorCode::kLimitExceeded, "256 deep"}));

// A group whose name is long is in the path of each object below it.
TEST(Hdf5Limits, NamesTogetherAreBoundedByTheFile) {
  const ::ckpt::testing::TemporaryFolder folder;
  const std::string group = "/" + std::string(60000, 'n');
  const auto writer = Hdf5Writer::Create(folder / "long_names.h5");
  ASSERT_TRUE(writer) << ToString(writer.error());
  for (int i = 0; i < 1300; ++i) {
    const Status made =
        (*writer)->CreateDataset(group + "/" + std::to_string(i), Dtype::kF32, Shape{});
    ASSERT_TRUE(made) << ToString(made.error());
    ASSERT_TRUE((*writer)->Append(std::vector<std::byte>(4)));
  }
  ASSERT_TRUE((*writer)->Close());
  const auto file = OpenHdf5(folder / "long_names.h5");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kLimitExceeded);
  EXPECT_EQ(file.error().remedy, Remedy::kMoreMemory);
  Limits limits;
  limits.memory_bytes = 100'000'000;
  EXPECT_TRUE(OpenHdf5(folder / "long_names.h5", limits));
}

TEST(Hdf5Limits, AreNamedWhereTheyAreExceeded) {
  const auto open = [](const char* name, const Limits& limits) {
    return OpenHdf5(Testdata(name), limits);
  };
  const auto texts = open("hdf5/attributes.h5", {.metadata_bytes = 10000});
  ASSERT_FALSE(texts);
  EXPECT_EQ(texts.error().code, ErrorCode::kLimitExceeded);
  EXPECT_THAT(texts.error().message, HasSubstr("metadata_bytes"));

  const auto strings = open("hdf5/strings.h5", {.metadata_bytes = 10000});
  ASSERT_FALSE(strings);
  EXPECT_EQ(strings.error().code, ErrorCode::kLimitExceeded);
  EXPECT_THAT(strings.error().message, HasSubstr("metadata_bytes"));

  const auto objects = open("hdf5/numeric.h5", {.tensors = 5});
  ASSERT_FALSE(objects);
  EXPECT_EQ(objects.error().code, ErrorCode::kLimitExceeded);
  EXPECT_THAT(objects.error().message, HasSubstr("more than 5"));

  const auto names = open("hdf5/numeric.h5", {.name_bytes = 4});
  ASSERT_FALSE(names);
  EXPECT_EQ(names.error().code, ErrorCode::kLimitExceeded);

  const auto answer = open("hdf5/attributes.h5", {.index_bytes = 1000});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kLimitExceeded);
}

TEST(Hdf5Limits, AChunkAboveItsShareOfTheMemoryIsNotDecoded) {
  // long_rows has chunks of 400000 bytes, of which an eighth of 3 MB has no room.
  const auto file = OpenHdf5(Testdata("hdf5/storage.h5"), {.hdf5_memory_bytes = 3'000'000});
  if (!file) {  // so little memory may not even do for opening
    EXPECT_EQ(file.error().code, ErrorCode::kLimitExceeded) << ToString(file.error());
    return;
  }
  const auto bytes = ReadDataset(**file, *(*file)->Find("/long_rows"));
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().code, ErrorCode::kLimitExceeded);
  EXPECT_EQ(bytes.error().tensor, "/long_rows");
  EXPECT_THAT(bytes.error().message, HasSubstr("hdf5_memory_bytes"));
}

TEST(Hdf5File, SmallAndEmptyFilesAreNotHdf5) {
  for (const std::size_t size : {0U, 1U, 7U, 8U, 600U}) {
    const auto file = OpenHdf5Bytes(std::vector<std::byte>(size));
    ASSERT_FALSE(file);
    EXPECT_EQ(file.error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(file.error().file, "memory.h5");
  }
}

// ---- What a child that was taken over might say ----

class NamedFile : public RandomAccessFile {
 public:
  const std::string& path() const noexcept override { return path_; }
  std::uint64_t size() const noexcept override { return 1000; }
  Status ReadAt(std::uint64_t, std::span<std::byte>) const override { return {}; }

 private:
  std::string path_ = "lying.h5";
};

Hdf5Object Dataset() {
  return {.path = "/d",
          .kind = Hdf5Object::Kind::kDataset,
          .attributes = {{"a", *Shape::FromDims({2}), std::vector<std::string>{"x", "yz"}},
                         {"b", {}, std::vector<double>{0.5}},
                         {"c", {}, std::vector<std::int64_t>{-3}},
                         {"n", {}, {}}},
          .dtype = Dtype::kF32,
          .shape = *Shape::FromDims({2, 3}),
          .byte_size = 24,
          .stored_bytes = 24,
          .data_offset = 976};
}

Result<std::vector<Hdf5Object>> Relay(const Hdf5Object& object) {
  Hdf5AnswerWriter writer;
  writer.Add(object);
  const auto answer = std::move(writer).Take();
  CKPT_ASSIGN_OR_RETURN(const auto payload, DecodeAnswer(answer, "lying.h5"));
  return DecodeListing(payload, NamedFile(), Limits{});
}

TEST(Hdf5Wire, CarriesADatasetWhole) {
  const auto listing = Relay(Dataset());
  ASSERT_TRUE(listing) << ToString(listing.error());
  ASSERT_EQ(listing->size(), 1U);
  const Hdf5Object& object = listing->front();
  EXPECT_EQ(object.path, "/d");
  EXPECT_EQ(object.dtype, Dtype::kF32);
  EXPECT_EQ(object.shape, *Shape::FromDims({2, 3}));
  EXPECT_EQ(object.data_offset, 976U);
  ASSERT_EQ(object.attributes.size(), 4U);
  EXPECT_EQ(object.attributes[0].texts(), (std::vector<std::string>{"x", "yz"}));
  EXPECT_EQ(std::get<std::vector<double>>(object.attributes[1].value).front(), 0.5);
  EXPECT_EQ(std::get<std::vector<std::int64_t>>(object.attributes[2].value).front(), -3);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(object.attributes[3].value));
}

TEST(Hdf5Wire, RefusesADatasetThatContradictsItself) {
  const auto expect_refused = [](Hdf5Object object, const char* what) {
    const auto listing = Relay(object);
    ASSERT_FALSE(listing) << what;
    EXPECT_EQ(listing.error().code, ErrorCode::kCorrupt) << what;
    EXPECT_EQ(listing.error().file, "lying.h5");
  };
  Hdf5Object object = Dataset();
  object.byte_size = 28;
  expect_refused(object, "byte_size");
  object = Dataset();
  object.data_offset = 977;
  expect_refused(object, "end of file");
  object.data_offset = UINT64_MAX - 4;
  expect_refused(object, "offset that overflows");
  object = Dataset();
  object.stored_bytes = 1001;
  expect_refused(object, "stored_bytes");
  object = Dataset();
  object.dtype = Dtype::kI4;
  expect_refused(object, "a type of less than a byte");
  object = Dataset();
  object.dtype = Dtype::kVoid;
  object.byte_size = 25;
  expect_refused(object, "parts of elements");
  object = Dataset();
  object.dtype.reset();
  expect_refused(object, "no type and no reason");
  object = Dataset();
  object.attributes[0].shape = *Shape::FromDims({3});
  expect_refused(object, "count of values");
  object = Dataset();
  object.attributes[1].name = "a";
  expect_refused(object, "two attributes of one name");
}

TEST(Hdf5Wire, SurvivesEveryDamagedByteAndLength) {
  Hdf5AnswerWriter writer;
  writer.Add(Dataset());
  const auto answer = std::move(writer).Take();
  const std::vector<std::byte> payload(answer.begin() + 1, answer.end());
  const auto decode = [](std::span<const std::byte> bytes) {
    return DecodeListing(bytes, NamedFile(), Limits{});
  };
  for (std::size_t size = 1; size < payload.size(); ++size) {
    EXPECT_FALSE(decode(std::span(payload).first(size))) << size;
  }
  std::size_t refused = 0;
  for (std::size_t i = 0; i < payload.size() * 8; ++i) {
    auto damaged = payload;
    damaged[i / 8] ^= std::byte{1} << (i % 8);
    const auto listing = decode(damaged);
    if (!listing) ++refused;
    for (const Hdf5Object& object : listing ? *listing : std::vector<Hdf5Object>()) {
      EXPECT_LE(object.data_offset.value_or(0) + (object.data_offset ? object.byte_size : 0),
                1000U);
    }
  }
  EXPECT_GT(refused, payload.size());
}

TEST(Hdf5Wire, AnErrorKeepsItsWordsButNotAnImpossibleCode) {
  const Error said{ErrorCode::kUnsafe, "is a link", {}, {}, "/a"};
  const auto told = DecodeAnswer(EncodeError(said), "lying.h5");
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error().code, ErrorCode::kUnsafe);
  EXPECT_EQ(told.error().message, "is a link");
  EXPECT_EQ(told.error().tensor, "/a");
  EXPECT_EQ(told.error().file, "lying.h5");

  const auto interrupted = DecodeAnswer(EncodeError({ErrorCode::kInterrupted, "x"}), "lying.h5");
  ASSERT_FALSE(interrupted);
  EXPECT_EQ(interrupted.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(DecodeAnswer({}, "lying.h5").error().code, ErrorCode::kCorrupt);
}

// A disk that fails behind the first bytes.
class FailingFile : public RandomAccessFile {
 public:
  explicit FailingFile(std::unique_ptr<RandomAccessFile> file) : file_(std::move(file)) {}
  const std::string& path() const noexcept override { return file_->path(); }
  std::uint64_t size() const noexcept override { return file_->size(); }
  int descriptor() const noexcept override { return file_->descriptor(); }
  Status ReadAt(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= 64) return Fail(Error{ErrorCode::kIo, "cannot read: EIO", path(), offset, {}});
    return file_->ReadAt(offset, out);
  }

 private:
  std::unique_ptr<RandomAccessFile> file_;
};

TEST(Hdf5Refusal, ADiskThatFailsIsNoDamageOfTheFile) {
  auto file = SystemFiles().Open(Testdata("bad_values/absorbed.h5"));
  ASSERT_TRUE(file);
  const auto opened = Hdf5File::Open(std::make_shared<FailingFile>(*std::move(file)), {});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kIo) << ToString(opened.error());
}

}  // namespace
}  // namespace ckpt::formats::refusal_test
