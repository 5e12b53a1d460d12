// A serialized graph without the large values in it, so that memory follows the number of
// operations and not the size of the weights.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"
#include "formats/tf_graph/graph_kind.h"

namespace ckpt::formats {

// A value that is left in the file.
struct LeftValue {
  std::uint64_t offset = 0, size = 0;
  bool content = false;  // of tensor_content; else packed float_val or double_val
};

// Elements of more bytes than this stay in the file.
inline constexpr std::uint64_t kLeaveInFileBytes = 4096;

struct GraphSkeleton {
  // The message as it was, but for the values of large tensors: their TensorProto has left_in_file,
  // one more than the place in `left` of the bytes of its tensor_content, float_val or double_val.
  std::string bytes;
  std::vector<LeftValue> left;
};

// Reads the whole file once, front to back. kCorrupt where it is not of fields that end where they
// say; kLimitExceeded where what is to be held is larger than limits.metadata_bytes.
Result<GraphSkeleton> ReadGraphSkeleton(const RandomAccessFile& file, OpGraphKind kind,
                                        const Limits& limits);

}  // namespace ckpt::formats
