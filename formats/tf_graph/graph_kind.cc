#include "formats/tf_graph/graph_kind.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <string>

namespace ckpt::formats {
namespace {

constexpr unsigned kVarintType = 0, kBytesType = 2;

struct Field {
  unsigned number = 0, wire_type = 0;
  std::string_view bytes;    // of a field of bytes: as much of it as there is
  std::uint64_t value = 0;   // of a number
  std::uint64_t length = 0;  // as the file says
};

bool ReadVarint(std::string_view* text, std::uint64_t* value) {
  *value = 0;
  for (unsigned shift = 0; shift < 64 && !text->empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(text->front());
    text->remove_prefix(1);
    *value |= std::uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

// Takes one field off the front, cut where the text ends.
std::optional<Field> ReadField(std::string_view* text) {
  std::uint64_t tag = 0;
  if (!ReadVarint(text, &tag) || tag >> 3 == 0 || tag >> 3 > 4096) return std::nullopt;
  Field field;
  field.number = static_cast<unsigned>(tag >> 3);
  field.wire_type = static_cast<unsigned>(tag & 7);
  if (field.wire_type == kVarintType) {
    if (!ReadVarint(text, &field.value)) return std::nullopt;
  } else if (field.wire_type == kBytesType) {
    if (!ReadVarint(text, &field.length)) return std::nullopt;
    field.bytes = text->substr(
        0, static_cast<std::size_t>(std::min<std::uint64_t>(field.length, text->size())));
    text->remove_prefix(field.bytes.size());
  } else {
    return std::nullopt;
  }
  return field;
}

bool IsName(std::string_view text, std::string_view also) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || also.find(c) != also.npos;
  });
}

// NodeDef: a name, then an operation.
bool BeginsNode(std::string_view text) {
  const auto name = ReadField(&text);
  if (!name || name->number != 1 || name->wire_type != kBytesType || name->length == 0)
    return false;
  if (text.empty()) return name->bytes.size() < name->length || name->bytes.size() > 200;
  const auto op = ReadField(&text);
  return op && op->number == 2 && op->wire_type == kBytesType && IsName(op->bytes, "_>.");
}

// FunctionDefLibrary: functions (a signature with a name first) or gradients.
bool BeginsLibrary(std::string_view text) {
  const auto function = ReadField(&text);
  if (!function || function->wire_type != kBytesType) return false;
  if (function->number == 2) return true;
  std::string_view inner = function->bytes;
  const auto signature = ReadField(&inner);
  if (function->number != 1 || !signature || signature->number != 1) return false;
  inner = signature->bytes;
  const auto name = ReadField(&inner);
  return name && name->number == 1 && name->wire_type == kBytesType && name->length > 0 &&
         std::none_of(name->bytes.begin(), name->bytes.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

bool BeginsGraph(std::string_view text) {
  const auto first = ReadField(&text);
  if (!first || first->wire_type != kBytesType) return false;
  return (first->number == 1 && BeginsNode(first->bytes)) ||
         (first->number == 2 && BeginsLibrary(first->bytes));
}

// google.protobuf.Any: a type and a value. Keras' metadata have a name in its place.
bool BeginsAny(std::string_view text) {
  if (text.empty()) return true;
  const auto field = ReadField(&text);
  return field && field->number <= 2 && field->wire_type == kBytesType;
}

// MetaInfoDef, in which an operation list or tags or versions come early.
bool BeginsMetaInfo(std::string_view text) {
  for (int i = 0; i < 3 && !text.empty(); ++i) {
    const auto field = ReadField(&text);
    if (!field) return false;
    const bool flag = field->number == 7;
    if (field->number == 3 && !BeginsAny(field->bytes)) return false;
    if (field->number > 8 || (field->wire_type == kVarintType) != flag) return false;
    if (field->number == 2 && field->length > 0) {  // OpList: operations with names
      std::string_view list = field->bytes;
      const auto op = ReadField(&list);
      if (!op || op->number != 1 || op->wire_type != kBytesType || op->bytes.empty()) return false;
      return op->bytes.front() == '\x0a';
    }
  }
  return true;
}

bool BeginsMetaGraph(std::string_view text) {
  const auto first = ReadField(&text);
  if (!first || first->wire_type != kBytesType) return false;
  if (first->number == 2) return BeginsGraph(first->bytes);
  if (first->number != 1 || BeginsNode(first->bytes) || !BeginsMetaInfo(first->bytes)) return false;
  // Other messages begin with an empty or short text too: what follows must be of a MetaGraphDef.
  const auto second = ReadField(&text);
  return second ? second->number >= 2 && second->number <= 7 : text.empty();
}

bool BeginsSavedModel(std::string_view text) {
  auto field = ReadField(&text);
  if (field && field->number == 1 && field->wire_type == kVarintType && field->value <= 16) {
    field = ReadField(&text);
  }
  if (!field || field->number != 2 || field->wire_type != kBytesType) return false;
  if (BeginsMetaGraph(field->bytes)) return true;
  // Written by newer releases: any field of a MetaGraphDef may come first.
  std::string_view inner = field->bytes;
  const auto first = ReadField(&inner);
  return first && first->number >= 3 && first->number <= 7 && first->wire_type == kBytesType;
}

struct FirstWord {
  std::string_view word;
  OpGraphKind kind;
};
constexpr std::array<FirstWord, 13> kFirstWords = {{
    {"saved_model_schema_version", OpGraphKind::kSavedModel},
    {"meta_graphs", OpGraphKind::kSavedModel},
    {"meta_info_def", OpGraphKind::kMetaGraph},
    {"graph_def", OpGraphKind::kMetaGraph},
    {"saver_def", OpGraphKind::kMetaGraph},
    {"collection_def", OpGraphKind::kMetaGraph},
    {"signature_def", OpGraphKind::kMetaGraph},
    {"asset_file_def", OpGraphKind::kMetaGraph},
    {"object_graph_def", OpGraphKind::kMetaGraph},
    {"node", OpGraphKind::kGraphDef},
    {"library", OpGraphKind::kGraphDef},
    {"versions", OpGraphKind::kGraphDef},
    {"version", OpGraphKind::kGraphDef},
}};

std::optional<GraphKind> SniffText(std::string_view text) {
  const auto skip_blank = [&] {
    while (!text.empty()) {
      if (std::isspace(static_cast<unsigned char>(text.front())) != 0) {
        text.remove_prefix(1);
      } else if (text.front() == '#') {
        text.remove_prefix(std::min(text.find('\n'), text.size()));
      } else {
        return;
      }
    }
  };
  skip_blank();
  std::size_t end = 0;
  while (end < text.size() &&
         (std::isalnum(static_cast<unsigned char>(text[end])) != 0 || text[end] == '_')) {
    ++end;
  }
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end);
  skip_blank();
  if (text.empty() || (text.front() != '{' && text.front() != ':' && text.front() != '<')) {
    return std::nullopt;
  }
  for (const FirstWord& row : kFirstWords) {
    if (row.word == word) return GraphKind{row.kind, true};
  }
  return std::nullopt;
}

}  // namespace

std::optional<GraphKind> SniffGraphKind(std::span<const std::byte> head) {
  const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
  if (BeginsSavedModel(text)) return GraphKind{OpGraphKind::kSavedModel, false};
  if (BeginsMetaGraph(text)) return GraphKind{OpGraphKind::kMetaGraph, false};
  if (BeginsGraph(text)) return GraphKind{OpGraphKind::kGraphDef, false};
  return SniffText(text);
}

std::string_view Name(OpGraphKind kind) noexcept {
  switch (kind) {
    case OpGraphKind::kGraphDef:
      return "GraphDef";
    case OpGraphKind::kMetaGraph:
      return "MetaGraphDef";
    case OpGraphKind::kSavedModel:
      return "SavedModel";
  }
  return "";
}

}  // namespace ckpt::formats
