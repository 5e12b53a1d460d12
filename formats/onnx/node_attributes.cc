#include "formats/onnx/node_attributes.h"

#include <algorithm>

namespace ckpt::formats::onnx {

const onnx_proto::AttributeProto* FindAttribute(const onnx_proto::NodeProto& node,
                                                std::string_view name) {
  for (const auto& attribute : node.attribute()) {
    if (attribute.name() == name) return &attribute;
  }
  return nullptr;
}

std::int64_t IntAttribute(const onnx_proto::NodeProto& node, std::string_view name,
                          std::int64_t otherwise) {
  const auto* attribute = FindAttribute(node, name);
  return attribute == nullptr ? otherwise : attribute->i();
}

double FloatAttribute(const onnx_proto::NodeProto& node, std::string_view name, float otherwise) {
  const auto* attribute = FindAttribute(node, name);
  return static_cast<double>(attribute == nullptr ? otherwise : attribute->f());
}

std::string TextAttribute(const onnx_proto::NodeProto& node, std::string_view name,
                          std::string_view otherwise) {
  const auto* attribute = FindAttribute(node, name);
  return attribute == nullptr ? std::string(otherwise) : attribute->s();
}

std::vector<std::int64_t> IntsAttribute(const onnx_proto::NodeProto& node, std::string_view name) {
  const auto* attribute = FindAttribute(node, name);
  if (attribute == nullptr) return {};
  return {attribute->ints().begin(), attribute->ints().end()};
}

bool HasReferences(const onnx_proto::NodeProto& node) {
  return std::any_of(node.attribute().begin(), node.attribute().end(),
                     [](const auto& attribute) { return !attribute.ref_attr_name().empty(); });
}

}  // namespace ckpt::formats::onnx
