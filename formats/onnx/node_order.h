// In which order the nodes of a graph can run.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "ckpt/result.h"
#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

using Nodes = google::protobuf::RepeatedPtrField<onnx_proto::NodeProto>;

// The values that a graph has of its own: its inputs, initializers and what its nodes yield.
std::set<std::string> DefinedNames(const onnx_proto::GraphProto& graph);
// What a graph inside of a node reads and does not yield itself.
std::set<std::string> FreeNames(const onnx_proto::GraphProto& graph);
// What the graphs that a node holds read and do not yield themselves.
std::set<std::string> CapturedNames(const onnx_proto::NodeProto& node);

// The nodes that `wanted` needs, producers first, in the order of the file where that is one.
// kCorrupt where two nodes yield one value, or nodes need one another.
Result<std::vector<int>> OrderNodes(const Nodes& nodes, const std::vector<std::string>& wanted);

}  // namespace ckpt::formats::onnx
