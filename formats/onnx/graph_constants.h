// Tells the constants that say how a graph computes from its parameters: shapes, axes, indices, and
// numbers of an arithmetic that a program has written down. A state dict of the same model has none
// of them.
//
// Source: the operator documentation of ONNX (docs/Operators.md).
#pragma once

#include "ckpt/checkpoint.h"
#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

// Gives such tensors of the manifest Section::kConstant. `manifest.graph` is there. A tensor is one
// where every node that reads it
//   takes it as an argument that says how to work (the shape of a Reshape, the indices of a
//   Gather), or it is of integers, booleans or strings, and no node quantises with it, or it is the
//   value of a Constant node, and only arithmetic reads it: exporters write parameters as
//   initializers, and numbers of the program as Constant nodes.
// What a layer has as its kernel, bias or statistics is none, nor is what nothing reads.
void MarkGraphConstants(const onnx_proto::GraphProto& graph, Manifest& manifest);

}  // namespace ckpt::formats::onnx
