#include "formats/tf_bundle/bundle_index.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "formats/encoding/byte_reader.h"
#include "formats/encoding/checksum.h"
#include "formats/tf_bundle/slice_cover.h"
#include "formats/tf_bundle/slice_key.h"
#include "formats/tf_bundle/table_reader.h"
#include "formats/tf_proto/tensor_bundle.pb.h"

namespace ckpt::formats {
namespace {

constexpr std::int32_t kBundleVersion = 1;  // the only one so far
constexpr std::int32_t kSavedTensorSlicesTag = 0x0a;

template <class Message>
bool Parse(std::span<const std::byte> bytes, Message* message) {
  return bytes.size() <= static_cast<std::size_t>(std::numeric_limits<int>::max()) &&
         message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

class IndexBuilder {
 public:
  IndexBuilder(const RandomAccessFile& file, const Limits& limits) : file_(file), limits_(limits) {}

  Status Add(const TableEntry& entry);
  Result<BundleIndex> Finish();

 private:
  // What an entry says of itself, a tensor or a slice of one.
  struct Entry {
    const TfDtype* dtype = nullptr;
    Shape shape;
    ShardRange range;
  };
  struct SliceEntry {
    Entry entry;
    std::uint64_t offset;  // in the index
    bool used = false;
  };

  Status ReadHeader(const TableEntry& entry);
  Status CheckVersion(const tf_proto::VersionDef& version, const TableEntry& entry) const;
  // Fills in `entry` from message_; `key` is for messages.
  Status ReadEntry(const TableEntry& at, const std::string& key, Entry* entry) const;
  Status ReadType(const TableEntry& at, const std::string& key, Entry* entry) const;
  Status ReadRange(const TableEntry& at, const std::string& key, Entry* entry) const;
  Status CheckSize(const TableEntry& at, const std::string& key, const Entry& entry) const;
  Status ResolveSlices(const TableEntry& at, BundleTensor* tensor);
  Result<BundleSlice> ResolveSlice(const TableEntry& at, const BundleTensor& tensor,
                                   const tf_proto::TensorSliceProto& slice);
  Status CheckOverlaps() const;

  Error Corrupt(const TableEntry& at, std::string key, std::string message) const {
    return Error{ErrorCode::kCorrupt, std::move(message), file_.path(), at.offset, std::move(key)};
  }

  const RandomAccessFile& file_;
  const Limits& limits_;
  BundleIndex index_;
  bool has_header_ = false;
  std::uint64_t entry_count_ = 0;
  std::map<std::string, SliceEntry, std::less<>> slices_;  // by encoded key
  tf_proto::BundleEntryProto message_;                     // kept for its memory
};

Status IndexBuilder::Add(const TableEntry& entry) {
  if (entry.key.empty()) return ReadHeader(entry);
  if (!has_header_) {
    return Fail(Corrupt(entry, {}, "the first entry is not a bundle's header"));
  }
  if (++entry_count_ > limits_.tensors) {
    return Fail(Error{ErrorCode::kLimitExceeded,
                      "has more than " + std::to_string(limits_.tensors) + " tensors"}
                    .In(file_.path())
                    .At(entry.offset));
  }
  std::string key(entry.key);
  if (!Parse(entry.value, &message_)) {
    return Fail(Corrupt(entry, std::move(key), "its entry is not a BundleEntryProto"));
  }
  Entry read;
  CKPT_RETURN_IF_ERROR(ReadEntry(entry, key, &read));
  // Keys of slices begin with a 0 byte, so they all come before the tensors that they belong to.
  if (key.front() == '\0' && DecodeSliceKey(key)) {
    if (message_.slices_size() > 0) {
      return Fail(Corrupt(entry, std::move(key), "a slice is said to have slices itself"));
    }
    slices_.emplace(std::move(key), SliceEntry{std::move(read), entry.offset});
    return {};
  }
  BundleTensor tensor{std::move(key), read.dtype, std::move(read.shape), read.range, {}};
  if (message_.slices_size() > 0) CKPT_RETURN_IF_ERROR(ResolveSlices(entry, &tensor));
  index_.tensors.push_back(std::move(tensor));
  return {};
}

Status IndexBuilder::ReadHeader(const TableEntry& entry) {
  if (!entry.value.empty() &&
      std::to_integer<std::int32_t>(entry.value.front()) == kSavedTensorSlicesTag) {
    return Fail(Error{ErrorCode::kUnsupported,
                      "is a checkpoint of the V1 format, not the index of a V2 one"}
                    .In(file_.path())
                    .At(entry.offset));
  }
  tf_proto::BundleHeaderProto header;
  if (!Parse(entry.value, &header)) {
    return Fail(Corrupt(entry, {}, "the header is not a BundleHeaderProto"));
  }
  if (header.num_shards() < 1) {
    return Fail(Corrupt(
        entry, {}, "the header claims " + std::to_string(header.num_shards()) + " data shards"));
  }
  if (header.endianness() != tf_proto::BundleHeaderProto::LITTLE &&
      header.endianness() != tf_proto::BundleHeaderProto::BIG) {
    return Fail(
        Corrupt(entry, {},
                "the header gives the unknown byte order " + std::to_string(header.endianness())));
  }
  CKPT_RETURN_IF_ERROR(CheckVersion(header.version(), entry));
  index_.num_shards = static_cast<std::uint32_t>(header.num_shards());
  index_.big_endian = header.endianness() == tf_proto::BundleHeaderProto::BIG;
  has_header_ = true;
  return {};
}

Status IndexBuilder::CheckVersion(const tf_proto::VersionDef& version,
                                  const TableEntry& entry) const {
  const auto& bad = version.bad_consumers();
  if (version.producer() < 0) {
    return Fail(Corrupt(
        entry, {}, "the header gives the producer version " + std::to_string(version.producer())));
  }
  if (version.min_consumer() <= kBundleVersion &&
      std::find(bad.begin(), bad.end(), kBundleVersion) == bad.end()) {
    return {};
  }
  return Fail(Error{ErrorCode::kUnsupported,
                    "asks for a reader of another bundle version than 1 (at least " +
                        std::to_string(version.min_consumer()) + ")"}
                  .In(file_.path())
                  .At(entry.offset));
}

Status IndexBuilder::ReadEntry(const TableEntry& at, const std::string& key, Entry* entry) const {
  CKPT_RETURN_IF_ERROR(ReadType(at, key, entry));
  if (message_.slices_size() > 0) return {};
  CKPT_RETURN_IF_ERROR(ReadRange(at, key, entry));
  return CheckSize(at, key, *entry);
}

Status IndexBuilder::ReadType(const TableEntry& at, const std::string& key, Entry* entry) const {
  const std::int32_t number = message_.dtype();
  entry->dtype = FindTfDtype(number);
  if (entry->dtype == nullptr) {
    const bool impossible = number <= 0 || (number > 100 && FindTfDtype(number - 100) != nullptr);
    Error error = Corrupt(
        at, key,
        "has the element type number " + std::to_string(number) +
            (impossible ? ", which no stored tensor can have" : ", which is not known here"));
    if (!impossible) error.code = ErrorCode::kUnsupported;
    return Fail(std::move(error));
  }
  if (message_.shape().unknown_rank()) {
    return Fail(Corrupt(at, key, "has a shape of unknown rank"));
  }
  std::vector<std::int64_t> dims;
  dims.reserve(static_cast<std::size_t>(message_.shape().dim_size()));
  for (const auto& dim : message_.shape().dim()) dims.push_back(dim.size());
  Result<Shape> shape = Shape::FromDims(dims);
  if (!shape) return Fail(Corrupt(at, key, shape.error().message));
  entry->shape = *std::move(shape);
  return {};
}

Status IndexBuilder::ReadRange(const TableEntry& at, const std::string& key, Entry* entry) const {
  const std::int64_t shard = message_.shard_id();
  if (shard < 0 || shard >= index_.num_shards) {
    return Fail(Corrupt(
        at, key,
        "lies in shard " + std::to_string(shard) + " of " + std::to_string(index_.num_shards)));
  }
  std::int64_t end = 0;
  if (message_.offset() < 0 || message_.size() < 0 ||
      __builtin_add_overflow(message_.offset(), message_.size(), &end)) {
    return Fail(Corrupt(at, key,
                        "lies at the impossible place " + std::to_string(message_.offset()) +
                            ", size " + std::to_string(message_.size())));
  }
  entry->range = {static_cast<std::uint32_t>(shard), static_cast<std::uint64_t>(message_.offset()),
                  static_cast<std::uint64_t>(message_.size()), UnmaskCrc(message_.crc32c())};
  return {};
}

Status IndexBuilder::CheckSize(const TableEntry& at, const std::string& key,
                               const Entry& entry) const {
  const std::uint64_t count = entry.shape.element_count();
  std::uint64_t expected = 0;
  bool fits = true;
  if (entry.dtype->stored_bytes > 0) {
    fits = CheckedMul(count, entry.dtype->stored_bytes, &expected) && entry.range.size == expected;
  } else if (entry.dtype->dtype == Dtype::kString) {
    // A length of at least one byte for each, and the checksum of the lengths.
    fits = CheckedAdd(count, sizeof(std::uint32_t), &expected) && entry.range.size >= expected;
  }
  if (fits) return {};
  return Fail(Corrupt(at, key,
                      "has " + std::to_string(entry.range.size) + " bytes, which do not hold " +
                          ToString(entry.shape) + " of " + std::string(Name(entry.dtype->dtype))));
}

Status IndexBuilder::ResolveSlices(const TableEntry& at, BundleTensor* tensor) {
  tensor->range = {};
  for (const tf_proto::TensorSliceProto& slice : message_.slices()) {
    CKPT_ASSIGN_OR_RETURN(BundleSlice resolved, ResolveSlice(at, *tensor, slice));
    tensor->slices.push_back(std::move(resolved));
  }
  if (Status covered = CheckCover(tensor->shape, tensor->slices); !covered) {
    Error error = Corrupt(at, tensor->key, covered.error().message);
    error.code = covered.error().code;
    return Fail(std::move(error));
  }
  return {};
}

Result<BundleSlice> IndexBuilder::ResolveSlice(const TableEntry& at, const BundleTensor& tensor,
                                               const tf_proto::TensorSliceProto& slice) {
  const auto rank = static_cast<std::size_t>(slice.extent_size());
  if (rank != tensor.shape.rank()) {
    return Fail(Corrupt(at, tensor.key,
                        "of rank " + std::to_string(tensor.shape.rank()) + " has a slice of rank " +
                            std::to_string(rank)));
  }
  std::vector<SliceExtent> extents;
  std::vector<std::int64_t> start, dims;
  for (const auto& proto : slice.extent()) {
    const std::int64_t dim = tensor.shape[extents.size()];
    const bool all = proto.has_length_case() == tf_proto::TensorSliceProto::Extent::kLength
                         ? proto.start() == 0 && proto.length() == SliceExtent::kAll
                         : true;
    const std::int64_t length = all ? dim : proto.length();
    if (proto.start() < 0 || length < 0 || length > dim || proto.start() > dim - length) {
      return Fail(Corrupt(at, tensor.key,
                          "has a slice outside of it: start " + std::to_string(proto.start()) +
                              ", length " + std::to_string(length) + " in a dimension of " +
                              std::to_string(dim)));
    }
    extents.push_back({proto.start(), all ? SliceExtent::kAll : length});
    start.push_back(proto.start());
    dims.push_back(length);
  }
  const auto found = slices_.find(EncodeSliceKey(tensor.key, extents));
  if (found == slices_.end()) {
    return Fail(Corrupt(at, tensor.key, "has a slice that the index does not hold"));
  }
  CKPT_ASSIGN_OR_RETURN(Shape shape, Shape::FromDims(dims));
  SliceEntry& stored = found->second;
  if (stored.used || stored.entry.dtype != tensor.dtype || stored.entry.shape != shape) {
    return Fail(Corrupt(
        at, tensor.key,
        stored.used ? "lists a slice twice" : "has a slice of another type or shape than it says"));
  }
  stored.used = true;
  return BundleSlice{std::move(start), std::move(shape), stored.entry.range};
}

// No writer lets tensors share bytes; where two ranges overlap, one of them is wrong.
Status IndexBuilder::CheckOverlaps() const {
  struct Used {
    ShardRange range;
    const std::string* key;
  };
  std::vector<Used> used;
  used.reserve(entry_count_);
  for (const BundleTensor& tensor : index_.tensors) {
    if (tensor.slices.empty() && tensor.range.size > 0) used.push_back({tensor.range, &tensor.key});
    for (const BundleSlice& slice : tensor.slices) {
      if (slice.range.size > 0) used.push_back({slice.range, &tensor.key});
    }
  }
  std::sort(used.begin(), used.end(), [](const Used& a, const Used& b) {
    return std::pair(a.range.shard, a.range.offset) < std::pair(b.range.shard, b.range.offset);
  });
  for (std::size_t i = 1; i < used.size(); ++i) {
    const ShardRange &before = used[i - 1].range, &range = used[i].range;
    if (before.shard == range.shard && before.offset + before.size > range.offset) {
      return Fail(Error{ErrorCode::kCorrupt, "begins at byte " + std::to_string(range.offset) +
                                                 " of shard " + std::to_string(range.shard) +
                                                 ", inside of \"" + *used[i - 1].key + "\""}
                      .In(file_.path())
                      .Of(*used[i].key));
    }
  }
  return {};
}

Result<BundleIndex> IndexBuilder::Finish() {
  if (!has_header_) {
    return Fail(Error{ErrorCode::kCorrupt, "is empty: a bundle's header is missing"}
                    .In(file_.path())
                    .At(0));
  }
  for (const auto& [key, slice] : slices_) {
    if (slice.used) continue;
    return Fail(Error{ErrorCode::kCorrupt,
                      "holds a slice of a tensor that has no entry, or does not list it",
                      file_.path(), slice.offset, DecodeSliceKey(key)->name});
  }
  CKPT_RETURN_IF_ERROR(CheckOverlaps());
  return std::move(index_);
}

}  // namespace

Result<BundleIndex> ReadBundleIndex(const RandomAccessFile& file, const Limits& limits) {
  IndexBuilder builder(file, limits);
  CKPT_RETURN_IF_ERROR(
      ReadTable(file, limits, [&](const TableEntry& entry) { return builder.Add(entry); }));
  return builder.Finish();
}

}  // namespace ckpt::formats
