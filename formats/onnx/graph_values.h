// Who yields and who reads the values of the main graph, subgraphs included.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

struct ValueUse {
  std::vector<int> readers = {};  // nodes of the main graph; twice where one reads it twice
  bool captured = false;          // read inside of a graph that a node holds
  bool is_output = false;         // of the main graph
  bool Only(int node) const {
    return readers.size() == 1 && readers.front() == node && !captured && !is_output;
  }
};

class GraphValues {
 public:
  explicit GraphValues(const onnx_proto::GraphProto& graph);

  const ValueUse& UseOf(const std::string& value) const;
  std::optional<int> ProducerOf(const std::string& value) const;  // a node of the main graph
  // Values of the main graph that are read inside of the graphs that `node` holds, those apart
  // whose nodes are layers themselves (HasLayers).
  const std::set<std::string>& CapturedBy(int node) const;
  bool IsInput(const std::string& value) const { return inputs_.contains(value); }
  const std::set<std::string>& names() const noexcept { return names_; }  // of every value

 private:
  std::map<std::string, ValueUse> uses_;
  std::map<std::string, int> producers_;
  std::map<int, std::set<std::string>> captured_;
  std::set<std::string> inputs_, names_;
};

// `base`, or the first of base_1, base_2... that is not taken; it is from now on.
std::string FreshName(const std::string& base, std::set<std::string>& taken);

// The version of ONNX's own operators that the model is written for; 1 where it records none.
std::int64_t OpsetOf(const onnx_proto::ModelProto& model);

}  // namespace ckpt::formats::onnx
