// The path of the PyTorch module of which a node is a call, as PyTorch's exporters record it.
#pragma once

#include <string>

#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

// "layer1.0.conv1", by the node's metadata or by its name ("/layer1/layer1.0/conv1/Conv"); empty
// where neither says.
std::string ModulePathOf(const onnx_proto::NodeProto& node);

// Why the node's tensors are no longer those of the module: a rewriting that the exporter records.
// Empty where it records none.
std::string RewritingOf(const onnx_proto::NodeProto& node);

}  // namespace ckpt::formats::onnx
