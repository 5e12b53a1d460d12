// The variables of a Keras 3 weights file: where the objects of a model keep theirs.
//
//   /vars                                       of the model itself
//   /layers/conv2d/vars/0, 1, ...               of a layer, in the order in which it made them
//   /layers/functional/layers/conv2d/vars/0     of a layer of a nested model
//   /optimizer/vars/0, 1, ...
//
// A path is the way Keras walked from the model through attributes and containers. In a container
// an object is called by its class and counted, whatever its own name; that stands in the
// attribute "name" of "vars", since Keras 3.6.
//
// Source: keras/src/saving/saving_lib.py of Keras 3, keras/saving/saving_lib.py of 2.12 to 2.15.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/hdf5/hdf5_file.h"
#include "formats/keras/variables/variable_layout.h"

namespace ckpt::formats::keras {

// A dataset of one of several files.
struct StoredDataset {
  std::uint32_t file = 0;
  const Hdf5Object* object = nullptr;  // of that file
};

struct StoredVariable {
  std::string key;  // "0", "1", ...; layers with a way of their own may use other words
  StoredDataset dataset;
};

struct VariableGroup {
  std::string path;                            // "layers/conv2d"; "" for the model itself
  std::optional<std::string> name = {};        // of the object, where the file records it
  std::vector<StoredVariable> variables = {};  // by number, then those with other keys

  std::string stored_path() const { return path.empty() ? "vars" : path + "/vars"; }
};

struct VariableStore {
  std::vector<VariableGroup> groups;  // sorted by path, no path twice; as Keras 2.15 calls them
  OldLayers old_layers = OldLayers::kNone;
  std::vector<StoredDataset> others;  // datasets that are no object's variables

  const VariableGroup* Find(std::string_view path) const;  // null if there is none
};

// Is this the layout of Keras 3 rather than that of the older whole-model files?
bool HoldsVariableGroups(const Hdf5File& file);

// Groups that are split over several files are put together. kCorrupt for a variable that two files
// have.
Result<VariableStore> CollectVariables(std::span<const std::unique_ptr<Hdf5File>> files);

// "layers/conv2d" -> {"layers", "conv2d"}
std::vector<std::string> PathParts(std::string_view path);

}  // namespace ckpt::formats::keras
