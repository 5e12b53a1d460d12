// Channels behind a rectifier that are zero everywhere: they prove nothing about what feeds them.
#pragma once

#include "ckpt/execution/run.h"

namespace ckpt {

struct ChannelCount {
  std::uint64_t channels = 0, silent = 0;
};
// Of a value of the network; none where no rectifier makes it.
ChannelCount SilentChannels(const network::Network& net, network::ValueId id,
                            const execution::Array& value);

}  // namespace ckpt
