// What frameworks call the tensors of their layers.
//
// PyTorch: the state_dict keys of torch.nn's modules. Keras and TensorFlow: the variable names of
// tf.keras and tf.layers.
#pragma once

#include <string>

#include "ckpt/checkpoint.h"
#include "conventions/kernel_facts.h"
#include "conventions/tensor_parts.h"

namespace ckpt {

// "stem/bn" in PyTorch is "stem.bn", and the other way round.
std::string ScopeIn(Framework framework, const std::string& scope);
// The name of a tensor in another framework: {"stem/bn", gamma} in PyTorch is "stem.bn.weight".
// `kernel` for kernels, else null. `separable`: the layer has a depthwise and a pointwise kernel.
std::string NameIn(Framework framework, const TensorPart& part, const KernelFacts* kernel,
                   bool separable);

}  // namespace ckpt
