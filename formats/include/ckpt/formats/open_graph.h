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

}  // namespace ckpt::formats
