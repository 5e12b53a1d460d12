// What an ONNX model computes, as a network.
//
// Source: the operator documentation of ONNX (docs/Operators.md, docs/Changelog.md), operator sets
// 1 to 28; local functions, and the branch of an If whose condition is a constant, are written out
// in place. Constants are tensors of the checkpoint; small ones of integers, which may say a shape,
// and what the manifest does not list are inline.
#pragma once

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

}  // namespace ckpt::formats::onnx
