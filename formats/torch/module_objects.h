// Modules as pickles and TorchScript hold them: objects with parameters, buffers, modules within
// and plain attributes. Their classes are names; nothing of them is run.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/recorded_module.h"
#include "formats/torch/pickle_graph.h"
#include "formats/torch/pickle_mapping.h"

namespace ckpt::formats {

// An object with the attributes of torch.nn.Module, or one of a class that TorchScript compiled.
bool IsModuleObject(const PickleGraph& graph, PickleId id);
// Are these the attributes of a torch.nn.Module?
bool IsModuleState(const PickleGraph& graph, const std::vector<PicklePair>& attributes);
// The last value under a text key.
std::optional<PickleId> ValueIn(const PickleGraph& graph, const std::vector<PicklePair>& pairs,
                                std::string_view key);

// The names in `_non_persistent_buffers_set`.
std::set<std::string_view> NonPersistentBuffers(const PickleGraph& graph,
                                                const std::vector<PicklePair>& attributes);

// The `_metadata` that is set on a state dict.
std::optional<PickleId> MetadataOf(const PickleGraph& graph, PickleId state_dict);
// The version in one of its entries; nullopt unless the key is a text and the version a number.
std::optional<std::int64_t> VersionOf(const PickleGraph& graph, PickleId module, PickleId facts);

// Class and plain attributes of the object; scope, version and calls are left to the caller.
// REQUIRES: IsModuleObject.
RecordedModule RecordModule(const PickleGraph& graph, PickleId object);

// "__torch__.torch.nn.modules.conv.___torch_mangle_3.Conv2d" -> "torch.nn.modules.conv.Conv2d".
std::string ScriptClassName(std::string_view compiled);
// Is it the name of a class that TorchScript compiled?
bool IsScriptClass(std::string_view name);
// The compiled class of a module object; empty for a pickled module.
std::string_view ScriptClassOf(const PickleGraph& graph, PickleId object);

}  // namespace ckpt::formats
