// What is written, looked at through the HDF5 library itself and read back.
#include <gmock/gmock.h>
#include <hdf5.h>
#include <zlib.h>

#include <cstring>
#include <thread>

#include "ckpt/elements.h"
#include "formats/container/parted_checksum.h"
#include "formats/hdf5/hdf5_writer.h"
#include "tests/hdf5/hdf5_support.h"
#include "tests/support/temporary_folder.h"

namespace ckpt::formats::writer_test {
namespace {

using ::ckpt::testing::OpenHdf5;
using ::ckpt::testing::ReadDataset;
using ::ckpt::testing::TemporaryFolder;
using ::testing::HasSubstr;
using Charset = Hdf5Writer::Charset;
using StringKind = Hdf5Writer::StringKind;

std::vector<std::byte> Pattern(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = std::byte(i * 37 + 11);
  return bytes;
}

std::unique_ptr<Hdf5Writer> Create(const std::filesystem::path& path) {
  auto writer = Hdf5Writer::Create(path);
  EXPECT_TRUE(writer) << ToString(writer.error());
  return *std::move(writer);
}

// A file as Keras lays it out.
void FillModel(Hdf5Writer& into) {
  Hdf5Writer* const writer = &into;
  const std::vector<std::string> layers = {"conv", "relu"}, weights = {"conv/kernel:0"};
  ASSERT_TRUE(writer->SetText("/", "keras_version", "2.15.0"));
  ASSERT_TRUE(writer->SetText("/", "model_config", std::string(200000, '{'), Charset::kUtf8));
  ASSERT_TRUE(writer->CreateGroup("/model_weights/conv"));
  ASSERT_TRUE(writer->CreateGroup("/model_weights/relu"));
  ASSERT_TRUE(writer->SetTexts("/model_weights", "layer_names", layers, StringKind::kVariable));
  ASSERT_TRUE(writer->SetTexts("/model_weights/conv", "weight_names", weights));
  ASSERT_TRUE(writer->SetTexts("/model_weights/relu", "weight_names", {}));
  ASSERT_TRUE(writer->CreateDataset("/model_weights/conv/conv/kernel:0", Dtype::kF32,
                                    *Shape::FromDims({3, 3, 2, 5})));
  const auto bytes = Pattern(360);
  ASSERT_TRUE(writer->Append(std::span(bytes).first(100)));
  ASSERT_TRUE(writer->Append(std::span(bytes).subspan(100)));
  const Status closed = writer->Close();
  ASSERT_TRUE(closed) << ToString(closed.error());
}

void WriteModel(const std::filesystem::path& path) { FillModel(*Create(path)); }

TEST(Hdf5Writer, WritesAModelThatReadsBack) {
  const TemporaryFolder folder;
  WriteModel(folder / "model.h5");
  const auto file = OpenHdf5(folder / "model.h5");
  ASSERT_TRUE(file) << ToString(file.error());
  EXPECT_EQ((*file)->objects().size(), 6U);
  const auto attribute = [&](const char* object, const char* name) {
    return (*file)->Find(object)->FindAttribute(name);
  };
  EXPECT_EQ(*attribute("/", "keras_version")->text(), "2.15.0");
  EXPECT_EQ(*attribute("/", "model_config")->text(), std::string(200000, '{'));
  EXPECT_EQ(attribute("/model_weights", "layer_names")->texts(),
            (std::vector<std::string>{"conv", "relu"}));
  EXPECT_EQ(attribute("/model_weights/conv", "weight_names")->texts(),
            std::vector<std::string>{"conv/kernel:0"});
  EXPECT_EQ(attribute("/model_weights/relu", "weight_names")->texts(), std::vector<std::string>());
  const Hdf5Object* kernel = (*file)->Find("/model_weights/conv/conv/kernel:0");
  ASSERT_NE(kernel, nullptr);
  EXPECT_TRUE(kernel->data_offset);
  EXPECT_EQ(*ReadDataset(**file, *kernel), Pattern(360));
}

TEST(Hdf5Writer, WritesTheOldestFormatWithoutTimes) {
  const TemporaryFolder folder;
  WriteModel(folder / "a.h5");
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  WriteModel(folder / "b.h5");
  const std::string bytes = folder.Read("a.h5");
  EXPECT_EQ(bytes, folder.Read("b.h5"));
  EXPECT_EQ(bytes[8], 0) << "version of the superblock";
  EXPECT_EQ(bytes.find("OHDR"), std::string::npos) << "an object header of version 2";
  EXPECT_NE(bytes.find("SNOD"), std::string::npos) << "no symbol table";
}

// The type and dataspace of an attribute, as the library sees them.
struct Seen {
  H5T_class_t kind;
  bool variable;
  H5T_str_t padding;
  H5T_cset_t charset;
  std::size_t size;
  H5S_class_t space;
};

Seen Look(const std::filesystem::path& path, const char* object, const char* name) {
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  const hid_t attribute = H5Aopen_by_name(file, object, name, H5P_DEFAULT, H5P_DEFAULT);
  const hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
  Seen seen{};
  seen.kind = H5Tget_class(type);
  seen.size = H5Tget_size(type);
  seen.space = H5Sget_simple_extent_type(space);
  if (seen.kind == H5T_STRING) {
    seen.variable = H5Tis_variable_str(type) > 0;
    seen.padding = H5Tget_strpad(type);
    seen.charset = H5Tget_cset(type);
  }
  H5Sclose(space);
  H5Tclose(type);
  H5Aclose(attribute);
  H5Fclose(file);
  return seen;
}

TEST(Hdf5Writer, AttributesAreOfTheTypesThatH5pyWrites) {
  const TemporaryFolder folder;
  WriteModel(folder / "model.h5");
  const Seen version = Look(folder / "model.h5", "/", "keras_version");
  EXPECT_TRUE(version.kind == H5T_STRING && version.variable && version.space == H5S_SCALAR);
  EXPECT_EQ(version.charset, H5T_CSET_ASCII);
  EXPECT_EQ(Look(folder / "model.h5", "/", "model_config").charset, H5T_CSET_UTF8);
  const Seen names = Look(folder / "model.h5", "/model_weights", "layer_names");
  EXPECT_TRUE(names.kind == H5T_STRING && names.variable && names.space == H5S_SIMPLE);
  const Seen fixed = Look(folder / "model.h5", "/model_weights/conv", "weight_names");
  EXPECT_TRUE(fixed.kind == H5T_STRING && !fixed.variable);
  EXPECT_EQ(fixed.size, std::strlen("conv/kernel:0"));
  EXPECT_EQ(fixed.padding, H5T_STR_NULLPAD);
  const Seen none = Look(folder / "model.h5", "/model_weights/relu", "weight_names");
  EXPECT_TRUE(none.kind == H5T_FLOAT && none.size == 8 && none.space == H5S_SIMPLE);
}

TEST(Hdf5Writer, EveryTypeThatItHoldsReadsBack) {
  const TemporaryFolder folder;
  const std::vector<Dtype> dtypes = {Dtype::kBool, Dtype::kU8,  Dtype::kI8,   Dtype::kU16,
                                     Dtype::kI16,  Dtype::kU32, Dtype::kI32,  Dtype::kU64,
                                     Dtype::kI64,  Dtype::kF16, Dtype::kBF16, Dtype::kF32,
                                     Dtype::kF64,  Dtype::kC64, Dtype::kC128};
  const Shape shape = *Shape::FromDims({2, 3});
  {
    const auto writer = Create(folder / "types.h5");
    for (const Dtype dtype : dtypes) {
      ASSERT_TRUE(writer->CreateDataset("/" + std::string(Name(dtype)), dtype, shape));
      ASSERT_TRUE(writer->Append(Pattern(6 * BitSize(dtype) / 8)));
    }
    ASSERT_TRUE(writer->Close());
  }
  const auto file = OpenHdf5(folder / "types.h5");
  ASSERT_TRUE(file) << ToString(file.error());
  for (const Dtype dtype : dtypes) {
    SCOPED_TRACE(Name(dtype));
    const Hdf5Object* dataset = (*file)->Find("/" + std::string(Name(dtype)));
    ASSERT_NE(dataset, nullptr);
    EXPECT_EQ(dataset->dtype, dtype);
    EXPECT_EQ(dataset->shape, shape);
    EXPECT_EQ(*ReadDataset(**file, *dataset), Pattern(6 * BitSize(dtype) / 8));
  }
}

TEST(Hdf5Writer, ScalarsAndEmptyTensorsReadBack) {
  const TemporaryFolder folder;
  {
    const auto writer = Create(folder / "shapes.h5");
    ASSERT_TRUE(writer->CreateDataset("/scalar", Dtype::kF32, Shape()));
    ASSERT_TRUE(writer->Append(Pattern(4)));
    ASSERT_TRUE(writer->CreateDataset("/empty", Dtype::kF32, *Shape::FromDims({0, 3})));
    ASSERT_TRUE(writer->CreateDataset("/last", Dtype::kI64, *Shape::FromDims({1})));
    ASSERT_TRUE(writer->Append(Pattern(8)));
    ASSERT_TRUE(writer->Close());
  }
  const auto file = OpenHdf5(folder / "shapes.h5");
  ASSERT_TRUE(file) << ToString(file.error());
  EXPECT_EQ((*file)->Find("/scalar")->shape.rank(), 0U);
  EXPECT_EQ(*ReadDataset(**file, *(*file)->Find("/scalar")), Pattern(4));
  EXPECT_EQ(*ReadDataset(**file, *(*file)->Find("/empty")), std::vector<std::byte>());
  EXPECT_EQ(*ReadDataset(**file, *(*file)->Find("/last")), Pattern(8));
}

TEST(Hdf5Writer, RefusesWhatHdf5CannotHold) {
  const TemporaryFolder folder;
  const auto writer = Create(folder / "file.h5");
  const auto expect_unsupported = [](const Status& status, const char* what) {
    ASSERT_FALSE(status) << what;
    EXPECT_EQ(status.error().code, ErrorCode::kUnsupported) << what;
  };
  const Shape shape = *Shape::FromDims({2});
  for (const char* path : {"", "/", "a", "/a//b", "/a/", "/a/./b"}) {
    expect_unsupported(writer->CreateDataset(path, Dtype::kF32, shape), path);
  }
  expect_unsupported(writer->CreateDataset("/s", Dtype::kString, shape), "string");
  expect_unsupported(writer->CreateDataset("/f", Dtype::kF8E5M2, shape), "float8");
  expect_unsupported(
      writer->CreateDataset("/r", Dtype::kF32, *Shape::FromDims(std::vector<std::int64_t>(33, 1))),
      "rank 33");
  expect_unsupported(writer->SetText("/", "text", std::string_view("a\0b", 3)), "NUL");
  const std::vector<std::string> many(8065, "eight...");
  expect_unsupported(writer->SetTexts("/", "names", many), "above the limit");
  EXPECT_TRUE(writer->SetTexts("/", "names", std::span(many).first(8064)));
}

TEST(Hdf5Writer, ANameIsAGroupOrADataset) {
  const TemporaryFolder folder;
  const auto writer = Create(folder / "file.h5");
  ASSERT_TRUE(writer->CreateDataset("/a/b", Dtype::kU8, *Shape::FromDims({1})));
  ASSERT_TRUE(writer->Append(Pattern(1)));
  for (const char* path : {"/a", "/a/b", "/a/b/c"}) {
    const Status again = writer->CreateDataset(path, Dtype::kU8, *Shape::FromDims({1}));
    ASSERT_FALSE(again) << path;
    EXPECT_EQ(again.error().code, ErrorCode::kUnsupported);
    EXPECT_THAT(again.error().message, HasSubstr("two objects of one name"));
  }
  EXPECT_TRUE(writer->CreateGroup("/a"));
}

TEST(Hdf5Writer, MissingOrSurplusBytesAreDefects) {
  const TemporaryFolder folder;
  const auto writer = Create(folder / "file.h5");
  ASSERT_TRUE(writer->CreateDataset("/a", Dtype::kF32, *Shape::FromDims({2})));
  EXPECT_EQ(writer->Append(Pattern(9)).error().code, ErrorCode::kInternal);
  ASSERT_TRUE(writer->Append(Pattern(7)));
  EXPECT_EQ(writer->CreateDataset("/b", Dtype::kF32, Shape()).error().code, ErrorCode::kInternal);
  EXPECT_EQ(writer->Close().error().code, ErrorCode::kInternal);
  ASSERT_TRUE(writer->Append(Pattern(1)));
  EXPECT_TRUE(writer->Close());
}

TEST(Hdf5Writer, AFolderThatIsNotThereIsAnIoError) {
  const auto writer = Hdf5Writer::Create("/nonexistent/file.h5");
  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().code, ErrorCode::kIo);
}

TEST(Hdf5Writer, AFileWithinAnotherHasTheBytesThatItHasByItself) {
  const TemporaryFolder folder;
  WriteModel(folder / "alone.h5");
  const std::string alone = folder.Read("alone.h5");
  for (const std::size_t before : {0U, 1U, 511U, 100'003U}) {
    const std::string head(before, 'x');
    folder.Write("archive", head);
    PartedChecksum checksum;
    const auto writer = Hdf5Writer::CreateWithin(folder / "archive", checksum);
    ASSERT_TRUE(writer) << ToString(writer.error());
    FillModel(**writer);
    EXPECT_EQ(folder.Read("archive"), head + alone);
    const auto crc32 = checksum.Of(**SystemFiles().Open(folder / "archive"), before);
    ASSERT_TRUE(crc32) << ToString(crc32.error());
    EXPECT_EQ(*crc32, ::crc32(0, reinterpret_cast<const Bytef*>(alone.data()),
                              static_cast<uInt>(alone.size())));
  }
}

TEST(Hdf5Writer, AFileIsWrittenWithinOneThatIsThere) {
  const TemporaryFolder folder;
  PartedChecksum checksum;
  const auto writer = Hdf5Writer::CreateWithin(folder / "none", checksum);
  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().code, ErrorCode::kIo);
  EXPECT_TRUE(folder.Names().empty());
}

TEST(Hdf5Writer, AFileThatCannotBeWrittenIsAnIoError) {
  const auto writer = Hdf5Writer::Create("/dev/full");
  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().code, ErrorCode::kIo);
}

TEST(Hdf5Writer, FilesAreReadWhileOthersAreWritten) {
  const TemporaryFolder folder;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 5; ++round) {
        const auto path = folder / (std::to_string(i) + ".h5");
        WriteModel(path);
        const auto file = OpenHdf5(path);
        ASSERT_TRUE(file) << ToString(file.error());
        EXPECT_EQ((*file)->objects().size(), 6U);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Hdf5Writer, AnOpenFileOfAnotherWriterIsNoConcernOfTheChild) {
  const TemporaryFolder folder;
  const auto writer = Create(folder / "open.h5");
  ASSERT_TRUE(writer->CreateDataset("/a", Dtype::kF32, *Shape::FromDims({2})));
  const auto file = OpenHdf5(ckpt::testing::Testdata("hdf5/storage.h5"));
  ASSERT_TRUE(file) << ToString(file.error());
  const auto bytes = ReadDataset(**file, *(*file)->Find("/gzip"));
  EXPECT_TRUE(bytes) << ToString(bytes.error());
  ASSERT_TRUE(writer->Append(Pattern(8)));
  ASSERT_TRUE(writer->Close());
  EXPECT_TRUE(OpenHdf5(folder / "open.h5"));
}

}  // namespace
}  // namespace ckpt::formats::writer_test
