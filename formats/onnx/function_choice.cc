#include "formats/onnx/function_choice.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "formats/onnx/inner_graphs.h"
#include "formats/onnx/model_scan.h"
#include "formats/onnx/node_order.h"
#include "formats/onnx/tensor_places.h"

namespace ckpt::formats::onnx {
namespace {

using onnx_proto::AttributeProto;
using onnx_proto::FunctionProto;
using onnx_proto::GraphProto;
using onnx_proto::ModelProto;
using onnx_proto::NodeProto;

constexpr double kMostBytes = double{256 << 20};
constexpr double kMostNodes = double{1 << 18};  // of functions; each is a layer of some kilobytes
constexpr int kMostDepth = 64;

struct FunctionCall {
  std::size_t callee;
  double growth;  // of a name within, at most
  int graphs;     // that are nested around the call
};

// A function, or the main graph, and what it comes to where its calls are written out.
struct Body {
  const FunctionProto* function = nullptr;
  bool has_batch_norm = false, has_linear = false;
  bool is_wanted = false;  // written out, if it can be
  bool reached = false;    // from the main graph
  std::string why = {};    // it stays
  std::vector<FunctionCall> calls = {};
  std::vector<std::size_t> callers = {};   // once for each call
  std::size_t open_calls = 0;              // of functions that are not settled
  int depth = 1;                           // of functions within functions
  int graphs = 0;                          // that are nested within
  double names = 0, bytes = 0, nodes = 0;  // sums, which may be beyond all integers
  double longest_tensor = 0;
};

std::string DomainOf(const std::string& domain) { return domain == "ai.onnx" ? "" : domain; }

// What a batch norm is folded into.
bool IsLinearNode(const NodeProto& node) {
  const std::string& type = node.op_type();
  return IsOnnxOperator(node) &&
         (type == "Conv" || type == "ConvTranspose" || type == "Gemm" || type == "MatMul");
}

bool HoldsTensorOrGraph(const AttributeProto& attribute) {
  return attribute.has_t() || attribute.has_g() || attribute.tensors_size() != 0 ||
         attribute.graphs_size() != 0 || attribute.has_sparse_tensor() ||
         attribute.sparse_tensors_size() != 0;
}

class Chooser {
 public:
  Chooser(const ModelProto& model, const TensorNames& names, const std::set<std::string>& taken)
      : model_(model), names_(names), taken_(taken), functions_(model) {}

  FunctionChoice Choose() {
    FindBodies();
    const auto main = bodies_.size() - 1;
    bodies_[main].reached = true;
    Spread([](const Body& body) { return body.reached; }, CalledBy,
           [](Body& body, const Body&) { body.reached = true; });
    if (!AnyHasBatchNorm()) return {};
    for (Body& body : bodies_) body.is_wanted = body.has_batch_norm || body.has_linear;
    Spread([](const Body& body) { return body.is_wanted; },
           [](const Body& body) { return body.callers; },
           [](Body& body, const Body&) { body.is_wanted = true; });
    Settle();
    for (std::size_t i = 0; i < main; ++i) CheckFunction(bodies_[i]);
    if (BytesOfCalls(bodies_[main]) > kMostBytes || NodesOfCalls(bodies_[main]) > kMostNodes) {
      KeepAll("with its functions written out the model would be too large");
    }
    if (GraphsOf(bodies_[main]) > kMaxGraphDepth) {
      KeepAll("with its functions written out graphs would be nested too deeply");
    }
    // What a function calls that stays has to stay, too.
    Spread([](const Body& body) { return !body.why.empty() && body.function != nullptr; }, CalledBy,
           [](Body& body, const Body& caller) {
             body.why = "the function \"" + caller.function->name() + "\", which stays, calls it";
           });
    return Chosen();
  }

 private:
  static std::vector<std::size_t> CalledBy(const Body& body) {
    std::vector<std::size_t> called;
    for (const FunctionCall& call : body.calls) called.push_back(call.callee);
    return called;
  }
  bool AnyHasBatchNorm() const {
    return std::any_of(bodies_.begin(), bodies_.end(),
                       [](const Body& body) { return body.has_batch_norm && body.reached; });
  }

  // From bodies that have a property to their neighbours.
  template <class Has, class Neighbours, class Give>
  void Spread(Has has, Neighbours neighbours, Give give) {
    std::vector<std::size_t> left;
    for (std::size_t i = 0; i < bodies_.size(); ++i) {
      if (has(bodies_[i])) left.push_back(i);
    }
    while (!left.empty()) {
      const std::size_t from = left.back();
      left.pop_back();
      for (const std::size_t to : neighbours(bodies_[from])) {
        if (has(bodies_[to])) continue;
        give(bodies_[to], bodies_[from]);
        if (has(bodies_[to])) left.push_back(to);
      }
    }
  }

  void FindBodies() {
    const auto count = static_cast<std::size_t>(model_.functions_size());
    bodies_.resize(count + 1);
    for (std::size_t i = 0; i < count; ++i) {
      bodies_[i].function = &model_.functions(static_cast<int>(i));
      indices_.emplace(bodies_[i].function, i);
    }
    for (std::size_t i = 0; i < count; ++i) {
      bodies_[i].bytes = static_cast<double>(bodies_[i].function->ByteSizeLong());
      Scan(bodies_[i].function->node(), i, 0);
    }
    Scan(model_.graph().node(), count, 0);
    for (std::size_t i = 0; i < bodies_.size(); ++i) {
      bodies_[i].open_calls = bodies_[i].calls.size();
      for (const FunctionCall& call : bodies_[i].calls) bodies_[call.callee].callers.push_back(i);
    }
  }

  void Scan(const Nodes& nodes, std::size_t body, int graphs) {
    bodies_[body].graphs = std::max(bodies_[body].graphs, graphs);
    for (const NodeProto& node : nodes) {
      const FunctionProto* const called = functions_.CalledBy(node);
      if (called != nullptr) AddCall(node, *called, graphs, bodies_[body]);
      if (called == nullptr && bodies_[body].function != nullptr) {
        bodies_[body].has_batch_norm = bodies_[body].has_batch_norm || IsBatchNormNode(node);
        bodies_[body].has_linear = bodies_[body].has_linear || IsLinearNode(node);
      }
      bodies_[body].nodes += 1;
      bodies_[body].names += 1 + node.input_size() + node.output_size() + node.attribute_size();
      // Only looked at: the cast spares a second copy of ConstantValue.
      ScanTensor(ConstantValue(const_cast<NodeProto&>(node)), bodies_[body]);
      for (const AttributeProto& attribute : node.attribute()) {
        if (attribute.has_g()) ScanGraph(attribute.g(), body, graphs + 1);
        for (const GraphProto& graph : attribute.graphs()) ScanGraph(graph, body, graphs + 1);
      }
    }
  }
  void ScanGraph(const GraphProto& graph, std::size_t body, int graphs) {
    bodies_[body].names += graph.input_size() + graph.output_size() + graph.value_info_size();
    for (const auto& tensor : graph.initializer()) ScanTensor(&tensor, bodies_[body]);
    Scan(graph.node(), body, graphs);
  }
  void ScanTensor(const onnx_proto::TensorProto* tensor, Body& body) const {
    const auto name = names_.find(tensor);
    if (name == names_.end()) return;
    body.longest_tensor = std::max(body.longest_tensor, static_cast<double>(name->second.size()));
  }

  void AddCall(const NodeProto& node, const FunctionProto& called, int graphs, Body& caller) {
    Body& callee = bodies_[indices_.at(&called)];
    // Every name within becomes one of these, or has the call's name before it.
    const double growth = static_cast<double>(node.ByteSizeLong()) + 16;
    caller.calls.push_back({indices_.at(&called), growth, graphs});
    if (node.input_size() > called.input_size() || node.output_size() > called.output_size()) {
      Keep(callee, "a call gives it more than it takes");
    }
    for (const AttributeProto& attribute : node.attribute()) {
      if (HoldsTensorOrGraph(attribute)) {
        Keep(callee, "a call gives it a tensor or a graph as an attribute");
      }
    }
    const std::set<std::string> outputs(called.output().begin(), called.output().end());
    for (int i = 0; i < called.input_size(); ++i) {
      const bool given = i < node.input_size() && !node.input(i).empty();
      if (!given && outputs.contains(called.input(i))) {
        Keep(callee, "it yields what a call does not give it");
      }
    }
  }

  static void Keep(Body& body, std::string why) {
    if (body.why.empty()) body.why = std::move(why);
  }

  // What each comes to, callees first; bodies that reach a circle stay open.
  void Settle() {
    std::vector<std::size_t> left;
    for (std::size_t i = 0; i < bodies_.size(); ++i) {
      if (bodies_[i].open_calls == 0) left.push_back(i);
    }
    while (!left.empty()) {
      Body& body = bodies_[left.back()];
      left.pop_back();
      body.bytes += BytesOfCalls(body);
      for (const FunctionCall& call : body.calls) {
        const Body& callee = bodies_[call.callee];
        body.depth = std::max(body.depth, callee.depth + 1);
        body.graphs = std::max(body.graphs, callee.graphs + call.graphs);
        body.names += callee.names;
        body.nodes += callee.nodes;
        body.longest_tensor = std::max(body.longest_tensor, callee.longest_tensor);
      }
      for (const std::size_t caller : body.callers) {
        if (--bodies_[caller].open_calls == 0) left.push_back(caller);
      }
    }
  }

  void CheckFunction(Body& body) {
    if (!body.is_wanted) return;
    if (!body.reached) Keep(body, "nothing calls it");
    if (body.open_calls != 0) Keep(body, "it calls itself, or a function that does");
    if (body.depth > kMostDepth) {
      Keep(body, "it calls functions more than " + std::to_string(kMostDepth) + " deep");
    }
    for (const AttributeProto& attribute : body.function->attribute_proto()) {
      if (HoldsTensorOrGraph(attribute)) Keep(body, "an attribute of it is a tensor or a graph");
    }
    Keep(body, WhyNotWrittenOut(*body.function, names_, taken_));
    if (body.why.empty()) Import(body);
  }

  // The operators of the function have to be those of the model.
  void Import(Body& body) {
    std::map<std::string, std::int64_t> known = imported_;
    for (const auto& opset : model_.opset_import()) {
      known.emplace(DomainOf(opset.domain()), opset.version());
    }
    std::map<std::string, std::int64_t> added;
    for (const auto& opset : body.function->opset_import()) {
      const std::string domain = DomainOf(opset.domain());
      const auto of_model = known.find(domain);
      if (of_model == known.end()) {
        added.emplace(domain, opset.version());
      } else if (of_model->second != opset.version()) {
        Keep(body, "its operator set" + (domain.empty() ? "" : " \"" + domain + '"') + " is " +
                       std::to_string(opset.version()) + ", and that of the model " +
                       std::to_string(of_model->second));
      }
    }
    if (body.why.empty()) imported_.insert(added.begin(), added.end());
  }

  // Of those that reach no circle; others are not written out.
  double BytesOfCalls(const Body& body) const {
    double bytes = 0;
    for (const FunctionCall& call : body.calls) {
      const Body& callee = bodies_[call.callee];
      if (callee.open_calls != 0) continue;
      bytes += callee.bytes + callee.names * (call.growth + callee.longest_tensor);
    }
    return bytes;
  }

  double NodesOfCalls(const Body& body) const {
    double nodes = 0;
    for (const FunctionCall& call : body.calls) {
      if (bodies_[call.callee].open_calls == 0) nodes += bodies_[call.callee].nodes;
    }
    return nodes;
  }

  int GraphsOf(const Body& body) const {
    int graphs = body.graphs;
    for (const FunctionCall& call : body.calls) {
      const Body& callee = bodies_[call.callee];
      if (callee.open_calls == 0) graphs = std::max(graphs, callee.graphs + call.graphs);
    }
    return graphs;
  }

  void KeepAll(const std::string& why) {
    for (Body& body : bodies_) {
      if (body.function != nullptr && body.is_wanted) {
        Keep(body, why);
      }
    }
  }

  FunctionChoice Chosen() {
    FunctionChoice choice;
    for (const Body& body : bodies_) {
      if (body.function == nullptr || !body.is_wanted) continue;
      if (body.why.empty()) {
        choice.written_out.insert(body.function);
      } else {
        choice.kept.emplace(KeyOf(*body.function), body.why);
      }
    }
    if (!choice.written_out.empty()) choice.imported = std::move(imported_);
    return choice;
  }

  const ModelProto& model_;
  const TensorNames& names_;
  const std::set<std::string>& taken_;
  const ModelFunctions functions_;
  std::vector<Body> bodies_;  // by index of the model's functions; last the main graph
  std::map<const FunctionProto*, std::size_t> indices_ = {};
  std::map<std::string, std::int64_t> imported_ = {};
};

}  // namespace

FunctionChoice ChooseFunctions(const ModelProto& model, const TensorNames& names,
                               const std::set<std::string>& taken) {
  if (model.functions_size() == 0) return {};
  return Chooser(model, names, taken).Choose();
}

}  // namespace ckpt::formats::onnx
