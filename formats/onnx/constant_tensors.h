// Which values of the main graph are stored constants.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

class ConstantTensors {
 public:
  // `graph` must outlive this.
  explicit ConstantTensors(const onnx_proto::GraphProto& graph);

  // The initializer or Constant that the value is, through any chain of Identity; null if it is
  // none.
  const onnx_proto::TensorProto* Find(const std::string& value) const;
  // What that tensor is called in the manifest. REQUIRES: Find(value).
  const std::string& NameOf(const std::string& value) const;
  // Does the node only pass on a constant, or hold one?
  bool IsPassing(int node) const { return passing_[static_cast<std::size_t>(node)]; }

 private:
  struct Constant {
    const onnx_proto::TensorProto* tensor;
    std::string name;
  };
  std::map<std::string, Constant> constants_;
  std::vector<bool> passing_;  // by node
};

std::vector<std::int64_t> DimsOf(const onnx_proto::TensorProto& tensor);

}  // namespace ckpt::formats::onnx
