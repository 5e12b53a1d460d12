// Small ONNX models for the tests, and what opens them.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "ckpt/batch_norm.h"
#include "formats/container/file.h"
#include "formats/onnx/onnx.h"
#include "formats/onnx_proto/onnx.pb.h"
#include "tests/support/paths.h"

namespace ckpt::testing {

inline onnx_proto::ModelProto EmptyModel(std::int64_t opset = 17) {
  onnx_proto::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(opset);
  model.mutable_graph()->set_name("g");
  return model;
}

inline onnx_proto::TensorProto& AddTensor(onnx_proto::ModelProto& model, const std::string& name,
                                          std::initializer_list<std::int64_t> dims,
                                          const std::vector<float>& values) {
  auto& tensor = *model.mutable_graph()->add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(1);
  for (const std::int64_t dim : dims) tensor.add_dims(dim);
  tensor.set_raw_data(
      std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)));
  return tensor;
}

inline onnx_proto::NodeProto& AddNode(onnx_proto::ModelProto& model, const std::string& type,
                                      const std::vector<std::string>& inputs,
                                      const std::string& output) {
  auto& node = *model.mutable_graph()->add_node();
  node.set_op_type(type);
  for (const auto& input : inputs) node.add_input(input);
  node.add_output(output);
  return node;
}

inline Result<std::unique_ptr<Checkpoint>> OpenBytes(const std::string& bytes,
                                                     const formats::Limits& limits = {}) {
  formats::MemoryFiles files;
  files.Add("m.onnx", bytes);
  return formats::OpenOnnx(files, "m.onnx", limits);
}

inline Result<std::unique_ptr<Checkpoint>> OpenModel(const onnx_proto::ModelProto& model) {
  return OpenBytes(model.SerializeAsString());
}

// The message with which the model is refused, or "" if it is not.
inline std::string RefusalOf(const onnx_proto::ModelProto& model) {
  const auto opened = OpenModel(model);
  return opened ? "" : ToString(opened.error());
}

inline std::string FixturePath(const std::string& name) {
  return ckpt::testing::TestData() + "/onnx/" + name + ".onnx";
}

inline std::string FileBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

// Its elements as double.
inline std::vector<double> ElementsOf(const Checkpoint& checkpoint, const std::string& name) {
  const auto id = FindTensor(checkpoint.manifest(), name);
  if (!id) {
    ADD_FAILURE() << "no tensor " << name;
    return {};
  }
  auto elements = ReadDoubles(checkpoint, *id, 1 << 24);
  EXPECT_TRUE(elements) << ToString(elements.error());
  return elements ? *std::move(elements) : std::vector<double>();
}

}  // namespace ckpt::testing
