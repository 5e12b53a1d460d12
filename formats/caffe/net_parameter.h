// The layers of a NetParameter message, their attributes and where their blobs lie. The messages
// are walked field by field, so that blobs stay in the file.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/formats/format.h"
#include "ckpt/shape.h"
#include "formats/container/file.h"

namespace ckpt::formats {

struct CaffeBlob {
  Shape shape;
  bool legacy_shape = false;  // four dimensions, padded with ones in front
  bool is_double = false;
  std::uint64_t offset = 0, size = 0;  // of its numbers; size 0: it has none
  std::string tensor = {};             // the name of it in the manifest, once there is one
};

// The numbers of a layer's parameter messages by message and field: {139, 3} is eps of
// batch_norm_param. Of a repeated field all are kept; floats are as their value; a shape is its
// dimensions.
using CaffeAttributes = std::map<std::pair<std::uint32_t, std::uint32_t>, std::vector<double>>;

struct CaffeLayer {
  std::string name, type;  // the old form's types are spelled as the new form's: "Convolution"
  std::vector<std::string> bottoms, tops;
  std::vector<CaffeBlob> blobs;
  CaffeAttributes attributes;
  bool train_only = false;   // by its rules of inclusion
  std::uint64_t offset = 0;  // in the file
};

// Field numbers of LayerParameter; the old form's are mapped to them.
inline constexpr std::uint32_t kConvolutionParam = 106, kInnerProductParam = 117,
                               kBatchNormParam = 139, kScaleParam = 142, kEltwiseParam = 110,
                               kConcatParam = 104, kLrnParam = 118, kPoolingParam = 121,
                               kPowerParam = 122, kReluParam = 123, kSoftmaxParam = 125,
                               kSliceParam = 126, kReshapeParam = 133, kFlattenParam = 135,
                               kEluParam = 140, kBiasParam = 141, kInputParam = 143,
                               kPermuteParam = 202;

// Blobs of a BatchNorm layer: mean, variance and their factor; in NVIDIA's fork gamma and beta too.
inline constexpr std::size_t kStatisticsAndFactor = 3, kBlobsWithScaleAndBias = 5;

// kCorrupt with the offset where the bytes are no NetParameter or a blob has another number of
// elements than its shape; kUnsupported for the oldest form, V0.
Result<std::vector<CaffeLayer>> ReadNetParameter(const RandomAccessFile& file,
                                                 const Limits& limits);

}  // namespace ckpt::formats
