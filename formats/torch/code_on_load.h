// Which functions run when a pickle is loaded in Python, besides the constructors of a framework.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "formats/torch/pickle_graph.h"

namespace ckpt::formats {

// Is this a function or class that is known to run what the pickle hands to it, or to give access
// to such a one: a shell, eval, a file, the network, another pickle, a module's attribute?
bool RunsCode(std::string_view module, std::string_view name);

// Of all classes and functions that the graph names, those that run code; each once, in the order
// of their first mention. A class that is merely unknown is not among them. getattr is what pickles
// of enumerations and bound methods use; it is among them where it takes apart what is no class or
// object of the pickle's own.
std::vector<std::string> CodeOnLoad(const PickleGraph& graph);

}  // namespace ckpt::formats
