// Writes serving graphs: frozen GraphDefs, and SavedModels.
//
// A frozen GraphDef (.pb) is one protobuf message; weights are constants in it. A SavedModel is a
// folder: saved_model.pb with one graph of the tag "serve", and its variables as a bundle
// variables/variables.{index,data-*}. Source: TensorFlow, core/framework/graph.proto and
// core/protobuf/{meta_graph,saved_model,saver}.proto; the subgraph that restores as
// python/training/saver.py builds it.
#pragma once

#include <filesystem>
#include <string>

#include "ckpt/formats/format.h"
#include "ckpt/op_graph.h"
#include "ckpt/serving.h"
#include "formats/tf_graph/graph_pieces.h"

namespace ckpt::formats {

struct GraphToWrite {
  const OutputModel& model;
  const OpGraph& ops;
};

// kUnsupported where the model has no graph of operations.
Result<GraphToWrite> GraphOf(const OutputModel& model);

// kUnsupported for graphs of 2 GiB and more.
Result<WriteSummary> WriteGraphDef(AtomicOutput& output, const std::filesystem::path& path,
                                   const OutputModel& model, const WriteOptions& options);

// `path` is the folder, put in place as a whole. What an older SavedModel left in it and would
// contradict the new one (its fingerprint, its variables) goes.
Result<WriteSummary> WriteSavedModel(AtomicOutput& output, const std::filesystem::path& path,
                                     const OutputModel& model, const WriteOptions& options);
// The saved_model.pb in it.
std::filesystem::path SavedModelMarker(const std::string& output);

// kUnsupported for element types that TensorFlow does not have.
Status GraphCanHold(const TensorInfo& tensor);

// The nodes of the graph. Constants that were variables become variables where `keep_variables` is
// set.
Result<GraphPieces> BuildGraph(const GraphToWrite& graph, bool keep_variables);

}  // namespace ckpt::formats
