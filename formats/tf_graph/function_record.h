// From a function of a graph back to FunctionDef.
#pragma once

#include "ckpt/op_graph.h"
#include "formats/tf_graph/graph_record.h"

namespace ckpt::formats {

// The FunctionDef of a function that was read from the graph's own file (its operations carry
// kRecordFunction): its record with what was changed. Large constants of its body are read from the
// file. kLimitExceeded where they are too large for memory.
Result<tf_proto::FunctionDef> ToFunctionDef(const OpGraph& graph, const OpFunction& function);

}  // namespace ckpt::formats
