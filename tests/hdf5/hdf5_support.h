// Opening HDF5 files in tests, and comparing them with what h5py read.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "formats/hdf5/hdf5_file.h"
#include "tests/support/expected_tensors.h"
#include "tests/support/paths.h"

// The runtime of AddressSanitizer changes what a sandboxed child does: it needs system calls that
// the sandbox denies to end, and its allocator may be locked for ever in a child that was forked
// while other threads allocated.
#if defined(__SANITIZE_ADDRESS__)
#define CKPT_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CKPT_ADDRESS_SANITIZER 1
#endif
#endif
#ifndef CKPT_ADDRESS_SANITIZER
#define CKPT_ADDRESS_SANITIZER 0
#endif
#define CKPT_NOT_UNDER_ADDRESS_SANITIZER() \
  if (CKPT_ADDRESS_SANITIZER) GTEST_SKIP() << "not under AddressSanitizer, see hdf5_support.h"

namespace ckpt::testing {

inline std::filesystem::path Testdata(const std::string& name) {
  return std::filesystem::path(ckpt::testing::TestData()) / name;
}

inline Result<std::unique_ptr<formats::Hdf5File>> OpenHdf5(const std::filesystem::path& path,
                                                           const formats::Limits& limits = {}) {
  CKPT_ASSIGN_OR_RETURN(auto file, formats::SystemFiles().Open(path));
  return formats::Hdf5File::Open(std::move(file), limits);
}

inline Result<std::unique_ptr<formats::Hdf5File>> OpenHdf5Bytes(
    std::vector<std::byte> bytes, const formats::Limits& limits = {}) {
  formats::MemoryFiles files;
  files.Add("memory.h5", std::move(bytes));
  CKPT_ASSIGN_OR_RETURN(auto file, files.Open("memory.h5"));
  return formats::Hdf5File::Open(std::move(file), limits);
}

inline Result<std::vector<std::byte>> ReadDataset(const formats::Hdf5File& file,
                                                  const formats::Hdf5Object& dataset) {
  CKPT_ASSIGN_OR_RETURN(const auto stream, file.OpenDataset(dataset));
  std::vector<std::byte> bytes;
  for (;;) {
    CKPT_ASSIGN_OR_RETURN(const auto piece, stream->Next());
    if (piece.empty()) return bytes;
    bytes.insert(bytes.end(), piece.begin(), piece.end());
  }
}

// One entry of an expected list against the dataset of that path.
inline void ExpectDataset(const formats::Hdf5File& file, const nlohmann::json& expected) {
  const auto path = expected["name"].get<std::string>();
  SCOPED_TRACE(file.file().path() + path);
  const formats::Hdf5Object* dataset = file.Find(path);
  ASSERT_NE(dataset, nullptr);
  ASSERT_EQ(dataset->unsupported, "");
  const auto dtype = expected["dtype"].get<std::string>();
  EXPECT_EQ(*dataset->dtype, dtype.starts_with("opaque") ? Dtype::kVoid : *DtypeFromName(dtype));
  const auto dims = expected["shape"].get<std::vector<std::int64_t>>();
  EXPECT_EQ(std::vector<std::int64_t>(dataset->shape.dims().begin(), dataset->shape.dims().end()),
            dims);
  const auto bytes = ReadDataset(file, *dataset);
  ASSERT_TRUE(bytes) << ToString(bytes.error());
  EXPECT_EQ(bytes->size(), dataset->byte_size);
  if (expected.contains("lengths")) {
    std::vector<std::uint64_t> lengths;
    const auto elements = StringElements(*bytes, lengths);
    EXPECT_EQ(lengths, expected["lengths"].get<std::vector<std::uint64_t>>());
    EXPECT_EQ(HexCrc(elements), expected["crc32"]);
    return;
  }
  EXPECT_EQ(bytes->size(), expected["bytes"].get<std::uint64_t>());
  EXPECT_EQ(HexCrc(*bytes), expected["crc32"]);
}

inline std::size_t CountDatasets(const formats::Hdf5File& file) {
  std::size_t count = 0;
  for (const auto& object : file.objects()) {
    if (object.kind == formats::Hdf5Object::Kind::kDataset) ++count;
  }
  return count;
}

}  // namespace ckpt::testing
