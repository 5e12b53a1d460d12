// Identity nodes that pass on tensors which are gone, to nobody.
#pragma once

#include <map>
#include <set>
#include <string>

#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

// How often each value of a graph is read, in it and in graphs within its nodes; what a graph
// within defines itself is another value.
std::map<std::string, int> CountReaders(const onnx_proto::GraphProto& graph);

// Takes those out, of the main graph and of all within, that nothing reads. `gone`: tensors of the
// main graph that are not there any more.
void DropDeadIdentities(const std::set<std::string>& gone, onnx_proto::GraphProto& graph);

}  // namespace ckpt::formats::onnx
