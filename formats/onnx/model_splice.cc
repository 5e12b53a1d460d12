#include "formats/onnx/model_splice.h"

#include <utility>

#include "formats/encoding/byte_reader.h"
#include "formats/onnx/wire.h"

namespace ckpt::formats::onnx {
namespace {

struct Spliced {
  std::vector<ModelPiece> pieces = {};
  std::uint64_t size = 0;

  void Append(std::string_view bytes) {
    if (pieces.empty() || pieces.back().data_place) pieces.emplace_back();
    pieces.back().bytes += bytes;
    size += bytes.size();
  }
  void Append(Spliced inner) {
    size += inner.size;
    for (ModelPiece& piece : inner.pieces) {
      if (!piece.data_place && !pieces.empty() && !pieces.back().data_place) {
        pieces.back().bytes += piece.bytes;
      } else {
        pieces.push_back(std::move(piece));
      }
    }
  }
};

class Splicer {
 public:
  explicit Splicer(const std::function<std::uint64_t(std::uint32_t)>& size_of)
      : size_of_(size_of) {}

  Result<Spliced> Message(MessageKind kind, std::string_view message) {
    Spliced spliced;
    ByteReader reader(std::as_bytes(std::span(message)));
    while (reader.ok() && reader.remaining() != 0) {
      const std::uint64_t start = reader.offset();
      const std::uint64_t tag = reader.Varint64();
      const std::uint64_t number = tag >> 3;
      std::uint64_t value = 0;
      std::string_view body;
      switch (static_cast<WireType>(tag & 7)) {
        case WireType::kVarint:
          value = reader.Varint64();
          break;
        case WireType::kFixed64:
          reader.U64();
          break;
        case WireType::kFixed32:
          reader.U32();
          break;
        case WireType::kLength:
          body = reader.Text(reader.Varint64());
          break;
        default:
          reader.Fail("the graph has a field of an unknown type");
      }
      const auto inner = InnerMessage(kind, number);
      if (!reader.ok()) break;
      if (kind == MessageKind::kTensor && number == kDataPlaceField) {
        AppendData(static_cast<std::uint32_t>(value), spliced);
      } else if (inner && (tag & 7) == static_cast<std::uint64_t>(WireType::kLength)) {
        CKPT_ASSIGN_OR_RETURN(Spliced within, Message(inner->kind, body));
        std::string head;
        AppendVarint(tag, head);
        AppendVarint(within.size, head);
        spliced.Append(head);
        spliced.Append(std::move(within));
      } else {
        spliced.Append(message.substr(static_cast<std::size_t>(start),
                                      static_cast<std::size_t>(reader.offset() - start)));
      }
    }
    if (!reader.ok()) return Fail(reader.status());
    return spliced;
  }

 private:
  void AppendData(std::uint32_t place, Spliced& spliced) const {
    const std::uint64_t size = size_of_(place);
    std::string head;
    AppendVarint((kRawDataField << 3) | static_cast<std::uint64_t>(WireType::kLength), head);
    AppendVarint(size, head);
    spliced.Append(head);
    spliced.pieces.push_back({.bytes = {}, .data_place = place});
    spliced.size += size;
  }

  const std::function<std::uint64_t(std::uint32_t)>& size_of_;
};

}  // namespace

Result<std::vector<ModelPiece>> SpliceModel(
    std::string_view skeleton, const std::function<std::uint64_t(std::uint32_t)>& size_of) {
  CKPT_ASSIGN_OR_RETURN(Spliced spliced, Splicer(size_of).Message(MessageKind::kModel, skeleton));
  return std::move(spliced.pieces);
}

}  // namespace ckpt::formats::onnx
