// What a checkpoint says of one tensor before any of its bytes is read.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "ckpt/dtype.h"
#include "ckpt/result.h"
#include "ckpt/shape.h"

namespace ckpt {

// An index into Manifest::tensors.
struct TensorId {
  std::uint32_t index;
  auto operator<=>(const TensorId&) const = default;
};

// What the file itself says a tensor is for; facts of the file, not of naming.
enum class Section : std::uint8_t {
  kModel,        // weights and buffers (or: the file makes no difference)
  kConstant,     // a number that a graph computes with: a shape, an axis, an index; no parameter
  kOptimizer,    // state that the file records as the optimizer's
  kTransient,    // held by the model's object and no part of its state: a plain attribute, a buffer
                 // that is marked as not persistent
  kBookkeeping,  // object graphs, save counters, versions: not part of the model
};

enum class ChecksumKind : std::uint8_t { kCrc32c, kCrc32 };
// A checksum that the file stores for the tensor's bytes as they stand in the file.
struct StoredChecksum {
  ChecksumKind kind;
  std::uint32_t value;  // unmasked
  bool operator==(const StoredChecksum&) const = default;
};

struct TensorInfo {
  std::string name;       // what people call it: "conv1/kernel"; unique within a manifest
  std::string stored_as;  // the file's own key: "model_weights/conv1/conv1/kernel:0"
  Dtype dtype = Dtype::kF32;
  Shape shape;
  std::uint64_t byte_size = 0;  // of the decoded bytes that a TensorStream yields

  Section section = Section::kModel;
  // The object that owns the tensor and the tensor's name in it, where the file records both:
  // {"stem/bn", "moving_mean"}. Empty where names are all there is.
  std::string owner = {};
  std::string local_name = {};
  std::optional<bool> trainable = {};     // a flag that the file records
  std::optional<TensorId> slot_of = {};   // recorded: an optimizer slot of that tensor
  std::string slot_name = {};             // "momentum", "m", "v"
  std::optional<TensorId> alias_of = {};  // shares its bytes with an earlier tensor
  std::optional<StoredChecksum> checksum = {};
  std::string data_file = {};  // file that holds the bytes, as the user would name it
  bool data_present = true;    // false: the file is absent or too short; see problems
};

// Pulls one tensor's bytes front to back: little-endian, C order, no padding. Strings come as
// for each element a little-endian u64 length, then the bytes. Not thread-safe; several streams
// of one checkpoint may be open at the same time and used from different threads.
class TensorStream {
 public:
  virtual ~TensorStream() = default;
  // The next bytes (at most a few MiB; a whole number of elements, but for strings, which may be
  // cut anywhere), or an empty span at the end. Valid until the next call. Checksums that the file
  // stores are checked on the way; a mismatch is reported by the call that would have returned the
  // end.
  virtual Result<std::span<const std::byte>> Next() = 0;
};

}  // namespace ckpt
