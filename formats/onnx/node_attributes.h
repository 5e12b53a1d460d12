// Attributes of a node, as recorded or by the operator's default.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

// Null where the node does not record it.
const onnx_proto::AttributeProto* FindAttribute(const onnx_proto::NodeProto& node,
                                                std::string_view name);

std::int64_t IntAttribute(const onnx_proto::NodeProto& node, std::string_view name,
                          std::int64_t otherwise);
double FloatAttribute(const onnx_proto::NodeProto& node, std::string_view name, float otherwise);
std::string TextAttribute(const onnx_proto::NodeProto& node, std::string_view name,
                          std::string_view otherwise);
// Empty where the node does not record it.
std::vector<std::int64_t> IntsAttribute(const onnx_proto::NodeProto& node, std::string_view name);

// An attribute that takes its value from the call of the function that the node belongs to.
bool HasReferences(const onnx_proto::NodeProto& node);

}  // namespace ckpt::formats::onnx
