// Takes an ONNX file apart into its skeleton (the model without the data of its tensors) and the
// places of that data in the file, so that a large model is never held in memory.
//
// Works on the wire format of protocol buffers
// (https://protobuf.dev/programming-guides/encoding/) with the field numbers of onnx/onnx.proto.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ckpt/formats/format.h"
#include "ckpt/result.h"
#include "formats/container/file.h"

namespace ckpt::formats::onnx {

// The field of TensorProto that holds data, by its number.
enum class DataField : std::uint8_t {
  kFloat = 4,
  kInt32 = 5,
  kInt64 = 7,
  kRaw = 9,
  kDouble = 10,
  kUint64 = 11,
};

struct DataSegment {
  DataField field;
  bool packed;  // else a run of elements, each behind its tag of one byte
  std::uint64_t offset, size;
};

struct ScannedModel {
  std::string skeleton;  // a ModelProto; TensorProto::data_place is an index into `places`
  std::vector<std::vector<DataSegment>> places;
};

// Graphs nested in graphs, at most; what ONNX is run with goes no deeper than about ten.
inline constexpr int kMaxGraphDepth = 24;

// kLimitExceeded where the skeleton exceeds limits.metadata_bytes or graphs are nested deeper than
// kMaxGraphDepth; kCorrupt where the bytes are no protocol buffer.
Result<ScannedModel> ScanModel(const RandomAccessFile& file, const Limits& limits);

}  // namespace ckpt::formats::onnx
