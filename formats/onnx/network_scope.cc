#include "formats/onnx/network_scope.h"

#include "ckpt/network/element_kind.h"
#include "formats/onnx/onnx_dtype.h"

namespace ckpt::formats::onnx {

using network::ValueId;
using onnx_proto::FunctionProto;
using onnx_proto::GraphProto;
using onnx_proto::NodeProto;
using onnx_proto::ValueInfoProto;

network::PartialShape ShapeOf(const ValueInfoProto& info) {
  if (!info.type().has_tensor_type() || !info.type().tensor_type().has_shape()) return {};
  network::Sizes sizes;
  for (const auto& dim : info.type().tensor_type().shape().dim()) {
    const bool known = dim.has_dim_value() && dim.dim_value() >= 0;
    sizes.push_back(known ? dim.dim_value() : network::kUnknownSize);
  }
  return sizes;
}

network::ElementKind ElementsOf(const ValueInfoProto& info) {
  const OnnxDtype* row = FindOnnxDtype(info.type().tensor_type().elem_type());
  return row == nullptr ? network::ElementKind::kReal : network::KindOf(row->dtype);
}

std::string LayerName(const NodeProto& node, const NameScope& scope) {
  return scope.path + (!node.name().empty()     ? node.name()
                       : node.output_size() > 0 ? node.output(0)
                                                : node.op_type());
}

Arguments ArgumentsOf(const NodeProto& node, const FunctionProto& function,
                      const Arguments& around) {
  Arguments arguments;
  for (const auto& attribute : node.attribute()) {
    if (attribute.ref_attr_name().empty()) {
      arguments.emplace(attribute.name(), &attribute);
    } else if (const auto given = around.find(attribute.ref_attr_name()); given != around.end()) {
      arguments.emplace(attribute.name(), given->second);
    }
  }
  for (const auto& attribute : function.attribute_proto()) {
    arguments.emplace(attribute.name(), &attribute);
  }
  return arguments;
}

std::int64_t OpsetOfFunction(const FunctionProto& function, std::int64_t otherwise) {
  for (const auto& opset : function.opset_import()) {
    if (opset.domain().empty() || opset.domain() == "ai.onnx") return opset.version();
  }
  return otherwise;
}

void RenameOutputs(const NodeProto& node, const std::vector<std::string>& names,
                   const NameScope& scope, NameScope& inner) {
  for (int i = 0; i < node.output_size(); ++i) {
    if (!node.output(i).empty()) {
      inner.renamed.emplace(names[static_cast<std::size_t>(i)], scope.NameOf(node.output(i)));
    }
  }
}

const GraphProto* BranchTaken(const NodeProto& node, const std::vector<ValueId>& inputs,
                              KnownElements& known) {
  if (inputs.size() != 1) return nullptr;
  const auto condition = known.Of(inputs[0]);
  if (!condition || condition->size() != 1) return nullptr;
  const char* branch = condition->front() != 0 ? "then_branch" : "else_branch";
  for (const auto& attribute : node.attribute()) {
    if (attribute.name() == branch && attribute.has_g() && attribute.g().input_size() == 0 &&
        attribute.g().output_size() >= node.output_size()) {
      return &attribute.g();
    }
  }
  return nullptr;
}

}  // namespace ckpt::formats::onnx
