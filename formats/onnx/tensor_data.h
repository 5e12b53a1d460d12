// The elements of one tensor: checked against its type and shape, and streamed.
//
// raw_data is little-endian; int32_data has one element in an entry, 16-bit floats as their bit
// pattern, types of 4 bits two to an entry (onnx/onnx.proto).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ckpt/tensor.h"
#include "formats/container/file.h"
#include "formats/onnx/model_scan.h"
#include "formats/onnx/onnx_dtype.h"

namespace ckpt::formats::onnx {

// Of the decoded elements, the last byte of packed ones filled up; 0 for strings.
// kCorrupt where that overflows.
Result<std::uint64_t> DecodedBytes(Dtype dtype, std::uint64_t elements);

// Fails with kCorrupt where the segments cannot be `bytes` bytes of `dtype`, kUnsupported where
// the tensor has data in two fields.
Status CheckSegments(const std::vector<DataSegment>& segments, const OnnxDtype& dtype,
                     std::uint64_t bytes);

// REQUIRES: CheckSegments succeeded; the segments lie within the file.
std::unique_ptr<TensorStream> StreamSegments(std::shared_ptr<const RandomAccessFile> file,
                                             std::vector<DataSegment> segments,
                                             const OnnxDtype& dtype, std::uint64_t bytes,
                                             std::string tensor);

// Strings, as a TensorStream yields them.
std::unique_ptr<TensorStream> StreamBytes(std::string bytes);

}  // namespace ckpt::formats::onnx
