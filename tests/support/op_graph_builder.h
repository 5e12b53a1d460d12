// Operation graphs written down by hand: inputs are "name", "name:1" or "^name", as in a GraphDef.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ckpt/elements.h"
#include "ckpt/op_graph.h"

namespace ckpt::testing {

class BodyBuilder {
 public:
  explicit BodyBuilder(OpBody& body) : body_(body) {}

  // Inputs must be there already; Link adds an edge that closes a cycle or comes later.
  Op& Add(std::string name, std::string type, const std::vector<std::string>& inputs = {}) {
    Op op{std::move(name), std::move(type)};
    for (const std::string& input : inputs) Connect(op, input);
    body_.ops.push_back(std::move(op));
    body_.Index();
    return body_.ops.back();
  }
  void Link(std::string_view from, std::string_view to) {
    Connect(body_.ops[body_.Find(to).value()], std::string(from));
  }
  Op& At(std::string_view name) { return body_.ops[body_.Find(name).value()]; }

  Op& Floats(std::string name, std::vector<std::int64_t> dims, const std::vector<double>& values,
             const std::vector<std::string>& inputs = {}) {
    return Constant(std::move(name), std::move(dims), values, Dtype::kF32, inputs);
  }
  Op& Ints(std::string name, std::vector<std::int64_t> dims, const std::vector<double>& values) {
    return Constant(std::move(name), std::move(dims), values, Dtype::kI32, {});
  }
  Op& Strings(std::string name, std::vector<std::string> values) {
    Op& op = Add(std::move(name), "Const");
    op.constant =
        OpConstant{Dtype::kString, *Shape::FromDims({static_cast<std::int64_t>(values.size())})};
    op.constant->strings = std::move(values);
    return op;
  }
  Op& Constant(std::string name, std::vector<std::int64_t> dims, const std::vector<double>& values,
               Dtype dtype, const std::vector<std::string>& inputs) {
    Op& op = Add(std::move(name), "Const", inputs);
    op.constant = OpConstant{dtype, *Shape::FromDims(dims)};
    op.constant->bytes.resize(values.size() * BitSize(dtype) / 8);
    EncodeFromDouble(dtype, values, op.constant->bytes);
    return op;
  }

 private:
  void Connect(Op& op, const std::string& input) const {
    if (input.starts_with('^')) {
      op.control_inputs.push_back(body_.Find(input.substr(1)).value());
      return;
    }
    const std::size_t colon = input.rfind(':');
    const std::string name = input.substr(0, colon);
    const auto output = colon == std::string::npos ? 0u : std::stoul(input.substr(colon + 1));
    op.inputs.push_back({body_.Find(name).value(), static_cast<std::uint32_t>(output)});
  }

  OpBody& body_;
};

struct GraphBuilder {
  OpGraph graph = {};
  BodyBuilder top{graph.top};

  // A ref variable with its initializer and its read; in the collections as in TensorFlow 1.
  void Variable(const std::string& name, bool trainable = true, double initial = 0) {
    top.Add(name, "VariableV2");
    top.Floats(name + "/Initializer", {4}, {initial, initial, initial, initial});
    top.Add(name + "/Assign", "Assign", {name, name + "/Initializer"});
    top.Add(name + "/read", "Identity", {name});
    OpVariable variable{name, name, name + "/Assign"};
    variable.in_variables = true;
    variable.in_trainable_variables = trainable;
    graph.variables.push_back(std::move(variable));
  }
  void BatchNormVariables(const std::string& scope) {
    Variable(scope + "/gamma", true, 1);
    Variable(scope + "/beta");
    Variable(scope + "/moving_mean", false);
    Variable(scope + "/moving_variance", false, 1);
  }
  // FusedBatchNormV3 over the scope's variables; empty statistics in training mode.
  Op& Fused(const std::string& scope, const std::string& x, bool training) {
    std::vector<std::string> inputs = {x, scope + "/gamma/read", scope + "/beta/read"};
    if (training) {
      top.Floats(scope + "/Const", {0}, {});
      inputs.insert(inputs.end(), {scope + "/Const", scope + "/Const"});
    } else {
      inputs.insert(inputs.end(), {scope + "/moving_mean/read", scope + "/moving_variance/read"});
    }
    Op& op = top.Add(scope + "/FusedBatchNormV3", "FusedBatchNormV3", inputs);
    op.attrs["epsilon"] = static_cast<double>(0.001f);
    op.attrs["is_training"] = training;
    return op;
  }
  // AssignMovingAvg as tf.layers makes it: variable -= (variable - statistic) * (1 - momentum).
  void MovingAverage(const std::string& update, const std::string& variable,
                     const std::string& statistic, double momentum = 0.9) {
    top.Floats(update + "/decay", {}, {1 - momentum});
    top.Add(update + "/sub", "Sub", {variable + "/read", statistic});
    top.Add(update + "/mul", "Mul", {update + "/sub", update + "/decay"});
    top.Add(update, "AssignSub", {variable, update + "/mul"});
  }

  BodyBuilder Function(const std::string& name, std::size_t arguments) {
    OpFunction& function = graph.functions[name];
    function.name = name;
    function.arguments = arguments;
    BodyBuilder body(function.body);
    for (std::size_t i = 0; i < arguments; ++i) body.Add("arg" + std::to_string(i), "_Arg");
    return body;
  }
  void Return(const std::string& function, const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      OpFunction& made = graph.functions.at(function);
      made.results.push_back({made.body.Find(name).value(), 0});
      made.result_names.push_back(name);
    }
  }
};

}  // namespace ckpt::testing
