// Prints the network of a file as JSON, for tests of its translation against the frameworks:
//
//   describe_network FILE
//   {"inputs": [{"name", "value"}], "outputs": [...], "notes": [...],
//    "operations": [{"layer", "type", "computes": "Convolution", "function"?: "relu",
//                    "what"?, "why"?: of an Unknown,
//                    "operands": [VALUE or null], "results": [VALUE or null]}],
//    "unknown_on_path": [places in operations that an output needs]}
//   VALUE = {"id", "name", "shape": [2, null] or null, "tensor"? or "elements"?: of a constant}
//
// A size of null is not known. Exits with 1, and says why on the error stream, where there is none.
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <variant>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/formats/format.h"
#include "ckpt/network/network.h"
#include "ckpt/network/operation_table.h"

namespace {

using ckpt::network::Network;
using ckpt::network::Operation;
using ckpt::network::ValueId;
using Json = nlohmann::ordered_json;

Json ShapeAsJson(const ckpt::network::PartialShape& shape) {
  if (!shape) return nullptr;
  Json sizes = Json::array();
  for (const std::int64_t size : *shape) {
    sizes.push_back(size == ckpt::network::kUnknownSize ? Json() : Json(size));
  }
  return sizes;
}

class Describer {
 public:
  Describer(const ckpt::Manifest& manifest, const Network& network)
      : manifest_(manifest), network_(network) {}

  Json Describe() const {
    Json text;
    text["inputs"] = PortsAsJson(network_.inputs);
    text["outputs"] = PortsAsJson(network_.outputs);
    text["notes"] = network_.notes;
    text["operations"] = Json::array();
    for (const Operation& operation : network_.operations) {
      text["operations"].push_back(OperationAsJson(operation));
    }
    text["unknown_on_path"] = UnknownOnPath();
    return text;
  }

 private:
  Json ValueAsJson(ValueId id) const {
    if (id == ckpt::network::kNoValue) return nullptr;
    const ckpt::network::Value& value = network_.value(id);
    Json text{{"id", id.index}, {"name", value.name}, {"shape", ShapeAsJson(value.shape)}};
    if (!value.constant) return text;
    if (const auto* stored = std::get_if<ckpt::network::StoredConstant>(&*value.constant)) {
      text["tensor"] = manifest_.tensors.at(stored->tensor.index).name;
    } else {
      text["elements"] = std::get<ckpt::network::InlineConstant>(*value.constant).elements;
    }
    return text;
  }

  Json PortsAsJson(const std::vector<ckpt::network::Port>& ports) const {
    Json list = Json::array();
    for (const ckpt::network::Port& port : ports) {
      list.push_back({{"name", port.name}, {"value", ValueAsJson(port.value)}});
    }
    return list;
  }

  Json OperationAsJson(const Operation& operation) const {
    const ckpt::network::LayerName& layer = network_.layers.at(operation.layer);
    Json text{{"layer", layer.name},
              {"type", layer.op_type},
              {"computes", ckpt::network::Name(operation.computation)}};
    if (const auto* unary = std::get_if<ckpt::network::Unary>(&operation.computation)) {
      text["function"] = ckpt::network::Name(unary->function);
    } else if (const auto* binary = std::get_if<ckpt::network::Binary>(&operation.computation)) {
      text["function"] = ckpt::network::Name(binary->function);
    } else if (const auto* unknown = std::get_if<ckpt::network::Unknown>(&operation.computation)) {
      text["what"] = unknown->what;
      text["why"] = unknown->why;
    }
    text["operands"] = text["results"] = Json::array();
    for (const ValueId operand : operation.operands) {
      text["operands"].push_back(ValueAsJson(operand));
    }
    for (const ValueId result : operation.results) text["results"].push_back(ValueAsJson(result));
    return text;
  }

  // Producers stand first, so that one pass from the back finds all that the outputs need.
  Json UnknownOnPath() const {
    std::vector<bool> needed(network_.values.size());
    for (const ckpt::network::Port& output : network_.outputs) needed[output.value.index] = true;
    std::vector<std::size_t> unknown;
    for (std::size_t i = network_.operations.size(); i-- > 0;) {
      const Operation& operation = network_.operations[i];
      bool wanted = false;
      for (const ValueId result : operation.results) {
        wanted = wanted || (result != ckpt::network::kNoValue && needed[result.index]);
      }
      if (!wanted) continue;
      for (const ValueId operand : operation.operands) {
        if (operand != ckpt::network::kNoValue) needed[operand.index] = true;
      }
      if (std::holds_alternative<ckpt::network::Unknown>(operation.computation)) {
        unknown.insert(unknown.begin(), i);
      }
    }
    return unknown;
  }

  const ckpt::Manifest& manifest_;
  const Network& network_;
};

int Refuse(const ckpt::Error& error) {
  std::cerr << error.message << '\n';
  return 1;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::cerr << "usage: describe_network FILE\n";
    return 2;
  }
  const auto checkpoint = ckpt::formats::OpenCheckpoint(arguments[1]);
  if (!checkpoint) return Refuse(checkpoint.error());
  const auto network = (*checkpoint)->MakeNetwork();
  if (!network) return Refuse(network.error());
  const Json text = Describer((*checkpoint)->manifest(), *network).Describe();
  std::cout << text.dump(1, ' ', false, Json::error_handler_t::replace) << '\n';
  return 0;
}
