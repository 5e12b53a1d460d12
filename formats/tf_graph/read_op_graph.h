// TensorFlow's graph files as operation graphs: GraphDef, MetaGraphDef and SavedModel, binary or
// text.
#pragma once

#include <memory>

#include "ckpt/op_graph.h"
#include "formats/tf_graph/graph_record.h"

namespace ckpt::formats {

// The graph that `record` holds. Its file_record is `record`, Op::record of an operation is its
// place in GraphDef.node, or in the function's node_def. Op::tensor is set by who lists tensors.
// kCorrupt, naming the operation, where the graph is malformed.
Result<std::shared_ptr<OpGraph>> BuildOpGraph(std::shared_ptr<const TfGraphRecord> record,
                                              const Limits& limits);

// Reads and builds.
Result<std::shared_ptr<OpGraph>> ReadOpGraph(std::shared_ptr<const RandomAccessFile> file,
                                             const Limits& limits);
Result<std::shared_ptr<OpGraph>> ReadOpGraph(const Files& files, const std::filesystem::path& path,
                                             const Limits& limits);

}  // namespace ckpt::formats
