// The names of one graph or function on its way into a network, and what a call of a function or a
// decided branch says of them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ckpt/network/network.h"
#include "formats/onnx/network_step.h"
#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

// An output that its node's rule does not yield.
struct MissingOutput {
  std::string layer, op_type;
  int output = 0;
};

// The names of one graph or function, while it is translated.
struct NameScope {
  const NameScope* outer = nullptr;  // whose names can be read too
  std::int64_t opset = 1;
  Arguments arguments = {};
  std::string path = {};                            // in front of its own names
  std::map<std::string, std::string> renamed = {};  // outputs, as the caller calls them
  std::map<std::string, network::ValueId> values = {};
  std::map<std::string, const onnx_proto::TensorProto*> constants = {};
  std::map<std::string, MissingOutput> missing = {};
  const std::map<std::string, network::PartialShape>* declared = nullptr;

  std::string NameOf(const std::string& name) const {
    const auto found = renamed.find(name);
    return found == renamed.end() ? path + name : found->second;
  }
};

// As the file declares it.
network::PartialShape ShapeOf(const onnx_proto::ValueInfoProto& info);
network::ElementKind ElementsOf(const onnx_proto::ValueInfoProto& info);

std::string LayerName(const onnx_proto::NodeProto& node, const NameScope& scope);

// The attributes of a node that calls `function`, and the defaults of the function.
// Where the node is in a function itself, `around` is what that was given.
Arguments ArgumentsOf(const onnx_proto::NodeProto& node, const onnx_proto::FunctionProto& function,
                      const Arguments& around);
std::int64_t OpsetOfFunction(const onnx_proto::FunctionProto& function, std::int64_t otherwise);

// The values `names` of `inner` are called as the outputs of the node are.
void RenameOutputs(const onnx_proto::NodeProto& node, const std::vector<std::string>& names,
                   const NameScope& scope, NameScope& inner);

// The branch of an If whose condition is known; null where it is not, or does not fit the node.
const onnx_proto::GraphProto* BranchTaken(const onnx_proto::NodeProto& node,
                                          const std::vector<network::ValueId>& inputs,
                                          KnownElements& known);

}  // namespace ckpt::formats::onnx
