// What of protocol buffers' wire format and of ONNX's messages the scanner and the writer share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ckpt::formats::onnx {

enum class WireType : std::uint8_t { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };
inline constexpr std::uint64_t kMaxFieldNumber = (std::uint64_t{1} << 29) - 1;
inline constexpr std::uint64_t kDataPlaceField = kMaxFieldNumber;  // TensorProto::data_place
inline constexpr std::uint64_t kRawDataField = 9;                  // TensorProto::raw_data

// The messages on the way from a model to its tensors.
enum class MessageKind : std::uint8_t {
  kModel,
  kGraph,
  kNode,
  kAttribute,
  kTensor,
  kSparseTensor,
  kFunction,
};

struct InnerField {
  MessageKind kind;
  bool repeated;
};

// What message field `number` of `kind` holds, if it leads on to tensors.
constexpr std::optional<InnerField> InnerMessage(MessageKind kind, std::uint64_t number) {
  switch (kind) {
    case MessageKind::kModel:
      if (number == 7) return InnerField{MessageKind::kGraph, false};
      if (number == 25) return InnerField{MessageKind::kFunction, true};
      break;
    case MessageKind::kGraph:
      if (number == 1) return InnerField{MessageKind::kNode, true};
      if (number == 5) return InnerField{MessageKind::kTensor, true};
      if (number == 15) return InnerField{MessageKind::kSparseTensor, true};
      break;
    case MessageKind::kNode:
      if (number == 5) return InnerField{MessageKind::kAttribute, true};
      break;
    case MessageKind::kAttribute:
      if (number == 5) return InnerField{MessageKind::kTensor, false};
      if (number == 6) return InnerField{MessageKind::kGraph, false};
      if (number == 10) return InnerField{MessageKind::kTensor, true};
      if (number == 11) return InnerField{MessageKind::kGraph, true};
      if (number == 22) return InnerField{MessageKind::kSparseTensor, false};
      if (number == 23) return InnerField{MessageKind::kSparseTensor, true};
      break;
    case MessageKind::kSparseTensor:
      if (number == 1 || number == 2) return InnerField{MessageKind::kTensor, false};
      break;
    case MessageKind::kFunction:
      if (number == 7) return InnerField{MessageKind::kNode, true};
      if (number == 11) return InnerField{MessageKind::kAttribute, true};
      break;
    case MessageKind::kTensor:
      break;
  }
  return std::nullopt;
}

inline void AppendVarint(std::uint64_t value, std::string& out) {
  while (value >= 0x80) {
    out += static_cast<char>((value & 0x7F) | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}
inline void AppendVarintField(std::uint64_t number, std::uint64_t value, std::string& out) {
  AppendVarint(number << 3, out);
  AppendVarint(value, out);
}
inline void AppendLengthField(std::uint64_t number, std::string_view body, std::string& out) {
  AppendVarint((number << 3) | static_cast<std::uint64_t>(WireType::kLength), out);
  AppendVarint(body.size(), out);
  out += body;
}

}  // namespace ckpt::formats::onnx
