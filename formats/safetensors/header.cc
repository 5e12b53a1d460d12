#include "formats/safetensors/header.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include "formats/encoding/byte_reader.h"
#include "formats/encoding/json_events.h"
#include "formats/safetensors/stored_dtype.h"

namespace ckpt::formats {
namespace {

constexpr unsigned kMaxJsonDepth = 127;  // as deep as the reference implementation goes
constexpr std::string_view kMetadataKey = "__metadata__";

// Builds the tensor table from the events of the header's JSON.
//
//   depth 0: {   depth 1: name or __metadata__, {   depth 2: a field   depth 3: a dimension
class HeaderParser {
 public:
  HeaderParser(const std::string& file, const Limits& limits) : file_(file), limits_(limits) {}

  Status On(const JsonEvent& event) {
    if (event.depth == 0) {
      if (event.kind == JsonKind::kBeginObject || event.kind == JsonKind::kEndObject) return {};
      return Corrupt(event.offset,
                     "the header is " + std::string(Describe(event)) + ", not an object");
    }
    if (event.depth == 1 && event.kind == JsonKind::kKey) return OnTopLevelKey(event);
    return in_metadata_ ? OnMetadata(event) : OnTensor(event);
  }

  SafetensorsHeader Take() { return std::move(header_); }

 private:
  enum class Field : std::uint8_t { kNone, kDtype, kShape, kOffsets, kUnknown };

  tl::unexpected<Error> Corrupt(std::uint64_t offset, std::string message) const {
    return Fail(Error{ErrorCode::kCorrupt, std::move(message)}.In(file_).At(offset));
  }
  // At the entry of the tensor being read.
  tl::unexpected<Error> CorruptTensor(std::string message) const {
    return Fail(
        Error{ErrorCode::kCorrupt, std::move(message), file_, tensor_.key_offset, tensor_.name});
  }

  Status OnTopLevelKey(const JsonEvent& key) {
    in_metadata_ = key.text == kMetadataKey;
    if (in_metadata_) {
      if (std::exchange(seen_metadata_, true)) {
        return Corrupt(key.offset, "the header has __metadata__ twice");
      }
      return {};
    }
    if (key.text.size() > limits_.name_bytes || header_.tensors.size() >= limits_.tensors) {
      return Fail(Error{ErrorCode::kLimitExceeded,
                        key.text.size() > limits_.name_bytes
                            ? "a name has " + std::to_string(key.text.size()) + " bytes"
                            : "has more than " + std::to_string(limits_.tensors) + " tensors"}
                      .In(file_)
                      .At(key.offset));
    }
    tensor_ = {};
    tensor_.name = key.text;
    tensor_.key_offset = key.offset;
    field_ = Field::kNone;
    has_dtype_ = false;
    dims_.reset();
    offsets_.reset();
    return {};
  }

  Status OnMetadata(const JsonEvent& event) {
    if (event.depth == 1) {
      const bool null = event.kind == JsonKind::kOther && event.text == "null";
      if (null || event.kind == JsonKind::kBeginObject || event.kind == JsonKind::kEndObject) {
        return {};
      }
      return Corrupt(event.offset,
                     "__metadata__ is " + std::string(Describe(event)) + ", not an object");
    }
    if (event.kind == JsonKind::kKey) {
      const auto [place, added] = header_.metadata.try_emplace(std::string(event.text));
      if (!added) return Corrupt(event.offset, "__metadata__ has the same key twice");
      metadata_value_ = &place->second;
      return {};
    }
    if (event.kind != JsonKind::kString) {
      return Corrupt(event.offset, "a value in __metadata__ is " + std::string(Describe(event)) +
                                       ", not a string");
    }
    *metadata_value_ = event.text;
    return {};
  }

  Status OnTensor(const JsonEvent& event) {
    if (event.depth == 1) {
      if (event.kind == JsonKind::kBeginObject) return {};
      if (event.kind == JsonKind::kEndObject) return FinishTensor();
      return CorruptTensor("its entry is " + std::string(Describe(event)) + ", not an object");
    }
    if (event.depth == 2 && event.kind == JsonKind::kKey) return OnField(event.text);
    switch (field_) {
      case Field::kDtype:
        return OnDtype(event);
      case Field::kShape:
        return OnNumbers(event, "shape", *dims_);
      case Field::kOffsets:
        return OnNumbers(event, "data_offsets", *offsets_);
      case Field::kNone:
      case Field::kUnknown:  // ignored, as the reference implementation does
        return {};
    }
    return {};
  }

  Status OnField(std::string_view key) {
    field_ = Field::kUnknown;
    bool repeated = false;
    if (key == "dtype") {
      field_ = Field::kDtype;
      repeated = std::exchange(has_dtype_, true);
    } else if (key == "shape") {
      field_ = Field::kShape;
      repeated = dims_.has_value();
      dims_.emplace();
    } else if (key == "data_offsets") {
      field_ = Field::kOffsets;
      repeated = offsets_.has_value();
      offsets_.emplace();
    }
    if (repeated) return CorruptTensor("its entry has " + std::string(key) + " twice");
    return {};
  }

  Status OnDtype(const JsonEvent& event) {
    if (event.kind != JsonKind::kString) {
      return CorruptTensor("dtype is " + std::string(Describe(event)) + ", not a string");
    }
    const auto dtype = DtypeFromSafetensors(event.text);
    if (!dtype) return CorruptTensor("unknown dtype \"" + std::string(event.text) + "\"");
    tensor_.dtype = *dtype;
    return {};
  }

  Status OnNumbers(const JsonEvent& event, const char* what, std::vector<std::uint64_t>& numbers) {
    const bool bracket = event.kind == JsonKind::kBeginArray || event.kind == JsonKind::kEndArray;
    if (event.depth == 2 && bracket) return {};
    if (event.depth != 3 || event.kind != JsonKind::kUnsigned) {
      return CorruptTensor(std::string(what) + " is not a list of unsigned 64-bit integers: it " +
                           (event.depth == 2 ? "is " : "holds ") + std::string(Describe(event)));
    }
    numbers.push_back(event.number);
    return {};
  }

  Status FinishTensor() {
    if (!has_dtype_) return CorruptTensor("its entry has no dtype");
    if (!dims_) return CorruptTensor("its entry has no shape");
    if (!offsets_) return CorruptTensor("its entry has no data_offsets");
    if (offsets_->size() != 2) {
      return CorruptTensor("data_offsets has " + std::to_string(offsets_->size()) +
                           " numbers instead of 2");
    }
    tensor_.begin = (*offsets_)[0];
    tensor_.end = (*offsets_)[1];
    CKPT_RETURN_IF_ERROR(SetShape());
    CKPT_RETURN_IF_ERROR(CheckSize());
    header_.tensors.push_back(std::move(tensor_));
    return {};
  }

  Status SetShape() {
    constexpr auto kMaxDim = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    std::vector<std::int64_t> dims;
    dims.reserve(dims_->size());
    for (const std::uint64_t dim : *dims_) {
      if (dim > kMaxDim) {
        return CorruptTensor("its dimension " + std::to_string(dim) + " is above 2^63 - 1");
      }
      dims.push_back(static_cast<std::int64_t>(dim));
    }
    auto shape = Shape::FromDims(dims);
    if (!shape) return CorruptTensor(std::move(shape).error().message);
    tensor_.shape = *std::move(shape);
    return {};
  }

  Status CheckSize() const {
    if (tensor_.end < tensor_.begin) {
      return CorruptTensor("data_offsets end at " + std::to_string(tensor_.end) +
                           ", before they begin at " + std::to_string(tensor_.begin));
    }
    const std::uint64_t span = tensor_.end - tensor_.begin;
    std::uint64_t bits = 0;
    const bool fits = CheckedMul(tensor_.shape.element_count(), BitSize(tensor_.dtype), &bits);
    if (fits && bits % 8 == 0 && span == bits / 8) return {};
    const std::string kind =
        ToString(tensor_.shape) + " of " + std::string(SafetensorsName(tensor_.dtype));
    if (!fits) return CorruptTensor("the size of " + kind + " overflows");
    if (bits % 8 != 0) return CorruptTensor(kind + " is not a whole number of bytes");
    return CorruptTensor("data_offsets span " + std::to_string(span) + " bytes where " + kind +
                         " has " + std::to_string(bits / 8));
  }

  const std::string& file_;
  const Limits& limits_;
  SafetensorsHeader header_;
  bool in_metadata_ = false, seen_metadata_ = false;
  std::string* metadata_value_ = nullptr;
  // The entry being read, and which of its fields were met.
  HeaderTensor tensor_;
  Field field_ = Field::kNone;
  bool has_dtype_ = false;
  std::optional<std::vector<std::uint64_t>> dims_, offsets_;
};

Status RefuseRepeatedNames(const SafetensorsHeader& header, const std::string& file) {
  const auto& tensors = header.tensors;
  const auto twin =
      std::adjacent_find(tensors.begin(), tensors.end(),
                         [](const auto& a, const auto& b) { return a.name == b.name; });
  if (twin == tensors.end()) return {};
  const HeaderTensor& second = *std::next(twin);
  return Fail(Error{ErrorCode::kCorrupt, "its name is in the header twice", file, second.key_offset,
                    second.name});
}

// The tensors must cover the data from end to end, each byte once.
Status CheckCoverage(const SafetensorsHeader& header, const RandomAccessFile& file) {
  const auto& tensors = header.tensors;
  const std::uint64_t data_bytes = file.size() - header.data_start;
  std::vector<std::uint32_t> order(tensors.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return std::pair(tensors[a].begin, tensors[a].end) <
           std::pair(tensors[b].begin, tensors[b].end);
  });
  const auto corrupt = [&](std::string message, std::uint64_t data_offset, std::string tensor) {
    // A begin from the header may be so large that the sum wraps; the end of the file stands in.
    std::uint64_t at = 0;
    if (!CheckedAdd(header.data_start, data_offset, &at)) at = file.size();
    return Fail(Error{ErrorCode::kCorrupt, std::move(message), file.path(), at, std::move(tensor)});
  };
  std::uint64_t covered = 0;
  for (const std::uint32_t index : order) {
    const HeaderTensor& tensor = tensors[index];
    if (tensor.begin > covered) {
      return corrupt(
          std::to_string(tensor.begin - covered) + " bytes before its data belong to no tensor",
          covered, tensor.name);
    }
    if (tensor.begin < covered) {
      return corrupt("its data overlap those of another tensor", tensor.begin, tensor.name);
    }
    if (tensor.end > data_bytes) {
      return corrupt("the file ends " + std::to_string(tensor.end - data_bytes) +
                         " bytes before the end of its data",
                     tensor.begin, tensor.name);
    }
    covered = tensor.end;
  }
  if (covered == data_bytes) return {};
  return corrupt(std::to_string(data_bytes - covered) + " bytes after the last tensor", covered,
                 {});
}

// N, known to lie within the file and the format's bound.
Result<std::uint64_t> ReadHeaderSize(const RandomAccessFile& file, const Limits& limits) {
  const auto corrupt = [&](std::string message) {
    return Fail(Error{ErrorCode::kCorrupt, std::move(message)}.In(file.path()).At(0));
  };
  if (file.size() < 8) {
    return corrupt("has " + std::to_string(file.size()) +
                   " bytes, fewer than the 8 of a safetensors header size");
  }
  std::array<std::byte, 8> bytes;
  CKPT_RETURN_IF_ERROR(file.ReadAt(0, bytes));
  const std::uint64_t size = ByteReader(bytes).U64();
  if (size > kMaxSafetensorsHeader) {
    return corrupt("claims a header of " + std::to_string(size) +
                   " bytes; safetensors allows 100000000");
  }
  if (size > file.size() - 8) {
    return corrupt("claims a header of " + std::to_string(size) + " bytes in a file of " +
                   std::to_string(file.size()));
  }
  if (size > limits.index_bytes) {
    return Fail(
        Error{ErrorCode::kLimitExceeded, "has a header of " + std::to_string(size) + " bytes"}
            .In(file.path())
            .At(0));
  }
  return size;
}

}  // namespace

Result<SafetensorsHeader> ReadSafetensorsHeader(const RandomAccessFile& file,
                                                const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(const std::uint64_t size, ReadHeaderSize(file, limits));
  std::string json(static_cast<std::size_t>(size), '\0');
  CKPT_RETURN_IF_ERROR(file.ReadAt(8, std::as_writable_bytes(std::span(json))));

  HeaderParser parser(file.path(), limits);
  CKPT_RETURN_IF_ERROR(ParseJson({json, 8, file.path()}, kMaxJsonDepth,
                                 [&](const JsonEvent& event) { return parser.On(event); }));
  SafetensorsHeader header = parser.Take();
  header.data_start = 8 + size;
  std::stable_sort(header.tensors.begin(), header.tensors.end(),
                   [](const auto& a, const auto& b) { return a.name < b.name; });
  CKPT_RETURN_IF_ERROR(RefuseRepeatedNames(header, file.path()));
  CKPT_RETURN_IF_ERROR(CheckCoverage(header, file));
  return header;
}

}  // namespace ckpt::formats
