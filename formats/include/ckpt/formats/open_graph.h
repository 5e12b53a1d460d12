// Opens what a user names as evidence: a graph.
#pragma once

#include <memory>
#include <string>

#include "ckpt/formats/format.h"

namespace ckpt::formats {

// What `path` names where a graph is wanted of it: a file that is a graph is opened as that and not
// as the checkpoint beside it.
Result<std::unique_ptr<Checkpoint>> OpenGraphOf(const Files& files, const std::string& path,
                                                const OpenOptions& options = {});

// `weights`, a file of weights without their model, opened once more with what `model` says of it:
// layers under their names, its graph, its network. Null where the format knows no such files, or
// the two do not belong together. kUnfit where a shape differs.
Result<std::unique_ptr<Checkpoint>> OpenWeightsOf(const Files& files, const Checkpoint& weights,
                                                  const Checkpoint& model,
                                                  const OpenOptions& options = {});

}  // namespace ckpt::formats
