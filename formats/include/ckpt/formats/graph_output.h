// Formats whose files are graphs of operations: what is written is a serving graph.
#pragma once

#include <memory>

#include "ckpt/formats/format.h"
#include "ckpt/serving.h"

namespace ckpt::formats {

// graph-def and saved-model. Format::write of these fails: it has no graph to write.
bool HoldsOperations(const Format& format) noexcept;

// As Format::write. A constant's `tensor` in `ops` is an index into model.tensors; those that were
// variables stay variables in a SavedModel. REQUIRES: HoldsOperations(format).
Result<WriteSummary> WriteOperations(const Format& format, AtomicOutput& output,
                                     const std::filesystem::path& path, const OutputModel& model,
                                     std::shared_ptr<const OpGraph> ops,
                                     const WriteOptions& options);

}  // namespace ckpt::formats
