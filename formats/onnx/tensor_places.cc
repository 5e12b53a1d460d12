#include "formats/onnx/tensor_places.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace ckpt::formats::onnx {
namespace {

using onnx_proto::AttributeProto;
using onnx_proto::GraphProto;
using onnx_proto::NodeProto;
using onnx_proto::SparseTensorProto;
using onnx_proto::TensorProto;

class Collector {
 public:
  Result<std::vector<TensorPlace>> Collect(onnx_proto::ModelProto& model) {
    if (model.has_graph()) Graph(*model.mutable_graph(), "", true);
    for (int i = 0; i < model.functions_size(); ++i) {
      auto& function = *model.mutable_functions(i);
      const std::string path = function.domain() + "::" + function.name() + "/";
      Nodes(*function.mutable_node(), path, false);
      for (auto& attribute : *function.mutable_attribute_proto()) Attribute(attribute, path);
    }
    if (!twice_.empty()) {
      return Fail(Error{ErrorCode::kCorrupt, "two tensors have this name"}.Of(twice_));
    }
    return std::move(places_);
  }

 private:
  void Add(std::string name, TensorPlaceKind kind, TensorProto& tensor) {
    const bool named_by_file =
        kind == TensorPlaceKind::kInitializer || kind == TensorPlaceKind::kConstant;
    if (!names_.insert(name).second) {
      if (named_by_file && twice_.empty()) twice_ = name;
      // A name that was made up here; the file's own come first.
      while (!names_.insert(name).second) name += '\'';
    }
    places_.push_back({std::move(name), kind, &tensor});
  }

  void Graph(GraphProto& graph, const std::string& path, bool main) {
    const auto kind = main ? TensorPlaceKind::kInitializer : TensorPlaceKind::kInner;
    for (auto& tensor : *graph.mutable_initializer()) Add(path + tensor.name(), kind, tensor);
    if (main) {
      for (auto& node : *graph.mutable_node()) {
        if (TensorProto* value = ConstantValue(node)) {
          Add(node.output(0), TensorPlaceKind::kConstant, *value);
        }
      }
    }
    for (auto& sparse : *graph.mutable_sparse_initializer()) {
      Sparse(sparse, path + sparse.values().name());
    }
    Nodes(*graph.mutable_node(), path, main);
  }

  void Nodes(google::protobuf::RepeatedPtrField<NodeProto>& nodes, const std::string& path,
             bool main) {
    for (auto& node : nodes) {
      const std::string& output = node.output_size() > 0 ? node.output(0) : node.op_type();
      TensorProto* constant = ConstantValue(node);
      if (constant != nullptr) {
        if (!main) Add(path + output, TensorPlaceKind::kInner, *constant);
        continue;
      }
      const std::string inner = path + (node.name().empty() ? output : node.name()) + "/";
      for (auto& attribute : *node.mutable_attribute()) Attribute(attribute, inner);
    }
  }

  void Attribute(AttributeProto& attribute, const std::string& path) {
    const std::string name = path + attribute.name();
    if (attribute.has_t()) Add(name, TensorPlaceKind::kAttribute, *attribute.mutable_t());
    for (auto& tensor : *attribute.mutable_tensors()) {
      Add(name, TensorPlaceKind::kAttribute, tensor);
    }
    if (attribute.has_sparse_tensor()) Sparse(*attribute.mutable_sparse_tensor(), name);
    for (auto& sparse : *attribute.mutable_sparse_tensors()) Sparse(sparse, name);
    if (attribute.has_g()) Graph(*attribute.mutable_g(), name + "/", false);
    for (auto& graph : *attribute.mutable_graphs()) Graph(graph, name + "/", false);
  }

  void Sparse(SparseTensorProto& sparse, const std::string& name) {
    if (sparse.has_values()) {
      Add(name + "/values", TensorPlaceKind::kAttribute, *sparse.mutable_values());
    }
    if (sparse.has_indices()) {
      Add(name + "/indices", TensorPlaceKind::kAttribute, *sparse.mutable_indices());
    }
  }

  std::vector<TensorPlace> places_;
  std::unordered_set<std::string> names_;
  std::string twice_;
};

}  // namespace

bool HoldsTensor(const onnx_proto::AttributeProto& attribute) {
  const auto is_data = [](const onnx_proto::TensorProto& tensor) {
    return tensor.has_data_place();
  };
  const auto is_sparse = [&](const onnx_proto::SparseTensorProto& sparse) {
    return is_data(sparse.values()) || is_data(sparse.indices());
  };
  return is_data(attribute.t()) || is_sparse(attribute.sparse_tensor()) ||
         std::any_of(attribute.tensors().begin(), attribute.tensors().end(), is_data) ||
         std::any_of(attribute.sparse_tensors().begin(), attribute.sparse_tensors().end(),
                     is_sparse);
}

bool IsOnnxOperator(const NodeProto& node) {
  return node.domain().empty() || node.domain() == "ai.onnx";
}

TensorProto* ConstantValue(NodeProto& node) {
  if (node.op_type() != "Constant" || !IsOnnxOperator(node) || node.output_size() != 1) {
    return nullptr;
  }
  for (auto& attribute : *node.mutable_attribute()) {
    if (attribute.name() == "value" && attribute.has_t()) return attribute.mutable_t();
  }
  return nullptr;
}

Result<std::vector<TensorPlace>> TensorPlacesOf(onnx_proto::ModelProto& model) {
  return Collector().Collect(model);
}

}  // namespace ckpt::formats::onnx
