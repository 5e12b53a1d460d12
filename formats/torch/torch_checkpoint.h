// Makes a checkpoint of an interpreted pickle and the storages that it refers to.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/formats/format.h"
#include "formats/torch/pickle_graph.h"
#include "formats/torch/script_source.h"
#include "formats/torch/stored_tensor.h"

namespace ckpt::formats {

// A pickle's value, and how the storages that it names are found.
struct PickledPart {
  PickleId root;
  std::string prefix;  // before every name: "constants", or empty
  // The error becomes a problem of the tensors that need the storage.
  std::function<Result<StorageLocation>(const StorageReference& storage)> locate;
  // What TorchScript's source says of a class ("__torch__.torch.nn.modules.conv.Conv2d"); null
  // where it says nothing. Empty: there is no source.
  std::function<const ScriptClass*(std::string_view compiled)> script_class = {};
  std::uint64_t pickle_bytes = 0;  // of the record that it was read from
};

// What the reader found beside the pickle.
struct FileRemarks {
  std::vector<std::string> notes = {};         // the beginning of the manifest's note
  std::vector<std::string> runs_on_load = {};  // see Manifest
};

// Errors of the pickle's content name the file.
Result<std::unique_ptr<Checkpoint>> MakeTorchCheckpoint(const PickleGraph& graph,
                                                        const std::vector<PickledPart>& parts,
                                                        StorageFile storages, FileRemarks remarks,
                                                        const Limits& limits);

}  // namespace ckpt::formats
