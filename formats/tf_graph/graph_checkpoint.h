// A graph by itself as a checkpoint: `graph-def` and `tf-meta`, and a SavedModel without variables.
#pragma once

#include <filesystem>
#include <memory>

#include "ckpt/formats/format.h"
#include "formats/tf_graph/read_op_graph.h"

namespace ckpt::formats {

Match ProbeTfMeta(const ProbeInput& input);
Match ProbeGraphDef(const ProbeInput& input);

// A graph that holds its weights lists them as tensors, by the names of their constants. A graph
// with variables lists those, without data (ckpt/graph_only.h).
Result<std::unique_ptr<Checkpoint>> OpenTfMeta(const Files& files,
                                               const std::filesystem::path& path,
                                               const Limits& limits);
Result<std::unique_ptr<Checkpoint>> OpenGraphDef(const Files& files,
                                                 const std::filesystem::path& path,
                                                 const Limits& limits);

// The same of a graph that was read. `format` is a name of the table.
Result<std::unique_ptr<Checkpoint>> GraphAsCheckpoint(std::string_view format, std::string resolved,
                                                      std::shared_ptr<OpGraph> graph,
                                                      const Limits& limits);

}  // namespace ckpt::formats
