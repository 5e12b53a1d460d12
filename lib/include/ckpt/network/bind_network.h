// The network of one file over the tensors of another.
#pragma once

#include "ckpt/checkpoint.h"
#include "ckpt/network/network.h"

namespace ckpt {

// The constants of `net`, which are tensors of `model`, become the tensors of the same names in
// `names`; numbers of the graph that are no parameters (Section::kConstant, up to 65,536 elements)
// stay as the graph has them. kUnfit where there is no such tensor, where shapes differ, or where a
// weight of `names` is read by no operation: then the two do not belong together, or an exporter
// stored equal tensors once.
Status BindNetwork(network::Network& net, const Checkpoint& model, const Manifest& names);

}  // namespace ckpt
