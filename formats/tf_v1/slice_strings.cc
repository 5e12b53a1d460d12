#include "formats/tf_v1/slice_strings.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "formats/container/range_stream.h"
#include "formats/encoding/byte_reader.h"
#include "formats/tf_bundle/sticky_stream.h"
#include "formats/tf_v1/message_fields.h"

namespace ckpt::formats {
namespace {

constexpr std::uint32_t kStringField = 8;
constexpr unsigned kDelimited = 2;
constexpr std::size_t kLengthBytes = sizeof(std::uint64_t);

class SavedStringsStream : public StickyStream {
 public:
  SavedStringsStream(std::string name, ProtoBytes bytes)
      : StickyStream(std::move(name)), bytes_(std::move(bytes.file), bytes.begin, bytes.end) {}

 protected:
  Result<std::span<const std::byte>> Produce() override {
    chunk_.clear();
    while (chunk_.size() + kLengthBytes <= kStreamChunkBytes) {
      if (left_ == 0) {
        CKPT_ASSIGN_OR_RETURN(const ProtoField field, NextField(bytes_));
        if (field.number == 0) break;
        if (field.number != kStringField || field.wire != kDelimited) {
          CKPT_RETURN_IF_ERROR(SkipField(bytes_, field));
          continue;
        }
        left_ = field.size;
        for (std::size_t i = 0; i < kLengthBytes; ++i) {
          chunk_.push_back(static_cast<std::byte>(left_ >> (8 * i) & 0xff));
        }
        continue;
      }
      CKPT_ASSIGN_OR_RETURN(const auto bytes, bytes_.Take(std::min<std::uint64_t>(
                                                  left_, kStreamChunkBytes - chunk_.size())));
      chunk_.insert(chunk_.end(), bytes.begin(), bytes.end());
      left_ -= bytes.size();
    }
    return std::span<const std::byte>(chunk_);
  }

 private:
  BufferedRange bytes_;
  std::uint64_t left_ = 0;  // of the string that was begun
  std::vector<std::byte> chunk_;
};

Result<std::uint64_t> Measured(std::uint64_t found, std::uint64_t count, std::uint64_t bytes) {
  if (found == count) return bytes;
  return Fail(ErrorCode::kCorrupt, "has " + std::to_string(found) +
                                       " strings where its shape has " + std::to_string(count));
}

}  // namespace

Result<std::uint64_t> MeasureStrings(std::span<const std::byte> proto, std::uint64_t count) {
  ByteReader reader(proto);
  std::uint64_t found = 0, total = 0;
  while (const auto bytes = NextBytesField(reader, kStringField, "is not a TensorProto")) {
    ++found;
    total += bytes->size() + kLengthBytes;
  }
  CKPT_RETURN_IF_ERROR(reader.status());
  return Measured(found, count, total);
}

Result<std::uint64_t> MeasureStrings(BufferedRange& proto, std::uint64_t count) {
  std::uint64_t found = 0, total = 0;
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const ProtoField field, NextField(proto));
    if (field.number == 0) return Measured(found, count, total);
    if (field.wire != kDelimited) {
      CKPT_RETURN_IF_ERROR(SkipField(proto, field));
      continue;
    }
    if (field.number == kStringField) {
      ++found;
      total += field.size + kLengthBytes;
    }
    proto.Skip(field.size);
  }
}

std::unique_ptr<TensorStream> StreamSavedStrings(std::string name, ProtoBytes bytes) {
  return std::make_unique<SavedStringsStream>(std::move(name), std::move(bytes));
}

}  // namespace ckpt::formats
