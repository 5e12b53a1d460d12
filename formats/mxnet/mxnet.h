// MXNet's .params files: a list of arrays with their names, as Module and Gluon save it.
//
// - Names lose the kind that Module puts before them: "arg:bn0_gamma", "aux:bn0_moving_mean".
// - Where PREFIX-symbol.json stands beside PREFIX-0010.params (or PREFIX.params), it is the graph:
//   epsilon, momentum and what feeds what are from there. A batch norm with fix_gamma, the
//   operator's default, computes with a gamma of 1 whatever the file holds; the tensor is then read
//   as ones, and the manifest's metadata say so.
// - Without the symbol nothing tells fix_gamma. There is no checksum.
//
// Source: MXNet, src/ndarray/ndarray.cc, include/mxnet/tuple.h, src/operator/nn/batch_norm-inl.h.
#pragma once

#include <filesystem>
#include <memory>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {

Match ProbeMxnet(const ProbeInput& input);

// Sparse arrays are listed and not read.
Result<std::unique_ptr<Checkpoint>> OpenMxnet(const Files& files, const std::filesystem::path& path,
                                              const Limits& limits);

}  // namespace ckpt::formats
