// What the modules that a file records say of its batch norms.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "ckpt/batch_norm.h"

namespace ckpt {

// Is the layer of `scope` a batch norm, by its recorded class or the version of its state? nullopt:
// nothing is recorded, or it does not tell. Of a batch norm: the evidence.
struct RecordedKind {
  bool batch_norm;
  Evidence evidence;
};
std::optional<RecordedKind> KindOf(const ModuleIndex& modules, std::string_view scope);

// Epsilon, momentum, cumulative average and mode of a batch norm, as its module records them.
// Leaves what the module does not say, or says out of range, as it is.
void ReadModule(const ModuleIndex& modules, BatchNorm& batch_norm);

}  // namespace ckpt
