// The functions of a model, by the nodes that call them.
#pragma once

#include <map>
#include <string>
#include <tuple>

#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

class ModelFunctions {
 public:
  // `model` must outlive it. Of two with one key the first is called.
  explicit ModelFunctions(const onnx_proto::ModelProto& model) {
    for (const onnx_proto::FunctionProto& function : model.functions()) {
      by_key_.emplace(KeyOf(function.domain(), function.name(), function.overload()), &function);
    }
  }

  // Null: the node is an operator.
  const onnx_proto::FunctionProto* CalledBy(const onnx_proto::NodeProto& node) const {
    const auto found = by_key_.find(KeyOf(node.domain(), node.op_type(), node.overload()));
    return found == by_key_.end() ? nullptr : found->second;
  }

 private:
  using Key = std::tuple<std::string, std::string, std::string>;
  static Key KeyOf(const std::string& domain, const std::string& name,
                   const std::string& overload) {
    return {domain == "ai.onnx" ? "" : domain, name, overload};
  }

  std::map<Key, const onnx_proto::FunctionProto*> by_key_;
};

}  // namespace ckpt::formats::onnx
