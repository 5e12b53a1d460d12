#include "formats/onnx/inner_batch_norms.h"

#include <algorithm>
#include <cstddef>

namespace ckpt::formats::onnx {
namespace {

using onnx_proto::GraphProto;
using onnx_proto::NodeProto;

struct Counts {
  std::size_t all = 0, training = 0;
};

// By opset: training_mode, is_test, or the statistics of the batch among its outputs.
bool Trains(const NodeProto& node) {
  const bool says =
      std::any_of(node.attribute().begin(), node.attribute().end(), [](const auto& attribute) {
        return attribute.name() == "training_mode" && attribute.i() != 0;
      });
  return says || std::any_of(node.output().begin() + std::min(node.output_size(), 1),
                             node.output().end(), [](const auto& name) { return !name.empty(); });
}

void CountInner(const NodeProto& node, Counts& counts);

void Count(const NodeProto& node, Counts& counts) {
  if (node.op_type() == "BatchNormalization" &&
      (node.domain().empty() || node.domain() == "ai.onnx")) {
    ++counts.all;
    counts.training += Trains(node) ? 1 : 0;
  }
  CountInner(node, counts);
}

void CountInner(const NodeProto& node, Counts& counts) {
  const auto count = [&](const GraphProto& graph) {
    for (const NodeProto& inner : graph.node()) Count(inner, counts);
  };
  for (const auto& attribute : node.attribute()) {
    if (attribute.has_g()) count(attribute.g());
    for (const GraphProto& graph : attribute.graphs()) count(graph);
  }
}

}  // namespace

std::string NoteOnInnerBatchNorms(const onnx_proto::ModelProto& model) {
  Counts counts;
  for (const NodeProto& node : model.graph().node()) CountInner(node, counts);
  for (const auto& function : model.functions()) {
    for (const NodeProto& node : function.node()) Count(node, counts);
  }
  if (counts.all == 0) return {};
  std::string note = std::to_string(counts.all) +
                     (counts.all == 1 ? " batch norm" : " batch norms") +
                     " in graphs inside of nodes or in functions: not judged and not folded";
  if (counts.training != 0) note += "; " + std::to_string(counts.training) + " in training mode";
  return note;
}

}  // namespace ckpt::formats::onnx
