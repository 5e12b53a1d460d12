// Why a batch norm does not pass a layer, in words.
#pragma once

#include <string>

#include "ckpt/model_graph.h"
#include "ckpt/network/channel_rules.h"

namespace ckpt {

// "\"conv\" (Conv2D)"
std::string Described(const Layer& layer);

// "\"pad\" pads with zeros"; empty where there is no bound.
std::string WhyNoShift(network::ShiftBound bound, const Layer& layer);
// "\"pool\" takes maxima"; empty where there is no bound.
std::string WhyNotNegative(network::ScaleBound bound, const Layer& layer);
// "\"softmax\" (Softmax) lies between, which divides by what it reads"
std::string WhyStopped(network::StopReason reason, const Layer& layer);

}  // namespace ckpt
