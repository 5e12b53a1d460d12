#include "formats/tf_v1/saved_slices.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "formats/encoding/byte_reader.h"
#include "formats/tf_bundle/slice_key.h"
#include "formats/tf_bundle/table_reader.h"
#include "formats/tf_proto/saved_tensor_slices.pb.h"
#include "formats/tf_v1/message_fields.h"
#include "formats/tf_v1/slice_elements.h"
#include "formats/tf_v1/slice_strings.h"

namespace ckpt::formats {
namespace {

constexpr std::int32_t kCheckpointVersion = 1;  // the only one of this format
constexpr std::int32_t kFirstReferenceType = 101;

// The last field `number` that is a message or bytes; nothing where there is none. Fails through
// `reader` where the bytes are no message.
std::optional<std::span<const std::byte>> FindField(ByteReader& reader, std::uint32_t number) {
  std::optional<std::span<const std::byte>> found;
  while (const auto field = NextBytesField(reader, number, "is not a message")) found = field;
  return found;
}

// A part of a file that holds a message or bytes.
struct Range {
  std::uint64_t begin = 0, end = 0;
};

// The same as FindField, of a message that stays in the file.
Result<std::optional<Range>> FindRange(const SharedFile& file, Range message,
                                       std::uint32_t number) {
  constexpr unsigned kLengthDelimited = 2;
  std::optional<Range> found;
  BufferedRange bytes(file, message.begin, message.end);
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const ProtoField field, NextField(bytes));
    if (field.number == 0) return found;
    if (field.wire != kLengthDelimited) {
      CKPT_RETURN_IF_ERROR(SkipField(bytes, field));
      continue;
    }
    if (field.number == number) found = Range{bytes.offset(), bytes.offset() + field.size};
    bytes.Skip(field.size);
  }
}

Result<std::string> TextOf(const RandomAccessFile& file, Range range, std::uint64_t max_bytes) {
  if (range.end - range.begin > max_bytes) {
    return Fail(
        Error{ErrorCode::kCorrupt, "has a name that is too long"}.In(file.path()).At(range.begin));
  }
  std::string text(static_cast<std::size_t>(range.end - range.begin), '\0');
  CKPT_RETURN_IF_ERROR(file.ReadAt(range.begin, std::as_writable_bytes(std::span(text))));
  return text;
}

class FileReader {
 public:
  FileReader(const RandomAccessFile& file, const Limits& limits) : file_(file), limits_(limits) {}

  Status Add(const TableEntry& entry) { return has_head_ ? AddSlice(entry) : ReadHead(entry); }
  Status AddPlaced(const PlacedEntry& entry);
  Result<std::vector<SavedTensor>> Finish();

 private:
  struct Place {
    std::size_t tensor, slice;
    bool found = false;
  };

  Status ReadHead(const TableEntry& entry);
  Status CheckVersion(const TableEntry& at, const tf_proto::VersionDef& version) const;
  Status AddTensor(const TableEntry& at, const tf_proto::SavedSliceMeta& meta);
  Result<SavedSlice> ReadExtents(const TableEntry& at, const SavedTensor& tensor,
                                 const tf_proto::TensorSliceProto& proto, std::string* key) const;
  Status AddSlice(const TableEntry& entry);
  Status AddPlacedSlice(const TableEntry& at, const PlacedEntry& entry);

  Error Corrupt(const TableEntry& at, std::string tensor, std::string message) const {
    return Error{ErrorCode::kCorrupt, std::move(message), file_.path(), at.offset,
                 std::move(tensor)};
  }

  const RandomAccessFile& file_;
  const Limits& limits_;
  bool has_head_ = false;
  std::vector<SavedTensor> tensors_;
  std::map<std::string, Place, std::less<>> places_;  // by the key of the slice
};

Status FileReader::ReadHead(const TableEntry& entry) {
  tf_proto::SavedTensorSlicesHead head;
  if (!entry.key.empty() ||
      entry.value.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()) ||
      !head.ParseFromArray(entry.value.data(), static_cast<int>(entry.value.size())) ||
      !head.has_meta()) {
    return Fail(Corrupt(entry, {}, "the first entry is not the head of a V1 checkpoint"));
  }
  has_head_ = true;
  CKPT_RETURN_IF_ERROR(CheckVersion(entry, head.meta().versions()));
  if (static_cast<std::uint64_t>(head.meta().tensor_size()) > limits_.tensors) {
    return Fail(Error{ErrorCode::kLimitExceeded,
                      "has more than " + std::to_string(limits_.tensors) + " tensors"}
                    .In(file_.path())
                    .At(entry.offset));
  }
  for (const auto& meta : head.meta().tensor()) CKPT_RETURN_IF_ERROR(AddTensor(entry, meta));
  return {};
}

Status FileReader::CheckVersion(const TableEntry& at, const tf_proto::VersionDef& version) const {
  const auto& bad = version.bad_consumers();
  if (version.min_consumer() <= kCheckpointVersion &&
      std::find(bad.begin(), bad.end(), kCheckpointVersion) == bad.end()) {
    return {};
  }
  return Fail(Error{ErrorCode::kUnsupported,
                    "asks for a reader of another checkpoint version than 1 (at least " +
                        std::to_string(version.min_consumer()) + ")"}
                  .In(file_.path())
                  .At(at.offset));
}

Status FileReader::AddTensor(const TableEntry& at, const tf_proto::SavedSliceMeta& meta) {
  SavedTensor tensor{meta.name(), FindTfDtype(meta.type()), {}, {}};
  if (tensor.name.empty() || tensor.name.size() > limits_.name_bytes) {
    return Fail(Corrupt(
        at, {}, "lists a tensor with a name of " + std::to_string(tensor.name.size()) + " bytes"));
  }
  const bool storable = tensor.dtype != nullptr && (tensor.dtype->dtype == Dtype::kString ||
                                                    HasTensorProtoField(*tensor.dtype));
  if (!storable) {
    return Fail(Corrupt(at, tensor.name,
                        "has the element type number " + std::to_string(meta.type()) +
                            (meta.type() >= kFirstReferenceType ? ", a reference" : "") +
                            ", which this format cannot hold"));
  }
  if (meta.shape().unknown_rank()) {
    return Fail(Corrupt(at, tensor.name, "has a shape of unknown rank"));
  }
  std::vector<std::int64_t> dims;
  for (const auto& dim : meta.shape().dim()) dims.push_back(dim.size());
  Result<Shape> shape = Shape::FromDims(dims);
  std::uint64_t bytes = 0;
  if (!shape || !CheckedMul(shape->element_count(),
                            std::max<std::size_t>(tensor.dtype->stored_bytes, 1), &bytes)) {
    return Fail(Corrupt(at, tensor.name,
                        shape ? "has more bytes than can be counted" : shape.error().message));
  }
  tensor.shape = *std::move(shape);
  for (const auto& proto : meta.slice()) {
    std::string key;
    CKPT_ASSIGN_OR_RETURN(SavedSlice slice, ReadExtents(at, tensor, proto, &key));
    const bool is_new =
        places_.emplace(std::move(key), Place{tensors_.size(), tensor.slices.size()}).second;
    if (!is_new) return Fail(Corrupt(at, tensor.name, "has the same slice twice"));
    tensor.slices.push_back(std::move(slice));
  }
  if (tensor.slices.empty()) return Fail(Corrupt(at, tensor.name, "has no slices"));
  tensors_.push_back(std::move(tensor));
  return {};
}

Result<SavedSlice> FileReader::ReadExtents(const TableEntry& at, const SavedTensor& tensor,
                                           const tf_proto::TensorSliceProto& proto,
                                           std::string* key) const {
  if (static_cast<std::size_t>(proto.extent_size()) != tensor.shape.rank()) {
    return Fail(Corrupt(at, tensor.name,
                        "of rank " + std::to_string(tensor.shape.rank()) + " has a slice of rank " +
                            std::to_string(proto.extent_size())));
  }
  SavedSlice slice;
  std::vector<SliceExtent> extents;
  std::vector<std::int64_t> dims;
  for (const auto& extent : proto.extent()) {
    const std::int64_t dim = tensor.shape[extents.size()];
    const bool all = extent.has_length_case() != tf_proto::TensorSliceProto::Extent::kLength ||
                     (extent.start() == 0 && extent.length() == SliceExtent::kAll);
    const std::int64_t length = all ? dim : extent.length();
    if (extent.start() < 0 || length < 0 || length > dim || extent.start() > dim - length) {
      return Fail(Corrupt(at, tensor.name,
                          "has a slice outside of it: start " + std::to_string(extent.start()) +
                              ", length " + std::to_string(length) + " in a dimension of " +
                              std::to_string(dim)));
    }
    extents.push_back({extent.start(), all ? SliceExtent::kAll : length});
    slice.start.push_back(extent.start());
    dims.push_back(length);
  }
  CKPT_ASSIGN_OR_RETURN(slice.shape, Shape::FromDims(dims));
  *key = EncodeSliceKey(tensor.name, extents);
  return slice;
}

Status FileReader::AddSlice(const TableEntry& entry) {
  const auto place = places_.find(entry.key);
  if (place == places_.end()) {
    const auto key = DecodeSliceKey(entry.key);
    return Fail(Corrupt(entry, key ? key->name : "", "holds a slice that its head does not list"));
  }
  SavedTensor& tensor = tensors_[place->second.tensor];
  ByteReader slices(entry.value, entry.offset, file_.path());
  const auto saved = FindField(slices, 2);
  ByteReader fields(saved.value_or(std::span<const std::byte>()), entry.offset, file_.path());
  const auto proto = FindField(fields, 3);
  ByteReader again(saved.value_or(std::span<const std::byte>()), entry.offset, file_.path());
  const auto name = FindField(again, 1);
  const bool named = name && std::string_view(reinterpret_cast<const char*>(name->data()),
                                              name->size()) == tensor.name;
  if (!slices.ok() || !fields.ok() || !proto || !named) {
    return Fail(Corrupt(entry, tensor.name, "its entry is not the data of one of its slices"));
  }
  SavedSlice& slice = tensor.slices[place->second.slice];
  const auto into_value = static_cast<std::uint64_t>(proto->data() - entry.value.data());
  slice.data = {entry.block, entry.compressed, entry.value_position + into_value, proto->size()};
  place->second.found = true;
  if (tensor.dtype->dtype != Dtype::kString) return {};
  const auto bytes = MeasureStrings(*proto, slice.shape.element_count());
  if (!bytes) return Fail(Corrupt(entry, tensor.name, bytes.error().message));
  slice.string_bytes = *bytes;
  return {};
}

// An entry whose value is not held: a head is loaded all the same, of a slice only its places.
Status FileReader::AddPlaced(const PlacedEntry& entry) {
  TableEntry at{entry.key, {}, entry.offset, entry.block, false, entry.value_position};
  if (has_head_) return AddPlacedSlice(at, entry);
  if (entry.value_size > limits_.index_bytes) {
    return Fail(Error{ErrorCode::kLimitExceeded,
                      "has a head of " + std::to_string(entry.value_size) + " bytes"}
                    .In(file_.path())
                    .At(entry.offset));
  }
  std::vector<std::byte> head(static_cast<std::size_t>(entry.value_size));
  CKPT_RETURN_IF_ERROR(file_.ReadAt(entry.block.offset + entry.value_position, head));
  at.value = head;
  return ReadHead(at);
}

Status FileReader::AddPlacedSlice(const TableEntry& at, const PlacedEntry& entry) {
  const auto place = places_.find(entry.key);
  if (place == places_.end()) {
    const auto key = DecodeSliceKey(entry.key);
    return Fail(Corrupt(at, key ? key->name : "", "holds a slice that its head does not list"));
  }
  SavedTensor& tensor = tensors_[place->second.tensor];
  const SharedFile file(SharedFile(), &file_);  // not owned
  const std::uint64_t begin = entry.block.offset + entry.value_position;
  const auto not_a_slice = [&] {
    return Fail(Corrupt(at, tensor.name, "its entry is not the data of one of its slices"));
  };
  const auto saved = FindRange(file, {begin, begin + entry.value_size}, 2);
  if (!saved || !*saved) return not_a_slice();
  const auto proto = FindRange(file, **saved, 3), name = FindRange(file, **saved, 1);
  if (!proto || !*proto || !name || !*name) return not_a_slice();
  const auto text = TextOf(file_, **name, limits_.name_bytes);
  if (!text || *text != tensor.name) return not_a_slice();
  SavedSlice& slice = tensor.slices[place->second.slice];
  slice.data = {entry.block, false, (*proto)->begin - entry.block.offset,
                (*proto)->end - (*proto)->begin};
  place->second.found = true;
  if (tensor.dtype->dtype != Dtype::kString) return {};
  BufferedRange strings(file, (*proto)->begin, (*proto)->end);
  const auto bytes = MeasureStrings(strings, slice.shape.element_count());
  if (!bytes) return Fail(Corrupt(at, tensor.name, bytes.error().message));
  slice.string_bytes = *bytes;
  return {};
}

Result<std::vector<SavedTensor>> FileReader::Finish() {
  if (!has_head_) {
    return Fail(
        Error{ErrorCode::kCorrupt, "is an empty table: the head of a V1 checkpoint is missing"}
            .In(file_.path())
            .At(0));
  }
  for (const auto& [key, place] : places_) {
    if (place.found) continue;
    return Fail(Error{ErrorCode::kCorrupt, "lists a slice whose data are not in the file"}
                    .In(file_.path())
                    .Of(tensors_[place.tensor].name));
  }
  return std::move(tensors_);
}

}  // namespace

Result<std::vector<SavedTensor>> ReadSavedSlices(const RandomAccessFile& file,
                                                 const Limits& limits) {
  FileReader reader(file, limits);
  CKPT_RETURN_IF_ERROR(ReadTable(
      file, limits, [&](const TableEntry& entry) { return reader.Add(entry); },
      [&](const PlacedEntry& entry) { return reader.AddPlaced(entry); }));
  return reader.Finish();
}

}  // namespace ckpt::formats
