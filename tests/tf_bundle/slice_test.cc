// Keys of slices, their cover, and the tensor gathered from them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "formats/tf_bundle/slice_cover.h"
#include "formats/tf_bundle/slice_key.h"
#include "tests/support/expected_tensors.h"
#include "tests/tf_bundle/bundle_builder.h"

namespace ckpt::formats::slice_test {
namespace {

using ::testing::HasSubstr;
using Extents = std::vector<SliceExtent>;

std::string Hex(const std::string& bytes) {
  std::string out;
  for (const char c : bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

// The first two keys stand in checkpoints that TensorFlow wrote; the numbers are the examples of
// its ordered_code.cc and the borders of its lengths.
TEST(SliceKey, IsTensorFlowsOrderedCode) {
  EXPECT_EQ(Hex(EncodeSliceKey("a", {})), "0061000100");
  EXPECT_EQ(Hex(EncodeSliceKey("Variable_1", {})), "005661726961626c655f31000100");
  EXPECT_EQ(Hex(EncodeSliceKey("x", Extents{{0, SliceExtent::kAll}})),
            "00780001"
            "0101"
            "807f");
  EXPECT_EQ(Hex(EncodeSliceKey(std::string("\0\xff", 2), {})), "0000ffff00000100");
  const auto number = [](std::int64_t value) {
    return Hex(EncodeSliceKey("", Extents{{value, 0}})).substr(10, std::string::npos);
  };
  EXPECT_EQ(number(0x424242),
            "f0424242"
            "80");
  EXPECT_EQ(number(-0x800),
            "3800"
            "80");
  EXPECT_EQ(number(63),
            "bf"
            "80");
  EXPECT_EQ(number(64),
            "c040"
            "80");
  EXPECT_EQ(number(-64),
            "40"
            "80");
  EXPECT_EQ(number(-65),
            "3fbf"
            "80");
  EXPECT_EQ(number(8191),
            "dfff"
            "80");
  EXPECT_EQ(number(8192),
            "e02000"
            "80");
  EXPECT_EQ(number(INT64_MAX),
            "ffc07fffffffffffffff"
            "80");
}

TEST(SliceKey, DecodesWhatItEncodes) {
  for (const std::int64_t value :
       {std::int64_t{0}, std::int64_t{-1}, std::int64_t{63}, std::int64_t{64}, std::int64_t{-64},
        std::int64_t{-65}, std::int64_t{1} << 20, std::int64_t{1} << 55, std::int64_t{1} << 62,
        INT64_MAX, INT64_MIN}) {
    const Extents extents = {{value, 1}, {0, value}};
    const std::string name("n/\0\xff\x01", 5);
    const auto decoded = DecodeSliceKey(EncodeSliceKey(name, extents));
    ASSERT_TRUE(decoded.has_value()) << value;
    EXPECT_EQ(decoded->name, name);
    EXPECT_EQ(decoded->extents, extents);
  }
}

TEST(SliceKey, TakesNothingElseForAKey) {
  const std::string key = EncodeSliceKey("name", Extents{{0, 5}, {1000, 7}});
  for (std::size_t size = 0; size < key.size(); ++size) {
    EXPECT_FALSE(DecodeSliceKey(key.substr(0, size))) << size;
  }
  EXPECT_FALSE(DecodeSliceKey(key + "x"));
  EXPECT_FALSE(DecodeSliceKey("conv1/kernel"));
  EXPECT_FALSE(DecodeSliceKey(std::string("\0plain name", 11)));
  EXPECT_FALSE(DecodeSliceKey(std::string("\0a\0\1\x01\x01\xc0\x01\x80", 9))) << "1 in two bytes";
  EXPECT_FALSE(DecodeSliceKey(std::string("\0a\0\1\x09", 5) + std::string(9, '\xff')));
}

BundleSlice Box(std::vector<std::int64_t> start, std::vector<std::int64_t> size) {
  return {std::move(start), *Shape::FromDims(size), {}};
}

TEST(SliceCover, AcceptsExactCovers) {
  const Shape plane = *Shape::FromDims({4, 6});
  EXPECT_TRUE(CheckCover(plane, std::vector{Box({0, 0}, {4, 6})}));
  EXPECT_TRUE(CheckCover(plane, std::vector{Box({0, 0}, {4, 2}), Box({0, 2}, {4, 4})}));
  // A pinwheel: no straight cut goes through.
  const Shape square = *Shape::FromDims({3, 3});
  EXPECT_TRUE(
      CheckCover(square, std::vector{Box({0, 0}, {1, 2}), Box({0, 2}, {2, 1}), Box({2, 1}, {1, 2}),
                                     Box({1, 0}, {2, 1}), Box({1, 1}, {1, 1})}));
  EXPECT_TRUE(CheckCover(*Shape::FromDims({0, 5}), std::vector{Box({0, 0}, {0, 5})}));
}

TEST(SliceCover, NamesTheFirstElementThatIsMissingOrDouble) {
  const Shape plane = *Shape::FromDims({4, 6});
  const auto message = [&](const std::vector<BundleSlice>& slices) {
    const Status covered = CheckCover(plane, slices);
    if (covered) return std::string("covered");
    EXPECT_EQ(covered.error().code, ErrorCode::kCorrupt);
    return covered.error().message;
  };
  EXPECT_THAT(message({Box({0, 0}, {4, 3})}), HasSubstr("[0, 3] of [4, 6] is in none of its 1"));
  EXPECT_THAT(message({Box({0, 0}, {4, 4}), Box({0, 3}, {4, 3})}),
              HasSubstr("[0, 3] of [4, 6] is in 2 of its 2"));
  EXPECT_THAT(message({Box({0, 0}, {4, 6}), Box({0, 0}, {4, 6})}), HasSubstr("[0, 0]"));
  // As many elements as the tensor has, and yet wrong.
  EXPECT_THAT(message({Box({0, 0}, {2, 6}), Box({1, 0}, {2, 6})}),
              HasSubstr("[1, 0] of [4, 6] is in 2"));
  EXPECT_THAT(message({Box({0, 0}, {4, 3}), Box({0, 3}, {2, 3}), Box({3, 3}, {1, 3})}),
              HasSubstr("[2, 3] of [4, 6] is in none"));
}

TEST(SliceCover, BoundsItsWork) {
  const std::vector<std::int64_t> dims(30, 2);
  std::vector<std::int64_t> ones(30, 1);
  const Status covered =
      CheckCover(*Shape::FromDims(dims), std::vector{Box(std::vector<std::int64_t>(30, 0), ones)});
  ASSERT_FALSE(covered.has_value());
  EXPECT_EQ(covered.error().code, ErrorCode::kLimitExceeded);
}

// A partitioned tensor of bytes, each of which says where in the whole it belongs.
class SlicedBundle {
 public:
  explicit SlicedBundle(std::vector<std::int64_t> dims) : dims_(std::move(dims)) {
    full_.set_dtype(kTfUint8);
    for (const std::int64_t dim : dims_) full_.mutable_shape()->add_dim()->set_size(dim);
  }

  SlicedBundle& Add(const Extents& extents,
                    const std::function<void(BundleBuilder::Entry&)>& alter = {}) {
    auto* slice = full_.add_slices();
    std::vector<std::int64_t> size;
    for (std::size_t axis = 0; axis < extents.size(); ++axis) {
      auto* extent = slice->add_extent();
      extent->set_start(extents[axis].start);
      const bool all = extents[axis].length == SliceExtent::kAll;
      if (!all) extent->set_length(extents[axis].length);
      size.push_back(all ? dims_[axis] : extents[axis].length);
    }
    bundle.Add(EncodeSliceKey("t", extents), kTfUint8, size, Values(extents, size), alter);
    return *this;
  }
  Result<std::unique_ptr<Checkpoint>> Open() {
    BundleBuilder whole = bundle;
    whole.AddRaw("t", full_.SerializeAsString());
    files_ = whole.Files();
    return OpenTfBundle(files_, "m", {});
  }
  std::string Whole() const {
    std::string bytes;
    std::uint64_t count = 1;
    for (const std::int64_t dim : dims_) count *= static_cast<std::uint64_t>(dim);
    for (std::uint64_t i = 0; i < count; ++i) bytes += static_cast<char>(i * 7 + i / 256);
    return bytes;
  }

  BundleBuilder bundle;

 private:
  std::string Values(const Extents& extents, const std::vector<std::int64_t>& size) const {
    const std::string whole = Whole();
    std::string bytes;
    std::vector<std::int64_t> at(size.size(), 0);
    while (true) {
      std::size_t place = 0;
      for (std::size_t axis = 0; axis < at.size(); ++axis) {
        place = place * static_cast<std::size_t>(dims_[axis]) +
                static_cast<std::size_t>(extents[axis].start + at[axis]);
      }
      bytes += whole[place];
      std::size_t axis = at.size();
      while (axis-- > 0 && ++at[axis] == size[axis]) at[axis] = 0;
      if (axis == std::size_t(-1)) return bytes;
    }
  }

  std::vector<std::int64_t> dims_;
  BundleBuilder::Entry full_;
  MemoryFiles files_;
};

std::string BytesOf(const Checkpoint& checkpoint) {
  const auto bytes = testing::AllBytes(checkpoint, TensorId{0});
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

constexpr SliceExtent kAll = {};

TEST(Slices, AreOneTensor) {
  SlicedBundle sliced({3, 4, 5});
  sliced.Add({{0, 1}, kAll, {0, 2}})
      .Add({{0, 1}, kAll, {2, 3}})
      .Add({{1, 2}, {0, 3}, kAll})
      .Add({{1, 2}, {3, 1}, kAll});
  const auto opened = sliced.Open();
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const Manifest& manifest = (*opened)->manifest();
  ASSERT_EQ(manifest.tensors.size(), 1U);
  EXPECT_EQ(manifest.tensors[0].name, "t");
  EXPECT_EQ(ToString(manifest.tensors[0].shape), "[3, 4, 5]");
  EXPECT_EQ(manifest.tensors[0].byte_size, 60U);
  EXPECT_FALSE(manifest.tensors[0].checksum.has_value());
  EXPECT_TRUE(BytesOf(**opened) == sliced.Whole());
}

// Runs longer and shorter than a chunk and than a slice's buffer.
TEST(Slices, AreGatheredAcrossChunks) {
  SlicedBundle by_rows({2000, 1000});
  by_rows.Add({{0, 700}, kAll}).Add({{700, 1300}, kAll});
  const auto rows = by_rows.Open();
  ASSERT_TRUE(rows.has_value()) << ToString(rows.error());
  EXPECT_TRUE(BytesOf(**rows) == by_rows.Whole());

  SlicedBundle by_columns({50000, 40});
  by_columns.Add({kAll, {0, 1}}).Add({kAll, {1, 36}}).Add({kAll, {37, 3}});
  const auto columns = by_columns.Open();
  ASSERT_TRUE(columns.has_value()) << ToString(columns.error());
  EXPECT_TRUE(BytesOf(**columns) == by_columns.Whole());
}

void ExpectCorrupt(SlicedBundle& sliced, const std::string& message) {
  const auto opened = sliced.Open();
  ASSERT_FALSE(opened.has_value()) << message;
  EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(opened.error().tensor, "t");
  EXPECT_EQ(opened.error().file, "m.index");
  EXPECT_THAT(opened.error().message, HasSubstr(message));
}

TEST(Slices, RejectsGapsAndOverlaps) {
  SlicedBundle gap({6});
  gap.Add({{0, 2}}).Add({{3, 3}});
  ExpectCorrupt(gap, "the element [2] of [6] is in none of its 2 slices");
  SlicedBundle overlap({6});
  overlap.Add({{0, 4}}).Add({{3, 3}});
  ExpectCorrupt(overlap, "the element [3] of [6] is in 2 of its 2 slices");
}

// Only the list of slices lies; there is an entry under each key.
TEST(Slices, RejectsSlicesOutsideTheTensor) {
  for (const auto& [start, length] : std::vector<std::pair<std::int64_t, std::int64_t>>{
           {-1, 3}, {4, 3}, {0, 7}, {INT64_MAX, 1}, {1, INT64_MAX}, {2, -1}, {2, -2}}) {
    BundleBuilder::Entry full;
    full.set_dtype(kTfUint8);
    full.mutable_shape()->add_dim()->set_size(6);
    auto* extent = full.add_slices()->add_extent();
    extent->set_start(start);
    extent->set_length(length);
    BundleBuilder bundle;
    bundle.Add(EncodeSliceKey("t", Extents{{start, length}}), kTfUint8, {3}, "abc");
    bundle.AddRaw("t", full.SerializeAsString());
    const MemoryFiles files = bundle.Files();
    const auto opened = OpenTfBundle(files, "m", {});
    ASSERT_FALSE(opened.has_value()) << start;
    EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(opened.error().tensor, "t");
    EXPECT_THAT(opened.error().message, HasSubstr("slice outside of it"));
  }
}

TEST(Slices, RejectsSlicesThatContradictTheirEntry) {
  SlicedBundle missing({6});
  missing.Add({{0, 3}}).Add({{3, 3}});
  missing.bundle.entries.pop_back();
  ExpectCorrupt(missing, "a slice that the index does not hold");

  SlicedBundle other_shape({6});
  other_shape.Add({{0, 3}}).Add({{3, 3}}, [](auto& entry) {
    entry.mutable_shape()->mutable_dim(0)->set_size(1);
    entry.mutable_shape()->add_dim()->set_size(3);
  });
  ExpectCorrupt(other_shape, "another type or shape");

  SlicedBundle other_type({6});
  other_type.Add({{0, 3}}).Add({{3, 3}}, [](auto& entry) { entry.set_dtype(6); });
  ExpectCorrupt(other_type, "another type or shape");

  SlicedBundle nested({6});
  nested.Add({{0, 6}}, [](auto& entry) { entry.add_slices(); });
  const auto opened = nested.Open();
  ASSERT_FALSE(opened.has_value());
  EXPECT_THAT(opened.error().message, HasSubstr("said to have slices itself"));
}

TEST(Slices, RejectsSlicesThatNoTensorLists) {
  BundleBuilder bundle;
  bundle.Add(EncodeSliceKey("lost", Extents{{0, 3}}), kTfUint8, {3}, "abc");
  const MemoryFiles files = bundle.Files();
  const auto opened = OpenTfBundle(files, "m", {});
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(opened.error().tensor, "lost");
}

TEST(Slices, ChecksEachSlicesChecksum) {
  SlicedBundle sliced({4, 4});
  sliced.Add({kAll, {0, 2}}).Add({kAll, {2, 2}}, [](auto& entry) { entry.set_crc32c(1); });
  const auto opened = sliced.Open();
  ASSERT_TRUE(opened.has_value()) << ToString(opened.error());
  const auto bytes = ReadBytes(**opened, TensorId{0}, 100);
  ASSERT_FALSE(bytes.has_value());
  EXPECT_EQ(bytes.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(bytes.error().file, "m.data-00000-of-00001");
  EXPECT_EQ(bytes.error().offset, 8U);
  EXPECT_EQ(bytes.error().tensor, "t");
}

}  // namespace
}  // namespace ckpt::formats::slice_test
