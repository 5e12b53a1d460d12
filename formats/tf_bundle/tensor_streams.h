// Pulls the bytes of a bundle's tensors out of its data shards, checking the stored checksums.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ckpt/tensor.h"
#include "formats/tf_bundle/bundle_index.h"
#include "formats/tf_bundle/range_reader.h"

namespace ckpt::formats {

// What every stream needs to know of its tensor. `name` is for messages.
struct StreamSource {
  std::string name;
  const TfDtype* dtype;
  bool big_endian;
};

// The elements of one slice of a tensor, as a bundle stores them, front to back.
class SliceElements {
 public:
  virtual ~SliceElements() = default;
  virtual std::uint64_t remaining() const noexcept = 0;  // bytes
  // Fills `out`, a whole number of elements. REQUIRES: out.size() <= remaining().
  virtual Status Read(std::span<std::byte> out) = 0;
  // Was it sound, as far as only the whole shows? REQUIRES: remaining() == 0.
  virtual Status Verify() = 0;
};

// A tensor of elements of one size, stored whole.
std::unique_ptr<TensorStream> StreamWhole(StreamSource source, SharedFile file,
                                          const ShardRange& range);

// A tensor of elements of one size, stored in slices: each is read front to back, once. `files` are
// those of the slices, in the same order. `tensor` must outlive the stream.
std::unique_ptr<TensorStream> StreamSlices(StreamSource source, const BundleTensor& tensor,
                                           std::vector<SharedFile> files);
// The same from any source of slices, in the order of tensor.slices; `range.size` of each is the
// bytes of its elements, the rest of its range means nothing.
std::unique_ptr<TensorStream> StreamSlices(StreamSource source, const BundleTensor& tensor,
                                           std::vector<std::unique_ptr<SliceElements>> slices);

// A tensor of strings, stored whole: `count` lengths as varints, a checksum of them, then all
// bytes.
std::unique_ptr<TensorStream> StreamStrings(StreamSource source, SharedFile file,
                                            const ShardRange& range, std::uint64_t count);

// How many bytes StreamStrings will yield, found by reading the lengths alone.
Result<std::uint64_t> StringStreamSize(const StreamSource& source, SharedFile file,
                                       const ShardRange& range, std::uint64_t count);

}  // namespace ckpt::formats
