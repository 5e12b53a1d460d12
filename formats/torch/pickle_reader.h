// Interprets the pickle protocols 0 to 5 (Python's pickletools.py) without executing anything.
//
// Refused: extension codes and out-of-band buffers (kUnsupported), and whatever a stack machine
// cannot follow (kCorrupt): operands that are not there, marks that are missing or left over, a
// memo entry never written, items set on what is no container.
#pragma once

#include <cstdint>
#include <limits>

#include "ckpt/result.h"
#include "formats/torch/pickle_graph.h"
#include "formats/torch/pickle_input.h"

namespace ckpt::formats {

struct PickleLimits {
  // What graph, memo and stack may take: so much, and so many times the bytes read. Of a pickle
  // that was inflated no more bytes count than `justified_bytes`.
  std::uint64_t memory = std::uint64_t{128} << 20;
  std::uint64_t memory_per_byte = 16;
  std::uint64_t justified_bytes = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t text_bytes = std::uint64_t{64} << 20;  // of one string
};

// Reads one pickle up to its STOP into `graph`, to which further ones may be added, and returns
// its value. `input` stands behind the STOP then.
Result<PickleId> ReadPickle(PickleInput& input, PickleGraph& graph,
                            const PickleLimits& limits = {});

}  // namespace ckpt::formats
