// An opened checkpoint: the manifest now, tensor bytes on demand.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ckpt/model_graph.h"
#include "ckpt/op_graph.h"
#include "ckpt/recorded_module.h"
#include "ckpt/tensor.h"

namespace ckpt {
namespace network {
struct Network;  // ckpt/network/network.h
}

// The framework whose names and layouts a file follows. Keyed by framework, never by file format.
enum class Framework : std::uint8_t {
  kTensorFlow,
  kKeras,
  kPyTorch,
  kFlax,
  kCaffe,
  kDarknet,
  kMxNet,
  kChainer,
};
std::string_view Name(Framework framework) noexcept;  // "TensorFlow", "Keras", "MXNet"...

// A text record of the framework inside the file, kept as data: {"model_config", "{...}"}.
struct Document {
  std::string name;
  std::string text;
};

// A fault that leaves the rest of the file readable.
struct Problem {
  Error error;                    // kNotFound for an absent shard, kCorrupt for a short one
  std::vector<TensorId> tensors;  // whose bytes cannot be had; none: nothing tells which
};

struct Manifest {
  std::string resolved;   // the file, or the prefix of a bundle, that was opened
  std::string note = {};  // what a reader has to say of it, for people; or empty
  std::vector<std::string> files =
      {};                           // all files of the checkpoint that are there, the index first
  std::vector<TensorInfo> tensors;  // sorted by name
  std::vector<Document> documents = {};
  std::map<std::string, std::string> metadata = {};  // "keras_version", safetensors __metadata__...
  std::optional<Framework> framework = {};           // only if the file records it
  std::string framework_version = {};
  std::optional<ModelGraph> graph = {};  // only if the file has one
  // The modules that the file records, in the order in which the model defines them; those without
  // tensors too where they are recorded. Scopes differ.
  std::vector<RecordedModule> modules = {};
  // All tensors in the order in which the model defines them. Empty where the file keeps no such
  // order: a sorted format, or an order that is just that of the names.
  std::vector<TensorId> stored_order = {};
  // Functions that run when the framework loads the file, besides its own constructors:
  // "posix.system". Nothing here ever runs one.
  std::vector<std::string> runs_on_load = {};
  // The operations of the file itself, or of the graph beside it; null where there is none.
  std::shared_ptr<const OpGraph> ops = {};
  std::vector<Problem> problems = {};
};

// What the user named, and how that led to this checkpoint; set by the code that resolved it.
struct InputName {
  std::string path;       // as the user gave it
  std::string note = {};  // "logs/checkpoint names model.ckpt-500 as the latest"; or empty
  // Checkpoints of the same run, oldest first, without this one: only where the user named a folder
  // or a state file.
  std::vector<std::string> older = {};
};

// Open() may be called from several threads at once.
class Checkpoint {
 public:
  virtual ~Checkpoint() = default;
  virtual std::string_view format() const noexcept = 0;  // "tf-bundle": a name of the contract
  virtual const Manifest& manifest() const noexcept = 0;
  virtual Result<std::unique_ptr<TensorStream>> Open(TensorId id) const = 0;
  // What the file computes at inference, its constants being tensors of this checkpoint; made on
  // demand. kUnsupported where the file has no network. What of it is not understood is an
  // operation `Unknown`, and no error.
  virtual Result<network::Network> MakeNetwork() const;

  const InputName& input_name() const noexcept { return input_name_; }
  void set_input_name(InputName name) { input_name_ = std::move(name); }

 private:
  InputName input_name_;
};

// The id of the tensor called `name`, by its name or by its key in the file.
std::optional<TensorId> FindTensor(const Manifest& manifest, std::string_view name);

// Why the bytes of a tensor with data_present false cannot be had: the error of the problem that
// lists it, with the tensor's name. kInternal if none does.
Error WhyAbsent(const Manifest& manifest, TensorId id);

// All bytes of one tensor. Fails with kLimitExceeded above `max_bytes` before anything is read.
Result<std::vector<std::byte>> ReadBytes(const Checkpoint& checkpoint, TensorId id,
                                         std::uint64_t max_bytes);
// All elements as double; kUnsupported unless IsReal(dtype).
Result<std::vector<double>> ReadDoubles(const Checkpoint& checkpoint, TensorId id,
                                        std::uint64_t max_elements);

}  // namespace ckpt
