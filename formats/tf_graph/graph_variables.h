// The variables that a graph's collections, objects and operations record.
#pragma once

#include "formats/tf_graph/graph_record.h"

namespace ckpt::formats {

// Fills `graph`'s variables and records_trainable. REQUIRES: its top body and collections are read.
Status ReadGraphVariables(const tf_proto::MetaGraphDef& meta, OpGraph& graph);

}  // namespace ckpt::formats
