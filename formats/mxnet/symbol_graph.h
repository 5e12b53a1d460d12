// The graph in MXNet's PREFIX-symbol.json.
//
//   {"nodes": [{"op", "name", "attrs": {"eps": "2e-05", ...}, "inputs": [[node, output, 0]...]}],
//    "heads": [[node, output, 0]...]}
//
// Variables are nodes with the op "null". Attributes are texts; older files call them "attr" or
// "param".
#pragma once

#include <string_view>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/model_graph.h"

namespace ckpt::formats {

struct SymbolGraph {
  ModelGraph graph;
  std::vector<TensorId> fixed_gammas;  // of batch norms with fix_gamma
};

// Variables are bound to the tensors of `manifest` with their names. kCorrupt where the text is no
// symbol or contradicts itself.
Result<SymbolGraph> ReadSymbol(std::string_view text, const Manifest& manifest);

}  // namespace ckpt::formats
