// Caffe's .caffemodel: a binary NetParameter, layers with their blobs.
//
// What the manifest says:
// - Names are the layer's and what the blob is to it: conv1/weight, conv1/bias. A BatchNorm layer
//   and the Scale layer that alone reads it are one batch norm: bn1/mean, bn1/variance, bn1/gamma,
//   bn1/beta. `stored_as` is the layer and the blob's index: "scale1:0".
// - Mean and variance are divided by the layer's third blob, the scale factor, as Caffe does when
//   it computes; where that is 0, as it is before the first step, both are 0. The factor is in the
//   metadata.
// - The graph is that of the test phase. Epsilon (batch_norm_param.eps) and the moving average's
//   fraction are from it, or Caffe's own defaults.
// - There is no checksum.
//
// Source: BVLC/caffe, src/caffe/proto/caffe.proto, src/caffe/layers/batch_norm_layer.cpp.
#pragma once

#include <filesystem>
#include <memory>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {

// kCertain where the first layer has a name and a type, or by the suffix where it is of the old
// form.
Match ProbeCaffe(const ProbeInput& input);

Result<std::unique_ptr<Checkpoint>> OpenCaffe(const Files& files, const std::filesystem::path& path,
                                              const Limits& limits);

}  // namespace ckpt::formats
