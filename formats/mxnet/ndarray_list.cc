#include "formats/mxnet/ndarray_list.h"

#include <array>

#include "formats/container/file_cursor.h"
#include "formats/encoding/byte_reader.h"

namespace ckpt::formats {
namespace {

constexpr std::uint64_t kArrayListMagic = 0x112;
constexpr std::uint32_t kVersion1 = 0xf993fac8, kVersion2 = 0xf993fac9, kVersion3 = 0xf993faca;
constexpr std::uint32_t kMaxRank = 254;
constexpr std::uint64_t kLeastArrayBytes = 4, kLeastNameBytes = 8;

std::optional<Dtype> DtypeOf(std::int32_t type) {
  switch (type) {
    case 0:
      return Dtype::kF32;
    case 1:
      return Dtype::kF64;
    case 2:
      return Dtype::kF16;
    case 3:
      return Dtype::kU8;
    case 4:
      return Dtype::kI32;
    case 5:
      return Dtype::kI8;
    case 6:
      return Dtype::kI64;
    case 7:
      return Dtype::kBool;
    case 12:
      return Dtype::kBF16;
    default:
      return std::nullopt;
  }
}

class ListReader {
 public:
  ListReader(const RandomAccessFile& file, const Limits& limits) : limits_(limits), cursor_(file) {}

  Result<std::vector<StoredNdarray>> Read() {
    if (cursor_.Little(8) != kArrayListMagic && cursor_.ok()) Corrupt("is not a list of arrays");
    (void)cursor_.Little(8);
    const std::uint64_t count = Count(kLeastArrayBytes);
    std::vector<StoredNdarray> arrays;
    for (std::uint64_t i = 0; i < count && cursor_.ok(); ++i) arrays.push_back(ReadArray());
    const std::uint64_t names = Count(kLeastNameBytes);
    if (cursor_.ok() && names != 0 && names != count) {
      Corrupt("has " + std::to_string(names) + " names for " + std::to_string(count) + " arrays");
    }
    for (std::uint64_t i = 0; i < names && cursor_.ok(); ++i) {
      arrays[i].name = cursor_.Text(cursor_.Little(8), limits_.name_bytes);
    }
    if (cursor_.ok() && cursor_.remaining() > 0) Corrupt("has bytes behind its last name");
    CKPT_RETURN_IF_ERROR(cursor_.status());
    return arrays;
  }

 private:
  void Corrupt(std::string message) { cursor_.Fail(ErrorCode::kCorrupt, std::move(message)); }

  std::uint64_t Count(std::uint64_t least_bytes) {
    const std::uint64_t count = cursor_.Little(8);
    if (count > cursor_.remaining() / least_bytes) {
      Corrupt("claims " + std::to_string(count) + " items where " +
              std::to_string(cursor_.remaining()) + " bytes follow");
    } else if (count > limits_.tensors) {
      cursor_.Fail(ErrorCode::kLimitExceeded,
                   "has more than " + std::to_string(limits_.tensors) + " tensors");
    }
    return cursor_.ok() ? count : 0;
  }

  std::int32_t Signed() { return static_cast<std::int32_t>(cursor_.Little(4)); }

  StoredNdarray ReadArray() {
    StoredNdarray array;
    const auto magic = static_cast<std::uint32_t>(cursor_.Little(4));
    const bool has_storage = magic == kVersion2 || magic == kVersion3;
    const std::int32_t storage = has_storage ? Signed() : 0;
    if (storage < 0 || storage > 2) {
      Corrupt("has an array of the unknown storage type " + std::to_string(storage));
    }
    array.sparse = storage > 0;
    const bool wide = has_storage || magic == kVersion1;
    // A sparse array has the shape of what is stored first.
    const auto stored_shape = array.sparse ? ReadShape(Signed(), true) : std::nullopt;
    const std::int32_t rank = wide ? Signed() : static_cast<std::int32_t>(magic);
    if (!cursor_.ok() || (rank == 0 && magic != kVersion3) || (rank < 0 && magic == kVersion3)) {
      return array;
    }
    array.shape = ReadShape(rank, wide);
    (void)cursor_.Little(8);  // the device
    array.type = Signed();
    array.dtype = DtypeOf(array.type);
    if (!cursor_.ok()) return array;
    if (!array.dtype) {
      cursor_.Fail(ErrorCode::kUnsupported,
                   "has an array of the unknown element type " + std::to_string(array.type));
      return array;
    }
    std::array<std::uint64_t, 2> auxiliary{};
    const auto parts = static_cast<std::size_t>(storage);  // row_sparse has 1, csr 2
    for (std::size_t i = 0; i < parts && cursor_.ok(); ++i) {
      const auto type = DtypeOf(Signed());
      const auto shape = ReadShape(Signed(), true);
      if (!type || !shape) {
        Corrupt("has a sparse array without indices");
        return array;
      }
      auxiliary[i] = BytesOf(*shape, *type);
    }
    array.offset = cursor_.offset();
    const auto& data_shape = array.sparse ? stored_shape : array.shape;
    if (!data_shape) return array;
    array.size = BytesOf(*data_shape, *array.dtype);
    cursor_.Skip(array.size);
    for (std::size_t i = 0; i < parts; ++i) cursor_.Skip(auxiliary[i]);
    return array;
  }

  std::uint64_t BytesOf(const Shape& shape, Dtype dtype) {
    std::uint64_t bytes = 0;
    if (!CheckedMul(shape.element_count(), BitSize(dtype) / 8, &bytes)) {
      Corrupt("has an array of more bytes than can be counted");
    }
    return bytes;
  }

  std::optional<Shape> ReadShape(std::int32_t rank, bool wide) {
    if (rank < 0 || static_cast<std::uint32_t>(rank) > kMaxRank) {
      Corrupt("has an array of rank " + std::to_string(rank));
      return std::nullopt;
    }
    std::vector<std::int64_t> dims;
    for (std::int32_t i = 0; i < rank && cursor_.ok(); ++i) {
      dims.push_back(static_cast<std::int64_t>(cursor_.Little(wide ? 8 : 4)));
    }
    auto shape = Shape::FromDims(dims);
    if (shape) return *std::move(shape);
    Corrupt(shape.error().message);
    return std::nullopt;
  }

  const Limits& limits_;
  FileCursor cursor_;
};

}  // namespace

Result<std::vector<StoredNdarray>> ReadNdarrayList(const RandomAccessFile& file,
                                                   const Limits& limits) {
  return ListReader(file, limits).Read();
}

}  // namespace ckpt::formats
