// What an ONNX model computes, as a network.
//
// Source: the operator documentation of ONNX (docs/Operators.md, docs/Changelog.md), operator sets
// 1 to 28; local functions, and the branch of an If whose condition is a constant, are written out
// in place. Constants are tensors of the checkpoint; small ones of integers, which may say a shape,
// and what the manifest does not list are inline.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/network/network.h"
#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

// `model` is the document that the reader of `weights` keeps, with TensorProto::data_place where
// the manifest lists a tensor. Only what the outputs of the graph need is translated.
//
// Fails with kCorrupt where a value has two producers or none, where nodes form a cycle, a function
// calls itself or shapes contradict one another; kLimitExceeded where functions call one another
// too deeply or make a network beyond all size.
Result<network::Network> MakeNetwork(onnx_proto::ModelProto& model, const Checkpoint& weights);

// The same, in which layers are found: each node of the main graph is one layer at most.
struct NodeNetwork {
  network::Network network = {};
  std::vector<int> nodes = {};  // by layer: the node of the main graph; kNoNode: none
  std::map<std::string, network::ValueId> values = {};         // of the main graph, by their names
  std::map<std::uint32_t, std::vector<double>> elements = {};  // derived ones, by value
};
inline constexpr int kNoNode = -1;

// Of all nodes of the main graph, whether an output needs them or not. What functions and graphs
// inside of nodes compute is not understood, nor is a value that nothing yields; where shapes
// contradict one another they are unknown. An empty network where two nodes yield one value, or
// nodes need one another.
NodeNetwork MakeNodeNetwork(onnx_proto::ModelProto& model, const Checkpoint& weights);

}  // namespace ckpt::formats::onnx
