// Decodes the elements of a TensorProto as a V1 checkpoint stores them: a repeated field whose
// number goes with the element type, packed or not, integers as varints. There is no element count
// and no type in it. Source: TensorFlow, core/framework/tensor.proto.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "ckpt/formats/format.h"
#include "formats/tf_bundle/range_reader.h"
#include "formats/tf_bundle/tensor_streams.h"
#include "formats/tf_v1/saved_slices.h"

namespace ckpt::formats {

// The bytes of a TensorProto: a range of a file, or of a block that had to be uncompressed.
struct ProtoBytes {
  SharedFile file;
  std::uint64_t begin = 0, end = 0;
};
// A compressed block is taken into memory as a whole.
Result<ProtoBytes> OpenTensorProto(SharedFile file, const SavedTensorProto& proto,
                                   const Limits& limits);

// Can a TensorProto hold elements of this type, strings apart?
bool HasTensorProtoField(const TfDtype& dtype);

// `count` elements of `dtype`. Fewer or more in the message are kCorrupt.
// REQUIRES: HasTensorProtoField(dtype).
std::unique_ptr<SliceElements> DecodeTensorProto(ProtoBytes bytes, const TfDtype& dtype,
                                                 std::uint64_t count);

// The next field of a message: its number, or 0 at the end of the message.
struct ProtoField {
  std::uint32_t number = 0;
  unsigned wire = 0;
  std::uint64_t size = 0;  // of a length-delimited one, known to be there
};
Result<ProtoField> NextField(BufferedRange& bytes);
// Passes over a field of that wire type.
Status SkipField(BufferedRange& bytes, const ProtoField& field);
Result<std::uint64_t> NextVarint(BufferedRange& bytes);

}  // namespace ckpt::formats
