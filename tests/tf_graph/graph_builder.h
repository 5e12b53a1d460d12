// Graphs built for one test, message by message.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>

#include "formats/tf_graph/read_op_graph.h"
#include "formats/tf_proto/meta_graph.pb.h"

namespace ckpt::formats::testing {

inline tf_proto::NodeDef& AddNode(tf_proto::GraphDef& graph, const std::string& name,
                                  const std::string& op,
                                  std::initializer_list<std::string> inputs = {}) {
  tf_proto::NodeDef& node = *graph.add_node();
  node.set_name(name);
  node.set_op(op);
  for (const std::string& input : inputs) node.add_input(input);
  return node;
}

inline tf_proto::AttrValue& Attr(tf_proto::NodeDef& node, const std::string& key) {
  tf_proto::AttrEntry& entry = *node.add_attr();
  entry.set_key(key);
  return *entry.mutable_value();
}

// A Const of float32; its value is to be filled in.
inline tf_proto::TensorProto& AddConst(tf_proto::GraphDef& graph, const std::string& name,
                                       std::initializer_list<std::int64_t> dims) {
  tf_proto::NodeDef& node = AddNode(graph, name, "Const");
  Attr(node, "dtype").set_type(tf_proto::DT_FLOAT);
  tf_proto::TensorProto& tensor = *Attr(node, "value").mutable_tensor();
  tensor.set_dtype(tf_proto::DT_FLOAT);
  for (const std::int64_t dim : dims) tensor.mutable_tensor_shape()->add_dim()->set_size(dim);
  return tensor;
}

inline Result<std::shared_ptr<OpGraph>> ReadBytesOf(const std::string& bytes,
                                                    const Limits& limits = {}) {
  MemoryFiles files;
  files.Add("graph.pb", bytes);
  auto file = files.Open("graph.pb");
  if (!file) return Fail(file);
  return ReadOpGraph(std::shared_ptr<const RandomAccessFile>(*std::move(file)), limits);
}

inline Result<std::shared_ptr<OpGraph>> ReadBack(const google::protobuf::Message& message) {
  return ReadBytesOf(message.SerializeAsString());
}

}  // namespace ckpt::formats::testing
