// The graph beside a checkpoint's variables, as evidence.
#pragma once

#include <filesystem>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {

// Sets `manifest`'s ops to the graph in PREFIX.meta where there is one. A damaged one leaves the
// checkpoint as readable as it was: the note says why the graph is not used.
void AttachMetaGraph(const Files& files, const std::filesystem::path& prefix, const Limits& limits,
                     Manifest& manifest);

}  // namespace ckpt::formats
