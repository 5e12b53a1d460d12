// A dataflow graph of operations as TensorFlow records it: one node an operation, below the level
// of layers (see model_graph.h). It is evidence: what trains, what updates, what is saved, what
// serves. Built by a format from a GraphDef; rewritten by the library into a serving graph; written
// by a format.
//
// Source: tensorflow/core/framework/{graph,node_def,function}.proto, protobuf/{meta_graph,saver,
// saved_object_graph}.proto.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "ckpt/tensor.h"

namespace ckpt {

using OpId = std::uint32_t;  // an index into OpBody::ops

// A data edge: output `output` of operation `op` of the same body. In a function body the file
// names an output by its argument ("y:0" of FusedBatchNorm): `output_arg` keeps that name, and
// `output` counts over all outputs where the argument's place is known, else within the argument.
struct OpEdge {
  OpId op = 0;
  std::uint32_t output = 0;
  std::string output_arg = {};
};

// tensorflow/core/framework/types.proto: DT_FLOAT is 1; references are 100 above.
struct OpDtype {
  std::int32_t number = 0;
  bool operator==(const OpDtype&) const = default;
};
// A dimension of -1 is unknown; no value at all: unknown rank.
using OpShape = std::optional<std::vector<std::int64_t>>;
struct OpFunctionName {
  std::string name;
};
// What the file holds and this library has no use for; the file's own record keeps it.
struct OpOpaque {};

using OpAttr = std::variant<OpOpaque, bool, std::int64_t, double, std::string, OpDtype, OpShape,
                            OpFunctionName, std::vector<std::int64_t>, std::vector<double>,
                            std::vector<std::string>, std::vector<OpDtype>, std::vector<OpShape>,
                            std::vector<OpFunctionName>>;

// The value of a constant of at most kMaxInlineConstant bytes: little-endian, C order; strings in
// `strings` instead.
struct OpConstant {
  Dtype dtype = Dtype::kF32;
  Shape shape;
  std::vector<std::byte> bytes = {};
  std::vector<std::string> strings = {};
};
inline constexpr std::size_t kMaxInlineConstant = std::size_t{1} << 20;

struct Op {
  std::string name;  // unique in its body
  std::string type;  // "Conv2D"; "_Arg" for a function's argument
  std::vector<OpEdge> inputs = {};
  std::vector<OpId> control_inputs = {};
  // As recorded: an absent attribute has the default of the operation's definition.
  std::map<std::string, OpAttr, std::less<>> attrs = {};
  std::optional<OpConstant> constant = {};  // of a Const that is small enough
  // A Const whose value is a tensor of the manifest (graphs that hold their weights).
  std::optional<TensorId> tensor = {};
  // The file's own record of this operation, which a writer starts from so that nothing unknown is
  // lost: an index that means something to the format that read the graph. Absent: a new operation.
  std::optional<std::uint32_t> record = {};
};

// The top graph or a function's body. Loops of control flow make cycles; nothing else may.
struct OpBody {
  std::vector<Op> ops = {};
  std::optional<OpId> Find(std::string_view name) const;
  // Makes Find answer; call after the names are final.
  void Index();

 private:
  std::map<std::string, OpId, std::less<>> by_name_ = {};
};

struct OpFunction {
  std::string name;
  OpBody body = {};  // its arguments are the first operations, of type "_Arg"
  std::size_t arguments = 0;
  std::vector<std::string> result_names = {};
  std::vector<OpEdge> results = {};  // same order
  std::vector<OpId> control_results = {};
};

// A variable as the graph's collections or its object graph record it.
struct OpVariable {
  std::string name;     // as a saver or a checkpoint calls it, without ":0"
  std::string op = {};  // the operation that holds it; empty where only objects name it
  std::string initializer = {};
  // The key in the checkpoint beside it where the object graph gives another than `name`.
  std::string checkpoint_key = {};
  bool in_variables = false, in_trainable_variables = false;  // of the collections
  std::optional<bool> trainable = {};  // VariableDef.trainable if set, SavedVariable.trainable
  bool from_object_graph = false;
  // A part of a partitioned variable: its offset and extent in the full one.
  std::string full_name = {};
  std::vector<std::int64_t> full_shape = {}, offset = {}, extent = {};
};

struct OpSaver {
  std::string filename_tensor, save_tensor, restore_op;
};

// What a file records of a tensor: its type, if any, and its shape.
struct OpTensorType {
  std::optional<OpDtype> dtype = {};
  OpShape shape = {};
};

struct OpSignature {
  std::string name;    // "serving_default"
  std::string method;  // "tensorflow/serving/predict"
  // argument -> tensor: "x:0"
  std::map<std::string, std::string> inputs = {}, outputs = {};
  std::map<std::string, OpTensorType> input_types = {}, output_types = {};  // where recorded
};

// A file of its own beside the graph: who loads the graph gives `tensor` ("vocabulary:0") its path.
struct OpAsset {
  std::string tensor;
  std::string file;  // below the folder "assets"
};

enum class OpGraphKind : std::uint8_t { kGraphDef, kMetaGraph, kSavedModel };

struct OpGraph {
  std::string source;  // evidence text: "MetaGraphDef model.ckpt.meta"
  OpGraphKind kind = OpGraphKind::kGraphDef;
  OpBody top = {};
  std::map<std::string, OpFunction, std::less<>> functions = {};
  // Collections that hold node names: "update_ops", "train_op", ...
  std::map<std::string, std::vector<std::string>, std::less<>> collections = {};
  std::vector<OpVariable> variables = {};
  // True where some VariableDef of the file sets `trainable`: only then does its absence mean
  // false.
  bool records_trainable = false;
  std::optional<OpSaver> saver = {};
  std::vector<OpSignature> signatures = {};
  std::vector<std::string> tags = {};
  // What a loader runs once before it serves: tables are filled there. Empty: nothing.
  std::string initializer = {};
  std::vector<OpAsset> assets = {};
  std::vector<std::vector<std::string>> other_graphs = {};  // tags of those that were not read
  std::string producer_version = {};                        // "1.15.0"
  // The format's own record of the whole file, for the writer of the same family; opaque here.
  std::shared_ptr<const void> file_record = {};
};

// The attribute, or null where the file does not record it or it is of another type.
template <class T>
const T* FindAttr(const Op& op, std::string_view name) {
  const auto it = op.attrs.find(name);
  return it == op.attrs.end() ? nullptr : std::get_if<T>(&it->second);
}

}  // namespace ckpt
