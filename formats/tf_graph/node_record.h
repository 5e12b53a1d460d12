// From operations back to NodeDef.
#pragma once

#include <cstdint>

#include "ckpt/op_graph.h"
#include "formats/tf_graph/graph_record.h"

namespace ckpt::formats {

// The record that the operation was read from; null for a new one.
const tf_proto::NodeDef* NodeOf(const OpGraph& graph, const Op& op);

enum class NodePlace : std::uint8_t { kGraph, kFunction /* attributes may be the function's */ };

// The NodeDef of `op`, without inputs: its record with what was changed, so that nothing unknown is
// lost, or a new one. The device is left out: it is of the machine that trained. The value of a
// constant is as in the record, or the operation's own; none where it has a `tensor`.
Result<tf_proto::NodeDef> ToNodeDef(const OpGraph& graph, const Op& op,
                                    NodePlace place = NodePlace::kGraph);

// An attribute of the node, added if it has none of the name.
tf_proto::AttrValue& AttrOf(tf_proto::NodeDef& node, const std::string& name);

}  // namespace ckpt::formats
