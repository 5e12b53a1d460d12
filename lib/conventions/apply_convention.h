// Turns the names and kernel layouts of a planned output into those of another framework.
#pragma once

#include "ckpt/convert.h"

namespace ckpt {

// Where ConvertOptions::names asks for another framework than the input's: renames every tensor but
// those that the user renames, puts kernels in the other framework's layout, drops and adds what
// only one of both has (batch counters, scales of ones), and lists the batch norms with their
// epsilon and momentum. kUnfit, naming the tensor, where its layout is not settled.
Status ApplyConvention(const Manifest& manifest, const Analysis& analysis,
                       const ConvertOptions& options, ConversionPlan& plan);

}  // namespace ckpt
