// The functions of a model, by the nodes that call them.
#pragma once

#include <map>
#include <string>
#include <tuple>

#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

using FunctionKey = std::tuple<std::string, std::string, std::string>;  // domain, name, overload

inline FunctionKey KeyOfFunction(const std::string& domain, const std::string& name,
                                 const std::string& overload) {
  return {domain == "ai.onnx" ? "" : domain, name, overload};
}
inline FunctionKey KeyOf(const onnx_proto::FunctionProto& function) {
  return KeyOfFunction(function.domain(), function.name(), function.overload());
}

class ModelFunctions {
 public:
  // `model` must outlive it. Of two with one key the first is called.
  explicit ModelFunctions(const onnx_proto::ModelProto& model) {
    for (const onnx_proto::FunctionProto& function : model.functions()) {
      by_key_.emplace(KeyOf(function), &function);
    }
  }

  // Null: the node is an operator.
  const onnx_proto::FunctionProto* CalledBy(const onnx_proto::NodeProto& node) const {
    if (by_key_.empty()) return nullptr;
    const auto found = by_key_.find(KeyOfFunction(node.domain(), node.op_type(), node.overload()));
    return found == by_key_.end() ? nullptr : found->second;
  }

 private:
  std::map<FunctionKey, const onnx_proto::FunctionProto*> by_key_;
};

}  // namespace ckpt::formats::onnx
