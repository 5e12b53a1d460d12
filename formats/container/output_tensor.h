// Pulls the tensors that a writer is given, and checks that each has the size it was announced
// with.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "ckpt/formats/format.h"
#include "formats/container/atomic_output.h"

namespace ckpt::formats {

// Hands the bytes of model.tensors[index] to `sink`, front to back. kInternal where the stream
// yields more or fewer bytes than byte_size.
Status PullTensor(const OutputModel& model, std::size_t index,
                  const std::function<Status(std::span<const std::byte>)>& sink);

// For each tensor the one whose bytes it can share: itself, or where `alias_of` names another of
// the same type and shape, and both yield the same bytes, that one.
Result<std::vector<std::size_t>> SharedTensorsOf(const OutputModel& model);

}  // namespace ckpt::formats
