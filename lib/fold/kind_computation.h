// What a layer computes, in the network's vocabulary, where its format says only a kind of layer.
//
// To go when every format that holds a graph fills Layer::computation.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ckpt/model_graph.h"
#include "ckpt/network/operation.h"

namespace ckpt {

// One after another; Unknown alone where it is not known. Layer::computation where that says it,
// else what the kind says: of padding, windows and scales only that they are there. `rank` and
// `result_rank`: of what is read and made.
std::vector<network::Computation> ComputationsOf(const Layer& layer,
                                                 std::optional<std::int64_t> rank,
                                                 std::optional<std::int64_t> result_rank);

}  // namespace ckpt
