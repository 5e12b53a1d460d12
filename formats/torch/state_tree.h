// Finds the tensors in what a pickle holds, and gives them the names that people know.
//
// A file may hold a bare state dict, a training checkpoint with one inside (under "state_dict",
// "model"... beside an optimizer's state), a pickled module or a TorchScript object. Names are
// paths joined by dots. In `name` the container of the model's own weights is left out, as are the
// wrappers that DataParallel ("module."), torch.compile ("_orig_mod.") and FSDP put before every
// name; `stored_as` is the whole path.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/formats/format.h"
#include "ckpt/tensor.h"
#include "formats/torch/pickle_graph.h"

namespace ckpt::formats {

struct NamedTensor {
  std::string name, stored_as;
  PickleId value = 0;
  Section section = Section::kModel;
  bool of_model = false;  // stands in the container of the model's own weights
};

// A module: an object that a pickle or TorchScript holds, or one of which the state dict's
// `_metadata` has the version.
struct NamedModule {
  std::string scope;                         // before the names of its tensors, without the dot
  std::optional<PickleId> object = {};       // absent in a state dict
  std::optional<std::int64_t> version = {};  // in `_metadata`
};

struct OptimizerState {
  std::string path;  // as in stored_as
  PickleId value;    // {"state": ..., "param_groups": ...}
};

struct StateTree {
  std::vector<NamedTensor> tensors;  // in the order of the file; names differ
  std::vector<NamedModule> modules;  // in the order of the model's definition; scopes differ
  std::vector<OptimizerState> optimizers;
  std::string container;                        // "state_dict"; empty where there is none
  std::map<std::string, std::string> metadata;  // numbers and short texts beside the weights
  std::string module_versions;  // `_metadata` of the state dict as JSON; empty where it has none
};

// kLimitExceeded above limits.tensors tensors, for names above limits.name_bytes or
// `all_name_bytes` together, and where paths through shared containers are far more than the
// containers. kCorrupt for a name that occurs twice.
Result<StateTree> ReadStateTree(const PickleGraph& graph, PickleId root, const Limits& limits,
                                std::uint64_t all_name_bytes);

// Classes and functions that are not those of tensors and containers, each once, in the order of
// their first mention. None of them is ever run.
std::vector<std::string> UnknownGlobals(const PickleGraph& graph);

}  // namespace ckpt::formats
