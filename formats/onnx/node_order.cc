#include "formats/onnx/node_order.h"

#include <functional>
#include <queue>
#include <unordered_map>
#include <utility>

namespace ckpt::formats::onnx {
namespace {

using onnx_proto::GraphProto;
using onnx_proto::NodeProto;

void AddCaptured(const NodeProto& node, std::set<std::string>& names);

void AddFree(const GraphProto& graph, std::set<std::string>& names) {
  const std::set<std::string> own = DefinedNames(graph);
  std::set<std::string> read;
  for (const NodeProto& node : graph.node()) {
    read.insert(node.input().begin(), node.input().end());
    AddCaptured(node, read);
  }
  for (const auto& output : graph.output()) read.insert(output.name());
  for (const std::string& name : read) {
    if (!name.empty() && !own.contains(name)) names.insert(name);
  }
}

void AddCaptured(const NodeProto& node, std::set<std::string>& names) {
  for (const auto& attribute : node.attribute()) {
    if (attribute.has_g()) AddFree(attribute.g(), names);
    for (const GraphProto& graph : attribute.graphs()) AddFree(graph, names);
  }
}

class Order {
 public:
  explicit Order(const Nodes& nodes)
      : needs_(static_cast<std::size_t>(nodes.size())),
        live_(static_cast<std::size_t>(nodes.size()), false) {}

  Status FindProducers(const Nodes& nodes) {
    for (int i = 0; i < nodes.size(); ++i) {
      for (const std::string& output : nodes[i].output()) {
        if (!output.empty() && !producers_.emplace(output, i).second) {
          return Fail(ErrorCode::kCorrupt, "two nodes yield \"" + output + "\"");
        }
      }
    }
    for (int i = 0; i < nodes.size(); ++i) {
      for (const std::string& input : nodes[i].input()) Need(i, input);
      for (const std::string& input : CapturedNames(nodes[i])) Need(i, input);
    }
    return {};
  }

  void Want(const std::vector<std::string>& names) {
    std::vector<int> left;
    const auto want = [&](int node) {
      if (live_[static_cast<std::size_t>(node)]) return;
      live_[static_cast<std::size_t>(node)] = true;
      left.push_back(node);
    };
    for (const std::string& name : names) {
      if (const auto found = producers_.find(name); found != producers_.end()) want(found->second);
    }
    while (!left.empty()) {
      const int node = left.back();
      left.pop_back();
      for (const int needed : needs_[static_cast<std::size_t>(node)]) want(needed);
    }
  }

  Result<std::vector<int>> Sorted() const {
    std::vector<std::vector<int>> readers(needs_.size());
    std::vector<std::size_t> missing(needs_.size());
    std::priority_queue<int, std::vector<int>, std::greater<>> ready;
    std::size_t live = 0;
    for (std::size_t i = 0; i < needs_.size(); ++i) {
      if (!live_[i]) continue;
      ++live;
      missing[i] = needs_[i].size();
      for (const int needed : needs_[i]) {
        readers[static_cast<std::size_t>(needed)].push_back(static_cast<int>(i));
      }
      if (missing[i] == 0) ready.push(static_cast<int>(i));
    }
    std::vector<int> order;
    while (!ready.empty()) {
      order.push_back(ready.top());
      ready.pop();
      for (const int reader : readers[static_cast<std::size_t>(order.back())]) {
        if (--missing[static_cast<std::size_t>(reader)] == 0) ready.push(reader);
      }
    }
    if (order.size() != live) return Fail(ErrorCode::kCorrupt, "nodes need one another's values");
    return order;
  }

 private:
  void Need(int node, const std::string& name) {
    const auto found = producers_.find(name);
    if (found != producers_.end()) needs_[static_cast<std::size_t>(node)].insert(found->second);
  }

  std::unordered_map<std::string, int> producers_;
  std::vector<std::set<int>> needs_;
  std::vector<bool> live_;
};

}  // namespace

std::set<std::string> DefinedNames(const GraphProto& graph) {
  std::set<std::string> names;
  for (const auto& input : graph.input()) names.insert(input.name());
  for (const auto& tensor : graph.initializer()) names.insert(tensor.name());
  for (const auto& sparse : graph.sparse_initializer()) names.insert(sparse.values().name());
  for (const NodeProto& node : graph.node()) {
    names.insert(node.output().begin(), node.output().end());
  }
  return names;
}

std::set<std::string> FreeNames(const GraphProto& graph) {
  std::set<std::string> names;
  AddFree(graph, names);
  return names;
}

std::set<std::string> CapturedNames(const NodeProto& node) {
  std::set<std::string> names;
  AddCaptured(node, names);
  return names;
}

Result<std::vector<int>> OrderNodes(const Nodes& nodes, const std::vector<std::string>& wanted) {
  Order order(nodes);
  CKPT_RETURN_IF_ERROR(order.FindProducers(nodes));
  order.Want(wanted);
  return order.Sorted();
}

}  // namespace ckpt::formats::onnx
