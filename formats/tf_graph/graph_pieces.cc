#include "formats/tf_graph/graph_pieces.h"

#include <span>
#include <utility>

namespace ckpt::formats {
namespace {

constexpr unsigned kLengthDelimited = 2;
// Field numbers, as in graph.proto and tensor.proto.
constexpr unsigned kGraphNode = 1, kNodeAttr = 5, kEntryKey = 1, kEntryValue = 2, kAttrTensor = 8,
                   kTensorContent = 4;

std::uint64_t VarintSize(std::uint64_t value) {
  std::uint64_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

// Of a field with this number below 16 and a payload of `length` bytes.
std::uint64_t FieldSize(std::uint64_t length) { return 1 + VarintSize(length) + length; }

}  // namespace

void AppendVarint(std::uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7f) | 0x80);
  out += static_cast<char>(value);
}

void AppendLengthField(unsigned field, std::uint64_t length, std::string& out) {
  AppendVarint(field << 3 | kLengthDelimited, out);
  AppendVarint(length, out);
}

Status AppendText(OutputFile& file, const std::string& text) {
  return file.Append(std::as_bytes(std::span(text)));
}

std::string& GraphPieces::Tail() {
  if (pieces_.empty() || pieces_.back().source) pieces_.emplace_back();
  return pieces_.back().bytes;
}

void GraphPieces::AddNode(const tf_proto::NodeDef& node) {
  const std::string bytes = node.SerializeAsString();
  std::string& tail = Tail();
  const std::size_t before = tail.size();
  AppendLengthField(kGraphNode, bytes.size(), tail);
  tail += bytes;
  size_ += tail.size() - before;
}

void GraphPieces::AddConstant(const tf_proto::NodeDef& node, const tf_proto::TensorProto& described,
                              std::uint64_t bytes, Source source) {
  const std::string head = node.SerializeAsString();
  const std::string tensor = described.SerializeAsString();
  static const std::string kKey = "value";
  const std::uint64_t tensor_size = tensor.size() + FieldSize(bytes);
  const std::uint64_t attr_size = FieldSize(tensor_size);
  const std::uint64_t entry_size = FieldSize(kKey.size()) + FieldSize(attr_size);
  const std::uint64_t node_size = head.size() + FieldSize(entry_size);

  std::string& tail = Tail();
  const std::size_t before = tail.size();
  AppendLengthField(kGraphNode, node_size, tail);
  tail += head;
  AppendLengthField(kNodeAttr, entry_size, tail);
  AppendLengthField(kEntryKey, kKey.size(), tail);
  tail += kKey;
  AppendLengthField(kEntryValue, attr_size, tail);
  AppendLengthField(kAttrTensor, tensor_size, tail);
  tail += tensor;
  AppendLengthField(kTensorContent, bytes, tail);
  size_ += tail.size() - before + bytes;
  pieces_.back().source = std::move(source);
  pieces_.back().streamed = bytes;
}

void GraphPieces::AddFields(const tf_proto::GraphDef& fields) {
  const std::string bytes = fields.SerializeAsString();
  Tail() += bytes;
  size_ += bytes.size();
}

Status GraphPieces::Write(OutputFile& file) const {
  for (const Piece& piece : pieces_) {
    CKPT_RETURN_IF_ERROR(AppendText(file, piece.bytes));
    if (!piece.source) continue;
    const std::uint64_t before = file.size();
    CKPT_RETURN_IF_ERROR(
        piece.source([&](std::span<const std::byte> chunk) { return file.Append(chunk); }));
    if (file.size() - before != piece.streamed) {
      return Fail(ErrorCode::kInternal, "a constant yields " +
                                            std::to_string(file.size() - before) +
                                            " bytes instead of " + std::to_string(piece.streamed));
    }
  }
  return {};
}

}  // namespace ckpt::formats
