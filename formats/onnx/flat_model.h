// A model as a fold reads and writes it: with functions that have batch norms, or layers that those
// may be folded into, written out where they are called, and the constants of graphs inside of
// nodes that have batch norms in the main graph. It computes the same.
//
// Source: the rules of scopes, functions and attributes by reference of docs/IR.md of ONNX.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "formats/onnx/model_functions.h"
#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

struct FlatModel {
  std::optional<onnx_proto::ModelProto> model = {};  // absent: it is flat as it is
  std::map<FunctionKey, std::string> kept = {};      // such functions that stay, and why
};

// `model` is the document of a reader, with TensorProto::data_place where the manifest lists a
// tensor. Tensors keep their names; nodes of a function are called "call/node". REQUIRES: graphs
// are nested to a bounded depth, as ScanModel checks.
FlatModel FlattenModel(onnx_proto::ModelProto& model);

}  // namespace ckpt::formats::onnx
