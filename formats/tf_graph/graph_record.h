// A graph file as it was read: TensorFlow's messages, without the values of large tensors.
// OpGraph::file_record is one of these where formats/tf_graph read the graph.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ckpt/formats/format.h"
#include "ckpt/op_graph.h"
#include "formats/container/file.h"
#include "formats/tf_graph/companion_files.h"
#include "formats/tf_graph/graph_skeleton.h"
#include "formats/tf_proto/meta_graph.pb.h"

namespace ckpt::formats {

struct TfGraphRecord {
  OpGraphKind kind = OpGraphKind::kGraphDef;
  // The file's message; a MetaGraphDef or a GraphDef is meta_graphs(0), or the graph in it.
  tf_proto::SavedModel saved_model;
  int meta_graph = 0;  // the one that was read
  // Of a SavedModel; an error only matters to who copies them.
  Result<std::vector<CompanionFile>> companions = std::vector<CompanionFile>();
  // What the left_in_file of a tensor leads to (see StreamGraphTensor).
  std::shared_ptr<const RandomAccessFile> file;
  std::vector<LeftValue> left;

  const tf_proto::MetaGraphDef& meta() const { return saved_model.meta_graphs(meta_graph); }
  const tf_proto::GraphDef& graph() const { return meta().graph_def(); }
  // The function of this name; null if there is none.
  const tf_proto::FunctionDef* FindFunction(std::string_view name) const;
};

// The paths of its companions.
std::vector<std::string> CompanionPaths(const TfGraphRecord& record);

// The record behind an operation graph that ReadOpGraph made. REQUIRES: graph.file_record.
const TfGraphRecord& RecordOf(const OpGraph& graph);

// Reads a file of any of the kinds, by its content. kUnsupported where it is none of them, kCorrupt
// where it does not parse. Of a SavedModel the graph with the tag "serve" is chosen, else the
// first.
Result<std::shared_ptr<TfGraphRecord>> ReadGraphRecord(std::shared_ptr<const RandomAccessFile> file,
                                                       const Limits& limits);

}  // namespace ckpt::formats
