// What the modules that a file records say of its batch norms.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "ckpt/batch_norm.h"
#include "roles/training_state.h"

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

// Is the batch norm part of an averaged model (torch.optim.swa_utils.AveragedModel, whose counter
// stands beside it)? Its statistics are plain averages then: update_bn makes them so.
std::optional<Evidence> InAveragedModel(const NameIndex& names, std::string_view scope);

}  // namespace ckpt
