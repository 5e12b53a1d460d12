// What the savers of a graph write and read.
#pragma once

#include <string>
#include <vector>

#include "ckpt/op_bodies.h"

namespace ckpt {

// One Saver: its SaveV2 or SaveSlices operations (several if it shards), or the function that saves
// in a TensorFlow 2 file.
struct OpSaverContents {
  std::string scope;              // "save", "save_1"
  std::vector<std::string> keys;  // sorted, distinct
  // The variables whose values it takes, by the names that OpVariables gives; sorted, distinct.
  std::vector<std::string> variables;
  bool complete = true;  // false: a list of names is not a constant

  bool SavesKey(std::string_view key) const;
  bool SavesVariable(std::string_view name) const;
};

std::vector<OpSaverContents> FindSavers(const OpBodies& bodies);
// The same for RestoreV2 and RestoreSlice; `variables` are those that are assigned from them.
std::vector<OpSaverContents> FindRestores(const OpBodies& bodies);

}  // namespace ckpt
