// What verification asks of a network as it stands.
#pragma once

#include <string>
#include <vector>

#include "ckpt/network/network.h"

namespace ckpt {

// By operation: do these values need it?
std::vector<bool> NeededFor(const network::Network& net,
                            const std::vector<network::ValueId>& wanted);

// The layer that makes the value; the value's own name where none does.
const std::string& LayerOf(const network::Network& net, network::ValueId id);

}  // namespace ckpt
