// What a Keras config records: layers, their calls and which tensors a call reads, with every
// reference resolved and checked. What the layers do is not understood here.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/keras/model/config_calls.h"
#include "formats/keras/model/config_json.h"

namespace ckpt::formats::keras {

// An output of a call of a layer of the same model.
struct TensorRef {
  std::uint32_t layer = 0, call = 0, output = 0;
  std::optional<std::int64_t> rank = {};  // of the tensor, where the config says it
};

struct CallRecord {
  std::vector<TensorRef> inputs = {};  // all that it reads, in the order in which Keras walks them
  std::string oddity = {};             // see OddityOfCall
  std::optional<bool> training = {};   // see TrainingOfCall
  // Reads the input of a Sequential that has no InputLayer, beside `inputs`.
  bool reads_implicit_input = false;

  std::size_t input_count() const noexcept {
    return inputs.size() + (reads_implicit_input ? 1 : 0);
  }
};

struct ModelRecord;

struct LayerRecord {
  std::string name;
  std::string class_name;    // "Conv2D", "Custom>Conv2D"
  std::string package = {};  // module or registered package of a class that is not Keras' own
  Json* entry = nullptr;     // {"class_name", "config", ...}
  bool is_input = false;     // an InputLayer: one call, which reads nothing
  std::unique_ptr<ModelRecord> model = {};  // a nested Sequential or functional model
  std::vector<CallRecord> calls = {};
  // What the config's node number of the layer's first call is, in inbound_nodes and in
  // output_layers: models may count the call that built them.
  std::int64_t first_node = 0, first_end_node = 0;
};

struct ModelRecord {
  bool sequential = false;
  Json* config = nullptr;      // the list of layers itself in the oldest form of a Sequential
  Json* layer_list = nullptr;  // the array of layer entries
  std::vector<LayerRecord> layers = {};
  std::vector<TensorRef> inputs = {}, outputs = {};
  bool implicit_input = false;  // a Sequential without InputLayer

  std::size_t input_count() const noexcept { return implicit_input ? 1 : inputs.size(); }

  // Every call as (layer, call), each after those that it reads from.
  std::vector<std::pair<std::uint32_t, std::uint32_t>> order = {};
};

// Where the class of an entry comes from that is not Keras' own: its module, or the package under
// which it was registered ("Zoo>Conv2D"). Empty for Keras' own.
std::string ForeignPackage(const Json& entry);

// Is this the entry of a model whose layers are recorded (not of a subclass of Model)?
bool IsModelEntry(const Json& entry);

// `entry` is {"class_name", "config"} of a model and must outlive the record, which points into it.
// kUnsupported for classes whose layers are not recorded; kCorrupt for references to layers or
// calls that are not there, duplicate names, and cycles.
Result<std::unique_ptr<ModelRecord>> ReadModelRecord(Json& entry);

}  // namespace ckpt::formats::keras
