// What PyTorch's modules call the tensors that a graph's layers read.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "ckpt/model_graph.h"

namespace ckpt {

// "layer1.0.bn1.weight" -> {"layer1.0.bn1", "weight"}; the first is empty for a plain name.
std::pair<std::string_view, std::string_view> SplitAtDot(std::string_view name);

// `name` without `suffix`; nullopt where it ends otherwise.
std::optional<std::string> Without(const std::string& name, std::string_view suffix);

// What a PyTorch module calls the tensor that a layer of the graph calls `local_name`; empty for
// what is no plain tensor of a batch norm, convolution or dense layer. Only PyTorch's exporters
// record modules.
std::string_view LeafOf(const Layer& layer, std::string_view local_name, std::string_view stored);

// "bn_1" is a second call of "bn", or a module of that name.
bool MayBeSecondCall(std::string_view module, std::string_view stored);

}  // namespace ckpt
