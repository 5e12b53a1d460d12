#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "formats/container/atomic_output.h"
#include "formats/container/output_tensor.h"
#include "formats/encoding/byte_reader.h"
#include "formats/encoding/checksum.h"
#include "formats/tf_bundle/data_shards.h"
#include "formats/tf_bundle/stored_elements.h"
#include "formats/tf_bundle/table_writer.h"
#include "formats/tf_bundle/tf_bundle.h"
#include "formats/tf_bundle/tf_dtype.h"
#include "formats/tf_proto/tensor_bundle.pb.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexSuffix = ".index";
constexpr std::int32_t kWrittenVersion = 1;

template <std::size_t kSize>
std::array<std::byte, kSize> LittleEndian(std::uint64_t value) {
  std::array<std::byte, kSize> bytes;
  for (std::size_t i = 0; i < kSize; ++i)
    bytes[i] = static_cast<std::byte>(value >> (8 * i) & 0xff);
  return bytes;
}

// Appends to a data shard, through a buffer, and keeps the checksum of the tensor being written.
class ShardWriter {
 public:
  explicit ShardWriter(OutputFile& file) : file_(file) {}

  void BeginTensor() {
    tensor_begin_ = size_;
    crc_ = 0;
  }
  Status Append(std::span<const std::byte> bytes) {
    crc_ = Crc32c(bytes, crc_);
    return Write(bytes);
  }
  // A string's length: a varint, which the checksum takes as four bytes, or eight if it needs them.
  Status AppendLength(std::uint64_t length) {
    crc_ = length > UINT32_MAX ? Crc32c(LittleEndian<8>(length), crc_)
                               : Crc32c(LittleEndian<4>(length), crc_);
    std::array<std::byte, 10> varint;
    std::size_t size = 0;
    for (; length >= 0x80; length >>= 7) {
      varint[size++] = static_cast<std::byte>((length & 0x7f) | 0x80);
    }
    varint[size++] = static_cast<std::byte>(length);
    return Write(std::span(varint).first(size));
  }
  Status Flush() {
    CKPT_RETURN_IF_ERROR(file_.Append(buffer_));
    buffer_.clear();
    return {};
  }

  std::uint32_t crc() const noexcept { return crc_; }
  std::uint64_t tensor_begin() const noexcept { return tensor_begin_; }
  std::uint64_t tensor_bytes() const noexcept { return size_ - tensor_begin_; }

 private:
  static constexpr std::size_t kBufferBytes = std::size_t{64} << 10;

  Status Write(std::span<const std::byte> bytes) {
    size_ += bytes.size();
    if (buffer_.size() + bytes.size() > kBufferBytes) CKPT_RETURN_IF_ERROR(Flush());
    if (bytes.size() >= kBufferBytes) return file_.Append(bytes);
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    return {};
  }

  OutputFile& file_;
  std::vector<std::byte> buffer_;
  std::uint64_t size_ = 0, tensor_begin_ = 0;
  std::uint32_t crc_ = 0;
};

Error Internal(const TensorInfo& tensor, std::string message) {
  return Error{ErrorCode::kInternal, std::move(message)}.Of(tensor.name);
}

// Takes a stream of strings apart (tensor.h says how it is made).
class StringSplitter {
 public:
  using LengthFunction = std::function<Status(std::uint64_t)>;
  using BytesFunction = std::function<Status(std::span<const std::byte>)>;
  // `length` is called with each string's length, `bytes` with the parts of each string.
  StringSplitter(LengthFunction length, BytesFunction bytes)
      : length_(std::move(length)), bytes_(std::move(bytes)) {}

  Status Feed(std::span<const std::byte> chunk) {
    while (!chunk.empty()) {
      const std::uint64_t wanted = left_ > 0 ? left_ : sizeof(std::uint64_t) - header_.size();
      const auto part =
          chunk.first(static_cast<std::size_t>(std::min<std::uint64_t>(wanted, chunk.size())));
      chunk = chunk.subspan(part.size());
      if (left_ > 0) {
        left_ -= part.size();
        CKPT_RETURN_IF_ERROR(bytes_(part));
        continue;
      }
      header_.insert(header_.end(), part.begin(), part.end());
      if (header_.size() < sizeof(std::uint64_t)) continue;
      left_ = ByteReader(header_).U64();
      header_.clear();
      ++count_;
      CKPT_RETURN_IF_ERROR(length_(left_));
    }
    return {};
  }
  bool complete() const noexcept { return left_ == 0 && header_.empty(); }
  std::uint64_t count() const noexcept { return count_; }

 private:
  LengthFunction length_;
  BytesFunction bytes_;
  std::vector<std::byte> header_;  // of the next string, as far as it was seen
  std::uint64_t left_ = 0, count_ = 0;
};

Status PullStrings(const OutputModel& model, std::size_t i, StringSplitter splitter) {
  CKPT_RETURN_IF_ERROR(
      PullTensor(model, i, [&](std::span<const std::byte> chunk) { return splitter.Feed(chunk); }));
  const TensorInfo& tensor = model.tensors[i];
  if (splitter.complete() && splitter.count() == tensor.shape.element_count()) return {};
  return Fail(Internal(tensor, "yields " + std::to_string(splitter.count()) +
                                   " strings for the shape " + ToString(tensor.shape)));
}

// The lengths, their checksum, then the bytes: the stream is pulled twice, so that nothing is held.
Status WriteStrings(const OutputModel& model, std::size_t i, ShardWriter& shard) {
  const auto skip_length = [](std::uint64_t) { return Status(); };
  const auto skip_bytes = [](std::span<const std::byte>) { return Status(); };
  const auto write_length = [&](std::uint64_t length) { return shard.AppendLength(length); };
  const auto write_bytes = [&](std::span<const std::byte> bytes) { return shard.Append(bytes); };
  CKPT_RETURN_IF_ERROR(PullStrings(model, i, {write_length, skip_bytes}));
  CKPT_RETURN_IF_ERROR(shard.Append(LittleEndian<4>(MaskCrc(shard.crc()))));
  return PullStrings(model, i, {skip_length, write_bytes});
}

Status WriteElements(const OutputModel& model, std::size_t i, const TfDtype& dtype,
                     ShardWriter& shard) {
  const TensorInfo& tensor = model.tensors[i];
  const std::uint64_t count = tensor.shape.element_count();
  std::vector<std::byte> unpacked;
  CKPT_RETURN_IF_ERROR(PullTensor(model, i, [&](std::span<const std::byte> chunk) {
    if (!dtype.packed()) return shard.Append(chunk);
    const std::uint64_t left = count - std::min(count, shard.tensor_bytes());
    unpacked.resize(static_cast<std::size_t>(std::min<std::uint64_t>(left, 2 * chunk.size())));
    UnpackNibbles(chunk, unpacked);
    return shard.Append(unpacked);
  }));
  if (shard.tensor_bytes() == count * dtype.stored_bytes) return {};
  return Fail(Internal(tensor, "yields " + std::to_string(shard.tensor_bytes()) +
                                   " bytes for the shape " + ToString(tensor.shape)));
}

// Appends tensor `i` to the shard and returns its index entry.
Result<tf_proto::BundleEntryProto> WriteTensor(const OutputModel& model, std::size_t i,
                                               ShardWriter& shard) {
  const TensorInfo& tensor = model.tensors[i];
  CKPT_RETURN_IF_ERROR(TfBundleCanHold(tensor));
  const TfDtype& dtype = *FindTfDtype(tensor.dtype);
  shard.BeginTensor();
  CKPT_RETURN_IF_ERROR(tensor.dtype == Dtype::kString ? WriteStrings(model, i, shard)
                                                      : WriteElements(model, i, dtype, shard));
  tf_proto::BundleEntryProto entry;
  entry.set_dtype(dtype.number);
  entry.mutable_shape();  // a scalar's is present and empty
  for (const std::int64_t dim : tensor.shape.dims())
    entry.mutable_shape()->add_dim()->set_size(dim);
  entry.set_offset(static_cast<std::int64_t>(shard.tensor_begin()));
  entry.set_size(static_cast<std::int64_t>(shard.tensor_bytes()));
  entry.set_crc32c(MaskCrc(shard.crc()));
  return entry;
}

// Room for all tensors, about: strings are not known before they are read.
std::uint64_t ExpectedBytes(const OutputModel& model) {
  std::uint64_t total = 0;
  for (const TensorInfo& tensor : model.tensors) {
    std::uint64_t bytes = tensor.byte_size;
    if (BitSize(tensor.dtype) == 4) bytes = tensor.shape.element_count();
    if (tensor.dtype == Dtype::kString) bytes = 0;
    if (!CheckedAdd(total, bytes, &total)) return 0;
  }
  return total;
}

std::string HeaderValue() {
  tf_proto::BundleHeaderProto header;
  header.set_num_shards(1);
  header.mutable_version()->set_producer(kWrittenVersion);
  return header.SerializeAsString();
}

// Data shards of another count that stand beside `prefix`.
std::vector<fs::path> StaleShards(const fs::path& prefix, const fs::path& written) {
  const fs::path folder = prefix.parent_path();
  std::vector<fs::path> stale;
  std::error_code failed;
  for (fs::directory_iterator it(folder.empty() ? "." : folder, failed), end; !failed && it != end;
       it.increment(failed)) {
    const std::string name = it->path().filename().string();
    const auto shard = ParseDataShardName(name);
    if (shard && shard->prefix == prefix.filename() && name != written.filename()) {
      stale.push_back(folder / name);
    }
  }
  std::sort(stale.begin(), stale.end());
  return stale;
}

Status WriteTensors(const OutputModel& model, OutputFile& data, TableWriter& table) {
  ShardWriter shard(data);
  CKPT_RETURN_IF_ERROR(table.Add("", HeaderValue()));
  std::string_view last;
  for (std::size_t i = 0; i < model.tensors.size(); ++i) {
    const TensorInfo& tensor = model.tensors[i];
    if (i > 0 && last >= tensor.name) return Fail(Internal(tensor, "is out of order"));
    last = tensor.name;
    CKPT_ASSIGN_OR_RETURN(const tf_proto::BundleEntryProto entry, WriteTensor(model, i, shard));
    CKPT_RETURN_IF_ERROR(table.Add(tensor.name, entry.SerializeAsString()));
  }
  CKPT_RETURN_IF_ERROR(shard.Flush());
  return table.Finish();
}

}  // namespace

Status TfBundleCanHold(const TensorInfo& tensor) {
  const TfDtype* const dtype = FindTfDtype(tensor.dtype);
  if (dtype == nullptr || (dtype->stored_bytes == 0 && tensor.dtype != Dtype::kString)) {
    return Fail(Error{
        ErrorCode::kUnsupported,
        "a TensorFlow checkpoint cannot hold elements of type " + std::string(Name(tensor.dtype))}
                    .Of(tensor.name));
  }
  if (tensor.name.empty() || tensor.name.front() == '\0') {
    return Fail(
        Error{ErrorCode::kUnsupported,
              "a TensorFlow checkpoint cannot hold a tensor with an empty name, or one that "
              "begins with a 0 byte"}
            .Of(tensor.name));
  }
  return {};
}

Result<WriteSummary> WriteTfBundle(AtomicOutput& output, const fs::path& path,
                                   const OutputModel& model, const WriteOptions&) {
  std::string prefix = path.string();
  if (prefix.ends_with(kIndexSuffix)) prefix.resize(prefix.size() - kIndexSuffix.size());
  const std::string index_path = prefix + std::string(kIndexSuffix);
  const std::string data_path = DataShardName(prefix, 0, 1);

  CKPT_ASSIGN_OR_RETURN(OutputFile* const data, output.Create(data_path, ExpectedBytes(model)));
  CKPT_ASSIGN_OR_RETURN(OutputFile* const index, output.Create(index_path));
  TableWriter table(*index);
  CKPT_RETURN_IF_ERROR(WriteTensors(model, *data, table));
  if (output.replaces()) {
    for (fs::path& stale : StaleShards(prefix, data_path)) {
      CKPT_RETURN_IF_ERROR(output.RemoveAtCommit(std::move(stale)));
    }
  }
  return WriteSummary{{data_path, index_path}, data->size() + index->size()};
}

fs::path TfBundleMarker(const std::string& output) {
  const bool prefix = !output.ends_with(kIndexSuffix);
  return prefix ? output + std::string(kIndexSuffix) : output;
}

}  // namespace ckpt::formats
