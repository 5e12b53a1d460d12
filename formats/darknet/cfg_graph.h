// The graph of layers of a Darknet cfg.
#pragma once

#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/model_graph.h"
#include "formats/darknet/cfg.h"

namespace ckpt::formats {

// Found over the cfg's operations (FindLayers): a convolution, its batch norm
// ("000_convolutional/batch_normalize") and its activation ("000_convolutional/leaky") are layers.
// Epsilon and momentum are absent: the cfg has neither, they are those of the program. Fails as
// TranslateDarknet does.
Result<ModelGraph> DarknetModelGraph(const std::vector<CfgSection>& sections,
                                     const Manifest& manifest);

}  // namespace ckpt::formats
