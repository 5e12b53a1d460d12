// The graph in MXNet's PREFIX-symbol.json.
//
//   {"nodes": [{"op", "name", "attrs": {"eps": "2e-05", ...}, "inputs": [[node, output, 0]...]}],
//    "heads": [[node, output, 0]...]}
//
// Variables are nodes with the op "null". Attributes are texts; older files call them "attr" or
// "param".
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/model_graph.h"

namespace ckpt::formats {

struct SymbolNode {
  std::string op, name;  // op "null": a variable
  std::map<std::string, std::string> attributes = {};
  std::vector<std::pair<std::size_t, std::size_t>> inputs = {};  // node (before it), output
};
struct Symbol {
  std::vector<SymbolNode> nodes;
  std::vector<std::pair<std::size_t, std::size_t>> heads;  // what it yields
};
// kCorrupt where the text is no symbol or contradicts itself.
Result<Symbol> ReadSymbolNodes(std::string_view text);

// Found over the symbol's operations (FindLayers); what a node records beyond them is added here.
// Variables are the tensors of `manifest` with their names.
ModelGraph GraphOfSymbol(const Symbol& symbol, const Manifest& manifest);

// The gammas of batch norms with fix_gamma, which are read as ones.
std::vector<TensorId> FixedGammas(const Symbol& symbol, const Manifest& manifest);

}  // namespace ckpt::formats
