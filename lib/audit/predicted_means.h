// What a network says, by its weights alone, of the means that its batch norms read.
#pragma once

#include <optional>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/network/network.h"

namespace ckpt::audit {

// Mean and variance of each channel of a value, over examples and places.
struct ChannelMoments {
  std::size_t axis = 0;  // of the channels, from the front
  std::vector<double> mean, variance;
};

// By value of the network; absent where nothing follows. A batch norm yields channels of mean beta
// and deviation gamma, whatever it reads; what is done to them on the way to the next batch norm is
// followed as if each channel were normal and independent of the others, and as if there were no
// borders. Means come out well by that, variances only roughly, as channels are not independent.
// Reads the weights on such ways only; a weight that cannot be read or is larger than `most_bytes`
// (as doubles) ends its way.
std::vector<std::optional<ChannelMoments>> PredictMoments(const network::Network& network,
                                                          const Checkpoint& weights,
                                                          std::uint64_t most_bytes);

}  // namespace ckpt::audit
