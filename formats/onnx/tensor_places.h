// Every tensor that a model holds, in one order and under one set of names: what a reader lists and
// a writer fills in.
#pragma once

#include <string>
#include <vector>

#include "ckpt/result.h"
#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

enum class TensorPlaceKind : std::uint8_t {
  kInitializer,  // of the main graph; named as in it
  kConstant,     // the value of a Constant node of the main graph; named as the node's output
  kInner,      // of a graph in a node or of a function; named by the way to it: "if/then_branch/w"
  kAttribute,  // any other attribute of a node, and the parts of sparse tensors
};

struct TensorPlace {
  std::string name;
  TensorPlaceKind kind;
  onnx_proto::TensorProto* tensor;
};

// The pointers stay valid until `model` changes. kCorrupt where two have one name.
Result<std::vector<TensorPlace>> TensorPlacesOf(onnx_proto::ModelProto& model);

// The value of a Constant node where it is a dense tensor; null for any other node.
onnx_proto::TensorProto* ConstantValue(onnx_proto::NodeProto& node);

// Does an attribute itself hold a tensor whose bytes are data of the file, graphs within aside?
bool HoldsTensor(const onnx_proto::AttributeProto& attribute);

// Is it an operator of ONNX itself?
bool IsOnnxOperator(const onnx_proto::NodeProto& node);

}  // namespace ckpt::formats::onnx
