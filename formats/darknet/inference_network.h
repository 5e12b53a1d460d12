// What a Darknet cfg computes at inference, in the vocabulary of ckpt/network.
//
// Source: pjreddie/darknet src/{convolutional,connected,maxpool,avgpool,reorg,crop,yolo}_layer.c,
// activations.h; AlexeyAB's fork for what only it has.
#pragma once

#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/network/network.h"
#include "formats/darknet/cfg.h"

namespace ckpt::formats {

// Constants are the tensors of `manifest` that ArraysOfLayers (weight_arrays.h) lists.
// The outputs are what detection layers yield, and the last layer. kCorrupt where the cfg
// contradicts itself; of shapes that do, as `contradictions` says.
Result<network::Network> TranslateDarknet(const std::vector<CfgSection>& sections,
                                          const Manifest& manifest,
                                          network::NetworkBuilder::Contradictions contradictions);

}  // namespace ckpt::formats
