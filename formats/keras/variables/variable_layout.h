// Which tensor is which variable of a Keras 3 weights file: kept from reading to writing.
//
// As a document of the manifest it is text, a line each:
//   group <path>             an object whose name is not recorded
//   group <path> <name>      the variables of an object follow
//   variable <key> <tensor>  its number; its name in the manifest
//   other <path> <tensor>    a dataset that is no object's variable
//   old_layers once|twice    the file is one of Keras 2.12 to 2.14
// Fields are separated by tabs; tab, newline and backslash in a name are \t, \n, \\.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/result.h"

namespace ckpt::formats::keras {

inline constexpr std::string_view kVariableLayoutDocument = "variable_layout";

struct LayoutVariable {
  std::string key;     // "0"
  std::string tensor;  // "bn/gamma"
  bool operator==(const LayoutVariable&) const = default;
};

struct LayoutGroup {
  std::string path;  // "layers/batch_normalization"; "" for the model itself
  std::optional<std::string> name = {};
  std::vector<LayoutVariable> variables = {};
  bool operator==(const LayoutGroup&) const = default;
};

// How the file calls its lists of layers (old_layers.h); the paths of a layout are those of kNone.
enum class OldLayers : std::uint8_t { kNone, kCountedOnce, kCountedTwice };

struct VariableLayout {
  std::vector<LayoutGroup> groups = {};
  std::vector<LayoutVariable> others = {};  // by path
  OldLayers old_layers = OldLayers::kNone;
};

std::string VariableLayoutText(const VariableLayout& layout);
// kCorrupt with the line for text of another form.
Result<VariableLayout> ParseVariableLayout(std::string_view text);

}  // namespace ckpt::formats::keras
