#include "formats/onnx/tensor_data.h"

#include <algorithm>
#include <utility>

#include "formats/container/range_stream.h"
#include "formats/encoding/byte_reader.h"
#include "formats/onnx/file_window.h"

namespace ckpt::formats::onnx {
namespace {

tl::unexpected<Error> Corrupt(std::string message) {
  return Fail(ErrorCode::kCorrupt, std::move(message));
}

unsigned FixedBytes(DataField field) noexcept {
  if (field == DataField::kFloat) return 4;
  return field == DataField::kDouble ? 8 : 0;
}

// Bytes that one entry of a typed field becomes.
unsigned EntryBytes(DataField field, Dtype dtype) noexcept {
  if (FixedBytes(field) != 0) return FixedBytes(field);
  return std::max(1U, BitSize(dtype) / 8);
}

bool Fits(DataField field, std::uint64_t value, unsigned bytes) noexcept {
  if (bytes == 8) return true;
  const std::uint64_t limit = std::uint64_t{1} << (8 * bytes);
  if (field == DataField::kUint64) return value < limit;
  const auto number = static_cast<std::int64_t>(value);
  return number < static_cast<std::int64_t>(limit) &&
         number >= -static_cast<std::int64_t>(limit / 2);
}

class TypedStream : public TensorStream {
 public:
  TypedStream(std::shared_ptr<const RandomAccessFile> file, std::vector<DataSegment> segments,
              Dtype dtype, std::uint64_t bytes, std::string tensor)
      : file_(std::move(file)),
        window_(*file_),
        segments_(std::move(segments)),
        entry_bytes_(EntryBytes(segments_.front().field, dtype)),
        left_(bytes),
        tensor_(std::move(tensor)) {
    if (!segments_.empty()) offset_ = segments_.front().offset;
  }

  Result<std::span<const std::byte>> Next() override {
    Status filled = Fill();
    if (!filled) {
      filled.error().tensor = tensor_;
      return Fail(filled);
    }
    return std::as_bytes(std::span(chunk_));
  }

 private:
  Status Fill() {
    chunk_.clear();
    while (chunk_.size() + entry_bytes_ <= kStreamChunkBytes && at_ < segments_.size()) {
      const DataSegment& segment = segments_[at_];
      const std::uint64_t end = segment.offset + segment.size;
      if (offset_ == end) {
        if (++at_ < segments_.size()) offset_ = segments_[at_].offset;
        continue;
      }
      if (left_ < entry_bytes_) {
        return Fail(window_.Corrupt(offset_, "has more elements than its shape says"));
      }
      CKPT_RETURN_IF_ERROR(Entry(segment, end));
      left_ -= entry_bytes_;
    }
    if (at_ == segments_.size() && left_ != 0) {
      return Fail(window_.Corrupt(offset_, "has fewer elements than its shape says"));
    }
    return {};
  }

  Status Entry(const DataSegment& segment, std::uint64_t end) {
    if (!segment.packed) ++offset_;  // the tag
    if (FixedBytes(segment.field) != 0) {
      CKPT_RETURN_IF_ERROR(window_.Append(offset_, entry_bytes_, end, chunk_));
      offset_ += entry_bytes_;
      return {};
    }
    const std::uint64_t start = offset_;
    CKPT_ASSIGN_OR_RETURN(const std::uint64_t value, window_.Varint(offset_, end));
    if (!Fits(segment.field, value, entry_bytes_)) {
      return Fail(window_.Corrupt(start, "has an element that does not fit its type"));
    }
    for (unsigned i = 0; i < entry_bytes_; ++i) {
      chunk_ += static_cast<char>((value >> (8 * i)) & 0xFF);
    }
    return {};
  }

  std::shared_ptr<const RandomAccessFile> file_;
  FileWindow window_;
  std::vector<DataSegment> segments_;
  unsigned entry_bytes_;
  std::uint64_t left_;
  std::string tensor_;
  std::size_t at_ = 0;
  std::uint64_t offset_ = 0;
  std::string chunk_;
};

class BytesStream : public TensorStream {
 public:
  explicit BytesStream(std::string bytes) : bytes_(std::move(bytes)) {}
  Result<std::span<const std::byte>> Next() override {
    const std::size_t size = std::min(bytes_.size() - at_, kStreamChunkBytes);
    const auto chunk = std::as_bytes(std::span(bytes_)).subspan(at_, size);
    at_ += size;
    return chunk;
  }

 private:
  std::string bytes_;
  std::size_t at_ = 0;
};

}  // namespace

Result<std::uint64_t> DecodedBytes(Dtype dtype, std::uint64_t elements) {
  std::uint64_t bits = 0;
  if (!CheckedMul(elements, BitSize(dtype), &bits) || bits > UINT64_MAX - 7) {
    return Corrupt("has more than 2^64 bits");
  }
  return (bits + 7) / 8;
}

Status CheckSegments(const std::vector<DataSegment>& segments, const OnnxDtype& dtype,
                     std::uint64_t bytes) {
  if (segments.empty()) {
    if (bytes == 0) return {};
    return Corrupt("has no data, and its shape asks for " + std::to_string(bytes) + " bytes");
  }
  const DataField field = segments.front().field;
  std::uint64_t least = 0, most = 0;  // decoded bytes that the segments can be
  for (const DataSegment& segment : segments) {
    if (segment.field != field) return Corrupt("has its data twice, in two fields");
    const std::uint64_t fixed = FixedBytes(field);
    if (field == DataField::kRaw) {
      least += segment.size, most += segment.size;
    } else if (fixed != 0) {
      const std::uint64_t step = segment.packed ? fixed : fixed + 1;
      if (segment.size % step != 0) return Corrupt("has data of no whole number of elements");
      least += segment.size / step * fixed, most += segment.size / step * fixed;
    } else {  // a varint has 1 to 10 bytes
      const std::uint64_t entry = EntryBytes(field, dtype.dtype), tag = segment.packed ? 0 : 1;
      least += (segment.size + 9 + tag) / (10 + tag) * entry;
      most += segment.size / (1 + tag) * entry;
    }
  }
  if (field != DataField::kRaw && field != dtype.typed_field) {
    return Corrupt("has its data in a field that is not for " + std::string(Name(dtype.dtype)));
  }
  if (bytes < least || bytes > most) {
    return Corrupt("has " +
                   (least == most ? std::to_string(least)
                                  : std::to_string(least) + " to " + std::to_string(most)) +
                   " bytes of data, and its shape asks for " + std::to_string(bytes));
  }
  return {};
}

std::unique_ptr<TensorStream> StreamSegments(std::shared_ptr<const RandomAccessFile> file,
                                             std::vector<DataSegment> segments,
                                             const OnnxDtype& dtype, std::uint64_t bytes,
                                             std::string tensor) {
  if (segments.empty()) return StreamBytes({});
  if (segments.front().field == DataField::kRaw) {
    return StreamRange(std::move(file), segments.front().offset, segments.front().size,
                       std::move(tensor));
  }
  return std::make_unique<TypedStream>(std::move(file), std::move(segments), dtype.dtype, bytes,
                                       std::move(tensor));
}

std::unique_ptr<TensorStream> StreamBytes(std::string bytes) {
  return std::make_unique<BytesStream>(std::move(bytes));
}

}  // namespace ckpt::formats::onnx
