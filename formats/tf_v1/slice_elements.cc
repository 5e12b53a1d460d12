#include "formats/tf_v1/slice_elements.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/tf_bundle/table_block.h"

namespace ckpt::formats {
namespace {

constexpr unsigned kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5;

// The uncompressed contents of a block, under the name of the file that it is from.
class BlockContents : public RandomAccessFile {
 public:
  BlockContents(std::string path, std::string contents)
      : path_(std::move(path)), contents_(std::move(contents)) {}

  const std::string& path() const noexcept override { return path_; }
  std::uint64_t size() const noexcept override { return contents_.size(); }
  Status ReadAt(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset > contents_.size() || out.size() > contents_.size() - offset) {
      return Fail(Error{ErrorCode::kInternal, "reads behind a block"}.In(path_));
    }
    if (!out.empty()) std::memcpy(out.data(), contents_.data() + offset, out.size());
    return {};
  }

 private:
  std::string path_, contents_;
};

// How a TensorProto holds the elements of a type.
struct Field {
  std::uint32_t number;
  unsigned wire;           // of one that is not packed
  std::size_t unit;        // bytes of one stored number, decoded
  bool is_signed = false;  // varints: negative numbers are ten bytes long
};

std::optional<Field> FieldOf(const TfDtype& dtype) {
  const std::size_t bytes = dtype.stored_bytes;
  switch (dtype.dtype) {
    case Dtype::kF32:
      return Field{5, kFixed32, 4};
    case Dtype::kF64:
      return Field{6, kFixed64, 8};
    case Dtype::kC64:
      return Field{9, kFixed32, 4};
    case Dtype::kC128:
      return Field{12, kFixed64, 8};
    case Dtype::kI64:
      return Field{10, kVarint, bytes, true};
    case Dtype::kBool:
      return Field{11, kVarint, bytes};
    case Dtype::kF16:
    case Dtype::kBF16:
      return Field{13, kVarint, bytes};
    case Dtype::kU32:
      return Field{16, kVarint, bytes};
    case Dtype::kU64:
      return Field{17, kVarint, bytes};
    case Dtype::kU8:
    case Dtype::kU16:
    case Dtype::kQU8:
    case Dtype::kQU16:
      return Field{7, kVarint, bytes};
    case Dtype::kI8:
    case Dtype::kI16:
    case Dtype::kI32:
    case Dtype::kQI8:
    case Dtype::kQI16:
    case Dtype::kQI32:
      return Field{7, kVarint, bytes, true};
    default:
      return std::nullopt;
  }
}

class ElementDecoder : public SliceElements {
 public:
  ElementDecoder(ProtoBytes bytes, const TfDtype& dtype, std::uint64_t count)
      : path_(bytes.file->path()),
        bytes_(std::move(bytes.file), bytes.begin, bytes.end),
        field_(*FieldOf(dtype)),
        remaining_(count * dtype.stored_bytes) {}

  std::uint64_t remaining() const noexcept override { return remaining_; }

  Status Read(std::span<std::byte> out) override {
    remaining_ -= out.size();
    while (!out.empty()) {
      CKPT_ASSIGN_OR_RETURN(const bool more, FindRun());
      if (!more) {
        return Fail(Corrupt("ends " + std::to_string((remaining_ + out.size()) / field_.unit) +
                            " numbers before the shape of the slice does"));
      }
      CKPT_ASSIGN_OR_RETURN(const std::size_t filled,
                            field_.wire == kVarint ? DecodeVarints(out) : CopyFixed(out));
      out = out.subspan(filled);
    }
    return {};
  }

  Status Verify() override {
    CKPT_ASSIGN_OR_RETURN(const bool more, FindRun());
    if (more) return Fail(Corrupt("has more elements than the shape of the slice"));
    return {};
  }

 private:
  Error Corrupt(std::string message) const {
    return Error{ErrorCode::kCorrupt, std::move(message)}.In(path_).At(bytes_.offset());
  }

  // Moves to the next bytes of the field unless there are some left; false at the end.
  Result<bool> FindRun() {
    while (run_ == 0) {
      CKPT_ASSIGN_OR_RETURN(const ProtoField next, NextField(bytes_));
      if (next.number == 0) return false;
      if (next.number != field_.number) {
        CKPT_RETURN_IF_ERROR(SkipField(bytes_, next));
        continue;
      }
      if (next.wire == kLengthDelimited) {
        if (field_.wire != kVarint && next.size % field_.unit != 0) {
          return Fail(Corrupt("has " + std::to_string(next.size) + " bytes of numbers that take " +
                              std::to_string(field_.unit)));
        }
        run_ = next.size;
      } else if (next.wire == field_.wire) {
        run_ = field_.wire == kVarint ? kOneVarint : field_.unit;
      } else {
        return Fail(Corrupt("has its elements in another encoding than their type's"));
      }
    }
    return true;
  }

  Result<std::size_t> CopyFixed(std::span<std::byte> out) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(run_, out.size()));
    for (auto rest = out.first(wanted); !rest.empty();) {
      if (bytes_.remaining() == 0) return Fail(Corrupt("ends inside of a number"));
      CKPT_ASSIGN_OR_RETURN(const auto taken, bytes_.Take(rest.size()));
      std::copy(taken.begin(), taken.end(), rest.begin());
      rest = rest.subspan(taken.size());
    }
    run_ -= wanted;
    return wanted;
  }

  Result<std::size_t> DecodeVarints(std::span<std::byte> out) {
    std::size_t filled = 0;
    while (filled < out.size() && run_ > 0) {
      const std::uint64_t before = bytes_.offset();
      CKPT_ASSIGN_OR_RETURN(const std::uint64_t value, NextVarint(bytes_));
      const std::uint64_t size = bytes_.offset() - before;
      if (run_ != kOneVarint && size > run_) {
        return Fail(Corrupt("has a number that is longer than the field it is in"));
      }
      run_ = run_ == kOneVarint ? 0 : run_ - size;
      CKPT_RETURN_IF_ERROR(Store(value, out.subspan(filled, field_.unit)));
      filled += field_.unit;
    }
    return filled;
  }

  Status Store(std::uint64_t value, std::span<std::byte> out) const {
    const auto bits = static_cast<unsigned>(8 * out.size());
    if (bits < 64) {
      const auto number = static_cast<std::int64_t>(value);
      const std::int64_t half = std::int64_t{1} << (bits - 1);
      const bool fits =
          field_.is_signed ? number >= -half && number < half : value < std::uint64_t{1} << bits;
      if (!fits) {
        return Fail(Corrupt("has the number " + std::to_string(number) +
                            ", which its element type cannot hold"));
      }
    }
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = static_cast<std::byte>(value >> (8 * i) & 0xff);
    }
    return {};
  }

  static constexpr std::uint64_t kOneVarint = UINT64_MAX;  // run_: of one number, not packed

  std::string path_;
  BufferedRange bytes_;
  Field field_;
  std::uint64_t remaining_;  // of the decoded elements
  std::uint64_t run_ = 0;    // bytes of the field that follow
};

Error At(const BufferedRange& bytes, std::string message) {
  return Error{ErrorCode::kCorrupt, std::move(message)}.In(bytes.path()).At(bytes.offset());
}

}  // namespace

Result<ProtoBytes> OpenTensorProto(SharedFile file, const SavedTensorProto& proto,
                                   const Limits& limits) {
  if (!proto.compressed) {
    const std::uint64_t begin = proto.block.offset + proto.position;
    return ProtoBytes{std::move(file), begin, begin + proto.size};
  }
  BlockBuffer buffer;
  CKPT_ASSIGN_OR_RETURN(const TableBlock block, LoadBlock(*file, proto.block, proto.block.offset,
                                                          limits.index_bytes, &buffer));
  if (proto.position + proto.size > block.contents.size()) {
    return Fail(block.Corrupt(0, "the file changed while it was read"));
  }
  auto contents = std::make_shared<BlockContents>(file->path(), std::move(buffer.uncompressed));
  return ProtoBytes{std::move(contents), proto.position, proto.position + proto.size};
}

Result<std::uint64_t> NextVarint(BufferedRange& bytes) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (bytes.remaining() == 0) return Fail(At(bytes, "ends inside of a number"));
    CKPT_ASSIGN_OR_RETURN(const std::byte byte, bytes.Byte());
    const auto bits = std::to_integer<std::uint64_t>(byte);
    if (shift == 63 && bits > 1) break;
    value |= (bits & 0x7f) << shift;
    if (bits < 0x80) return value;
  }
  return Fail(At(bytes, "has a number of more than 64 bits"));
}

Result<ProtoField> NextField(BufferedRange& bytes) {
  ProtoField field;
  if (bytes.remaining() == 0) return field;
  CKPT_ASSIGN_OR_RETURN(const std::uint64_t tag, NextVarint(bytes));
  field.number = static_cast<std::uint32_t>(tag >> 3U);
  field.wire = static_cast<unsigned>(tag & 7U);
  if (field.number == 0 || tag > UINT32_MAX) return Fail(At(bytes, "is not a TensorProto"));
  if (field.wire == kLengthDelimited) {
    CKPT_ASSIGN_OR_RETURN(field.size, NextVarint(bytes));
    if (field.size > bytes.remaining()) {
      return Fail(At(bytes, "claims " + std::to_string(field.size) + " bytes where " +
                                std::to_string(bytes.remaining()) + " follow"));
    }
  }
  return field;
}

Status SkipField(BufferedRange& bytes, const ProtoField& field) {
  std::uint64_t left = field.size;  // known to be there where it is a length
  switch (field.wire) {
    case kVarint: {
      CKPT_ASSIGN_OR_RETURN([[maybe_unused]] const std::uint64_t value, NextVarint(bytes));
      return {};
    }
    case kFixed64:
      left = 8;
      break;
    case kFixed32:
      left = 4;
      break;
    case kLengthDelimited:
      break;
    default:
      return Fail(At(bytes, "is not a TensorProto"));
  }
  if (left > bytes.remaining()) return Fail(At(bytes, "ends inside of a field"));
  bytes.Skip(left);
  return {};
}

bool HasTensorProtoField(const TfDtype& dtype) { return FieldOf(dtype).has_value(); }

std::unique_ptr<SliceElements> DecodeTensorProto(ProtoBytes bytes, const TfDtype& dtype,
                                                 std::uint64_t count) {
  return std::make_unique<ElementDecoder>(std::move(bytes), dtype, count);
}

}  // namespace ckpt::formats
