// Which functions of a model are written out where they are called, so that what a fold changes is
// the call's alone: where some have batch norms, those and what a batch norm is folded into.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <unordered_map>

#include "formats/onnx/model_functions.h"
#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

// What tensors of a model are called in the manifest.
using TensorNames = std::unordered_map<const onnx_proto::TensorProto*, std::string>;

struct FunctionChoice {
  // Called from the main graph or the graphs within; nothing else calls them.
  std::set<const onnx_proto::FunctionProto*> written_out = {};
  std::map<FunctionKey, std::string> kept = {};  // others of those, and why they stay
  // Operator sets that the model does not import and functions that are written out do.
  std::map<std::string, std::int64_t> imported = {};
};

// Written out, the functions make a model of at most 256 MiB without its tensors, and calls are at
// most 64 deep. `taken` are the names of the model's values. REQUIRES: graphs are nested to a
// bounded depth, as ScanModel checks.
FunctionChoice ChooseFunctions(const onnx_proto::ModelProto& model, const TensorNames& names,
                               const std::set<std::string>& taken);

// Why constants within a graph or function cannot become initializers of the main graph, or its
// values get other names; empty: they can.
std::string WhyNotWrittenOut(const onnx_proto::FunctionProto& function, const TensorNames& names,
                             const std::set<std::string>& taken);
std::string WhyNotHoisted(const onnx_proto::GraphProto& graph, const TensorNames& names,
                          const std::set<std::string>& taken);

}  // namespace ckpt::formats::onnx
