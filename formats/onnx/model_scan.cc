#include "formats/onnx/model_scan.h"

#include <algorithm>
#include <utility>

#include "formats/encoding/byte_reader.h"
#include "formats/onnx/file_window.h"
#include "formats/onnx/wire.h"

namespace ckpt::formats::onnx {
namespace {

bool IsDataField(std::uint64_t field) noexcept {
  return field == 4 || field == 5 || field == 7 || field == 9 || field == 10 || field == 11;
}

WireType ElementType(DataField field) noexcept {
  if (field == DataField::kFloat) return WireType::kFixed32;
  return field == DataField::kDouble ? WireType::kFixed64 : WireType::kVarint;
}

class Scanner {
 public:
  Scanner(const RandomAccessFile& file, const Limits& limits)
      : file_(file), window_(file), limits_(limits) {}

  Result<ScannedModel> Scan() {
    CKPT_RETURN_IF_ERROR(Message(MessageKind::kModel, 0, file_.size(), 0, model_.skeleton));
    return std::move(model_);
  }

 private:
  struct Field {
    std::uint64_t start, number, body, size;  // [body, body + size) is what follows tag and length
    WireType type;
    std::uint64_t end() const { return body + size; }
  };

  Error NoField(std::uint64_t offset) const {
    return window_.Corrupt(offset, offset < 16
                                       ? "is no ONNX model: it does not begin as a protocol "
                                         "buffer does"
                                       : "no field of a protocol buffer starts here");
  }

  Result<Field> Next(std::uint64_t offset, std::uint64_t end) {
    Field field{offset, 0, offset, 0, WireType::kVarint};
    CKPT_ASSIGN_OR_RETURN(const std::uint64_t tag, window_.Varint(field.body, end));
    field.number = tag >> 3;
    field.type = static_cast<WireType>(tag & 7);
    if (field.number == 0 || field.number > kMaxFieldNumber) {
      return Fail(NoField(offset));
    }
    std::uint64_t after = field.body;
    switch (field.type) {
      case WireType::kVarint: {
        CKPT_RETURN_IF_ERROR(window_.Varint(after, end));
        field.size = after - field.body;
        break;
      }
      case WireType::kFixed64:
        field.size = 8;
        break;
      case WireType::kFixed32:
        field.size = 4;
        break;
      case WireType::kLength: {
        CKPT_ASSIGN_OR_RETURN(field.size, window_.Varint(after, end));
        field.body = after;
        break;
      }
      default:
        return Fail(NoField(offset));
    }
    if (!RangeFits(field.body, field.size, end)) {
      return Fail(window_.Corrupt(
          offset, "a field of " + std::to_string(field.size) + " bytes does not fit in " +
                      (end == file_.size() ? "the file: it is cut short, or no ONNX model"
                                           : "what holds it")));
    }
    return field;
  }

  Status Charge(std::uint64_t offset, std::uint64_t bytes) {
    written_ += bytes;
    // Each nesting copies what it holds once more.
    if (bytes <= limits_.metadata_bytes && written_ / 8 <= limits_.metadata_bytes) return {};
    return Fail(Error{ErrorCode::kLimitExceeded,
                      "the graph without its weights has more than " +
                          std::to_string(limits_.metadata_bytes) + " bytes",
                      file_.path(),
                      offset,
                      {}});
  }

  Status Copy(const Field& field, std::uint64_t end, std::string& out) {
    CKPT_RETURN_IF_ERROR(Charge(field.start, field.end() - field.start));
    return window_.Append(field.start, field.end() - field.start, end, out);
  }

  Status Message(MessageKind kind, std::uint64_t offset, std::uint64_t end, int depth,
                 std::string& out) {
    if (kind == MessageKind::kTensor) return Tensor(offset, end, out);
    if (kind == MessageKind::kGraph && ++depth > kMaxGraphDepth) {
      return Fail(Error{ErrorCode::kLimitExceeded,
                        "graphs are nested deeper than " + std::to_string(kMaxGraphDepth),
                        file_.path(),
                        offset,
                        {}});
    }
    std::uint64_t seen = 0;  // singular messages, by field number
    while (offset < end) {
      CKPT_ASSIGN_OR_RETURN(const Field field, Next(offset, end));
      const auto inner = InnerMessage(kind, field.number);
      if (!inner || field.type != WireType::kLength) {
        CKPT_RETURN_IF_ERROR(Copy(field, end, out));
      } else {
        if (!inner->repeated) {
          const std::uint64_t bit = std::uint64_t{1} << field.number;
          if ((seen & bit) != 0) {
            return Fail(window_.Corrupt(offset, "a field that may be there once is there twice"));
          }
          seen |= bit;
        }
        std::string body;
        CKPT_RETURN_IF_ERROR(Message(inner->kind, field.body, field.end(), depth, body));
        CKPT_RETURN_IF_ERROR(Charge(offset, body.size()));
        AppendLengthField(field.number, body, out);
      }
      offset = field.end();
    }
    return {};
  }

  Status Tensor(std::uint64_t offset, std::uint64_t end, std::string& out) {
    std::vector<DataSegment> segments;
    bool has_raw = false;
    while (offset < end) {
      CKPT_ASSIGN_OR_RETURN(const Field field, Next(offset, end));
      if (field.number == kDataPlaceField) {
        return Fail(window_.Corrupt(offset, "a tensor has a field that ONNX does not have"));
      }
      if (!IsDataField(field.number)) {
        CKPT_RETURN_IF_ERROR(Copy(field, end, out));
      } else {
        CKPT_RETURN_IF_ERROR(AddData(field, segments, has_raw));
      }
      offset = field.end();
    }
    if (segments.empty()) return {};
    AppendVarintField(kDataPlaceField, model_.places.size(), out);
    CKPT_RETURN_IF_ERROR(Charge(offset, 8 + segments.size() * sizeof(DataSegment)));
    model_.places.push_back(std::move(segments));
    return {};
  }

  Status AddData(const Field& field, std::vector<DataSegment>& segments, bool& has_raw) {
    const auto data = static_cast<DataField>(field.number);
    if (field.type == WireType::kLength) {
      if (data == DataField::kRaw && std::exchange(has_raw, true)) {
        return Fail(window_.Corrupt(field.start, "a tensor has raw_data twice"));
      }
      if (field.size != 0) segments.push_back({data, true, field.body, field.size});
      return {};
    }
    if (data == DataField::kRaw || field.type != ElementType(data) ||
        field.body != field.start + 1) {
      return Fail(window_.Corrupt(field.start, "a tensor's data has the wrong type"));
    }
    if (!segments.empty() && !segments.back().packed && segments.back().field == data &&
        segments.back().offset + segments.back().size == field.start) {
      segments.back().size += field.end() - field.start;
    } else {
      segments.push_back({data, false, field.start, field.end() - field.start});
    }
    return {};
  }

  const RandomAccessFile& file_;
  FileWindow window_;
  const Limits& limits_;
  ScannedModel model_;
  std::uint64_t written_ = 0;
};

}  // namespace

Result<ScannedModel> ScanModel(const RandomAccessFile& file, const Limits& limits) {
  return Scanner(file, limits).Scan();
}

}  // namespace ckpt::formats::onnx
