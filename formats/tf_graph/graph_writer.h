// Writes serving graphs: frozen GraphDefs, and SavedModels.
//
// A frozen GraphDef (.pb) is one protobuf message; weights are constants in it. A SavedModel is a
// folder: saved_model.pb with one graph of the tag "serve", and its variables as a bundle
// variables/variables.{index,data-*}. Source: TensorFlow, core/framework/graph.proto and
// core/protobuf/{meta_graph,saved_model,saver}.proto; the subgraph that restores as
// python/training/saver.py builds it.
#pragma once

#include <filesystem>

#include "ckpt/formats/graph_output.h"
#include "formats/tf_graph/graph_pieces.h"

namespace ckpt::formats {

struct GraphToWrite {
  const OutputModel& model;
  const OpGraph& ops;
};

// kUnsupported for graphs of 2 GiB and more.
Result<WriteSummary> WriteGraphDef(AtomicOutput& output, const std::filesystem::path& path,
                                   const GraphToWrite& graph, const WriteOptions& options);

// `path` is the folder, put in place as a whole. What an older SavedModel left in it and would
// contradict the new one (its fingerprint, its variables) goes.
Result<WriteSummary> WriteSavedModel(AtomicOutput& output, const std::filesystem::path& path,
                                     const GraphToWrite& graph, const WriteOptions& options);

// For the table of formats: fails, since a checkpoint alone is no graph.
Result<WriteSummary> WriteWithoutGraph(AtomicOutput& output, const std::filesystem::path& path,
                                       const OutputModel& model, const WriteOptions& options);

// kUnsupported for element types that TensorFlow does not have.
Status GraphCanHold(const TensorInfo& tensor);

// The nodes of the graph. Constants that were variables become variables where `keep_variables` is
// set.
Result<GraphPieces> BuildGraph(const GraphToWrite& graph, bool keep_variables);

}  // namespace ckpt::formats
