// A network: values, and the operations that make them of one another.
//
// It says what a file computes at inference and holds no tensor's bytes. Made by
// Checkpoint::MakeNetwork(); weights are read from the checkpoint by whoever needs them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "ckpt/network/operation.h"
#include "ckpt/result.h"
#include "ckpt/tensor.h"

namespace ckpt::network {

struct ValueId {
  std::uint32_t index = UINT32_MAX;
  bool operator==(const ValueId&) const = default;
  auto operator<=>(const ValueId&) const = default;
};
inline constexpr ValueId kNoValue = {};  // an operand that is left out

struct OperationId {
  std::uint32_t index = 0;
  auto operator<=>(const OperationId&) const = default;
};

// As far as it is known: no list is an unknown rank, a size of kUnknownSize an unknown size.
inline constexpr std::int64_t kUnknownSize = -1;
using PartialShape = std::optional<Sizes>;

// A tensor of the checkpoint as the network reads it: under another shape (the same elements in C
// order), then with its axes in another order.
struct StoredConstant {
  TensorId tensor = {0};
  std::optional<Sizes> shape = {};  // absent: as stored
  Sizes order = {};                 // axis i is axis order[i] of that; empty: as it is
};
// A constant that the file's graph itself says, or that the framework's definition does.
struct InlineConstant {
  Sizes shape = {};
  std::vector<double> elements = {};  // C order
  ElementKind kind = ElementKind::kReal;
};
using Constant = std::variant<StoredConstant, InlineConstant>;

struct Value {
  std::string name;         // the file's, unique where it is not empty
  PartialShape shape = {};  // as recorded or found by the shape rules
  std::optional<ElementKind> kind = {};
  std::optional<Constant> constant = {};
  // Both absent in an input of the network.
  std::optional<OperationId> producer = {};
};

struct Operation {
  Computation computation;
  std::vector<ValueId> operands = {};  // kNoValue where one is left out
  std::vector<ValueId> results = {};   // kNoValue where nothing reads it
  std::uint32_t layer = 0;             // an index into Network::layers
};

// What the file calls the thing that an operation belongs to: a layer of Keras, a node of a graph.
struct LayerName {
  std::string name;     // "stem/conv"
  std::string op_type;  // the framework's word: "Conv2D"
};

// An input or output, by the name that callers use ("images", "serving_default_x:0").
struct Port {
  std::string name;
  ValueId value;
};

// Where it was read from.
enum class Origin : std::uint8_t {
  kKerasConfig,
  kOnnxGraph,
  kTensorFlowGraph,
  kDarknetConfig,
  kCaffeNet,
  kMxNetSymbol,
};

struct Network {
  Origin origin = Origin::kOnnxGraph;
  std::vector<Value> values = {};
  std::vector<Operation> operations = {};  // producers first
  std::vector<LayerName> layers = {};
  std::vector<Port> inputs = {}, outputs = {};
  // What of the file was left out on the way, for people ("dropout").
  std::vector<std::string> notes = {};

  const Value& value(ValueId id) const { return values[id.index]; }
  const Operation& operation(OperationId id) const { return operations[id.index]; }
};

// Builds a network front to back. The shape rules run as it goes, so that a translator may ask for
// what is known of a value.
class NetworkBuilder {
 public:
  // Where shapes or counts of operands contradict an operation, Finish() fails; with kUnknown its
  // results are of unknown shape, or it is not understood.
  enum class Contradictions : std::uint8_t { kFail, kUnknown };
  explicit NetworkBuilder(Origin origin, Contradictions contradictions = Contradictions::kFail);

  // An input; `shape` with kUnknownSize for sizes that whoever runs it settles (axis 0, mostly).
  ValueId AddInput(std::string name, PartialShape shape, ElementKind kind = ElementKind::kReal);
  // `shape` is that of the tensor as it is read.
  ValueId AddStored(std::string name, StoredConstant constant, Sizes shape,
                    ElementKind kind = ElementKind::kReal);
  ValueId AddInline(InlineConstant constant, std::string name = {});
  ValueId AddScalar(double value, ElementKind kind = ElementKind::kReal);
  ValueId AddIntegers(const Sizes& values);  // a vector

  // The layer of the operations that follow; its index.
  std::uint32_t StartLayer(std::string name, std::string op_type);
  // One result, or `results` of them, named `name`, which is made unique.
  ValueId Add(Computation computation, std::vector<ValueId> operands, std::string name = {});
  std::vector<ValueId> AddMany(Computation computation, std::vector<ValueId> operands,
                               std::size_t results, std::string name = {});
  void AddOutput(std::string name, ValueId value);
  void AddNote(std::string note);

  const Value& value(ValueId id) const { return network_.values[id.index]; }
  const PartialShape& ShapeOf(ValueId id) const { return value(id).shape; }
  std::optional<std::int64_t> RankOf(ValueId id) const;
  // What the file records of a value beyond what the rules found; kept where it says more.
  void Record(ValueId id, const PartialShape& shape);

  // Fails with kCorrupt where an operand's count is against the operation's row, kInternal for a
  // value that is not there.
  Result<Network> Finish() &&;

 private:
  ValueId AddValue(Value value);

  Network network_;
  Contradictions contradictions_;
  std::set<std::string, std::less<>> names_ = {};
  std::optional<Error> error_ = {};  // the first
};

}  // namespace ckpt::network
