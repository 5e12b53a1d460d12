// What one file of a V1 checkpoint holds: the tensors that its head lists and where their slices'
// data are.
//
// The file is a table (tf_bundle/table_format.h). Under the empty key it has a SavedTensorSlices
// message whose `meta` lists every tensor with its slices; under the key of each slice
// (tf_bundle/slice_key.h) one whose `data` has the slice's name, place and a TensorProto:
//
//   SavedTensorSlices { meta = 1, data = 2 }
//   SavedSlice        { name = 1, slice = 2, data = 3 }
//
// Source: TensorFlow, core/util/saved_tensor_slice.proto, tensor_slice_writer.cc.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ckpt/formats/format.h"
#include "ckpt/shape.h"
#include "formats/container/file.h"
#include "formats/tf_bundle/table_format.h"
#include "formats/tf_bundle/tf_dtype.h"

namespace ckpt::formats {

// Where a TensorProto is: in the uncompressed contents of a block of the table.
struct SavedTensorProto {
  BlockHandle block;
  bool compressed = false;
  std::uint64_t position = 0, size = 0;
};

struct SavedSlice {
  std::vector<std::int64_t> start;
  Shape shape;
  SavedTensorProto data;
  std::uint64_t string_bytes = 0;  // strings alone: as a TensorStream yields them
};

struct SavedTensor {
  std::string name;
  const TfDtype* dtype = nullptr;
  Shape shape;
  std::vector<SavedSlice> slices;  // at least one
};

// Reads the whole file once and checks every checksum of it; of what is larger than 4 MiB and not
// compressed it holds no more than a piece at a time. kCorrupt with the offset and, where
// there is one, the tensor's name. Whether the slices cover a tensor is not looked at: the others
// may be in other files.
Result<std::vector<SavedTensor>> ReadSavedSlices(const RandomAccessFile& file,
                                                 const Limits& limits);

}  // namespace ckpt::formats
