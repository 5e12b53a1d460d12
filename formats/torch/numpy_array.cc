#include "formats/torch/numpy_array.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace ckpt::formats {
namespace {

constexpr std::string_view kReconstruct[] = {"numpy.core.multiarray._reconstruct",
                                             "numpy._core.multiarray._reconstruct"};
constexpr std::string_view kFromBuffer[] = {"numpy.core.numeric._frombuffer",
                                            "numpy._core.numeric._frombuffer"};

struct NumpyType {
  std::string_view code;
  Dtype dtype;
  unsigned bytes, swap_bytes;
};
constexpr NumpyType kNumpyTypes[] = {
    {"f4", Dtype::kF32, 4, 4}, {"f8", Dtype::kF64, 8, 8},   {"f2", Dtype::kF16, 2, 2},
    {"i8", Dtype::kI64, 8, 8}, {"i4", Dtype::kI32, 4, 4},   {"i2", Dtype::kI16, 2, 2},
    {"i1", Dtype::kI8, 1, 1},  {"u8", Dtype::kU64, 8, 8},   {"u4", Dtype::kU32, 4, 4},
    {"u2", Dtype::kU16, 2, 2}, {"u1", Dtype::kU8, 1, 1},    {"b1", Dtype::kBool, 1, 1},
    {"c8", Dtype::kC64, 8, 4}, {"c16", Dtype::kC128, 16, 8}};

// The parts of the pickled array, wherever they stand.
struct Parts {
  PickleId shape, dtype, order, bytes;
};

std::optional<Parts> PartsOf(const PickleGraph& graph, PickleId id) {
  if (graph.kind(id) != PickleKind::kObject) return std::nullopt;
  const PickleObject& object = graph.object(id);
  if (graph.kind(object.callable) != PickleKind::kGlobal) return std::nullopt;
  const std::string_view function = graph.text(object.callable);
  if (OneOf(kFromBuffer, function)) {
    const auto arguments = graph.TupleItems(object.arguments);
    if (arguments.size() != 4) return std::nullopt;
    return Parts{arguments[2], arguments[1], arguments[3], arguments[0]};
  }
  if (!OneOf(kReconstruct, function) || object.states().empty()) return std::nullopt;
  const auto state = graph.TupleItems(object.states().back());
  if (state.size() != 5) return std::nullopt;
  return Parts{state[1], state[2], state[3], state[4]};
}

// numpy.dtype('f4', False, True) with the state (3, '<', None, None, None, -1, -1, 0)
const NumpyType* TypeOf(const PickleGraph& graph, PickleId dtype, bool* big_endian) {
  if (graph.kind(dtype) != PickleKind::kObject) return nullptr;
  const PickleObject& object = graph.object(dtype);
  const auto arguments = graph.TupleItems(object.arguments);
  const bool named = graph.IsGlobal(object.callable, "numpy.dtype") && !arguments.empty() &&
                     graph.kind(arguments[0]) == PickleKind::kText;
  if (!named) return nullptr;
  const std::string_view code = graph.text(arguments[0]);
  *big_endian = false;
  for (const PickleId state : object.states()) {
    const auto items = graph.TupleItems(state);
    if (items.size() > 1) *big_endian = graph.IsText(items[1], ">");
  }
  const auto* const found = std::find_if(std::begin(kNumpyTypes), std::end(kNumpyTypes),
                                         [&](const NumpyType& type) { return type.code == code; });
  return found == std::end(kNumpyTypes) ? nullptr : found;
}

// Latin-1 back from UTF-8; nullopt where a character is beyond it.
std::optional<std::string> Latin1FromUtf8(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x80) {
      bytes += text[i];
    } else {
      const bool two = (lead == 0xC2 || lead == 0xC3) && i + 1 < text.size() &&
                       (static_cast<unsigned char>(text[i + 1]) & 0xC0) == 0x80;
      if (!two) return std::nullopt;
      bytes +=
          static_cast<char>(((lead & 3) << 6) | (static_cast<unsigned char>(text[++i]) & 0x3F));
    }
  }
  return bytes;
}

// _codecs.encode(text, 'latin1'), or a bytearray made of bytes: what it encodes.
std::optional<PickleId> Encoded(const PickleGraph& graph, PickleId id) {
  if (graph.kind(id) != PickleKind::kObject) return std::nullopt;
  const PickleObject& object = graph.object(id);
  const auto arguments = graph.TupleItems(object.arguments);
  const bool known = graph.IsGlobal(object.callable, "_codecs.encode") ||
                     graph.IsGlobal(object.callable, "builtins.bytearray") ||
                     graph.IsGlobal(object.callable, "__builtin__.bytearray");
  return known && !arguments.empty() ? std::optional(arguments[0]) : std::nullopt;
}

}  // namespace

bool IsNumpyFunction(std::string_view name) noexcept {
  return OneOf(kReconstruct, name) || OneOf(kFromBuffer, name);
}

bool IsNumpyArray(const PickleGraph& graph, PickleId id) {
  const auto parts = PartsOf(graph, id);
  bool big_endian = false;
  return parts && TypeOf(graph, parts->dtype, &big_endian) != nullptr;
}

Result<NumpyArray> ReadNumpyArray(const PickleGraph& graph, PickleId id) {
  const Parts parts = *PartsOf(graph, id);
  NumpyArray array;
  const NumpyType& type = *TypeOf(graph, parts.dtype, &array.big_endian);
  array.dtype = type.dtype;
  array.element_bytes = type.bytes;
  array.swap_bytes = type.swap_bytes;
  array.bytes = parts.bytes;
  const bool flag = graph.kind(parts.order) == PickleKind::kBool && graph.boolean(parts.order);
  const bool number =
      graph.kind(parts.order) == PickleKind::kInt && graph.integer(parts.order) != 0;
  array.fortran_order = flag || number || graph.IsText(parts.order, "F");
  std::vector<std::int64_t> dims;
  for (const PickleId dim : graph.TupleItems(parts.shape)) {
    if (graph.kind(dim) != PickleKind::kInt) {
      return Fail(ErrorCode::kCorrupt, "its shape is no tuple of numbers");
    }
    dims.push_back(graph.integer(dim));
  }
  CKPT_ASSIGN_OR_RETURN(array.shape, Shape::FromDims(dims));
  return array;
}

std::optional<std::string> PickledBytes(const PickleGraph& graph, PickleId id) {
  const PickleId held = Encoded(graph, id).value_or(id);
  const PickleKind kind = graph.kind(held);
  if (kind == PickleKind::kBytes) return std::string(graph.text(held));
  if (kind != PickleKind::kText) return std::nullopt;
  // A string of Python 2 holds the bytes themselves.
  return held == id ? std::string(graph.text(held)) : Latin1FromUtf8(graph.text(held));
}

Result<std::string> NumpyBytes(const PickleGraph& graph, PickleId bytes, std::uint64_t size) {
  std::optional<std::string> found = PickledBytes(graph, bytes);
  if (!found && size == 0) found.emplace();
  if (!found || found->size() != size) {
    return Fail(ErrorCode::kCorrupt,
                "is an array of " + std::to_string(size) + " bytes and has " +
                    (found ? std::to_string(found->size()) : std::string("none")));
  }
  return *std::move(found);
}

}  // namespace ckpt::formats
