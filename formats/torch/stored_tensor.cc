#include "formats/torch/stored_tensor.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "formats/container/byte_swap_stream.h"
#include "formats/container/range_stream.h"
#include "formats/torch/strided_stream.h"

namespace ckpt::formats {
namespace {

std::uint64_t ByteSize(const TensorView& view) {
  return view.shape.element_count() * view.element_bytes;
}

// torch.serialization.set_crc32_options(False) writes 0 for every record.
ZipChecksum ChecksumMode(const ZipMember& member) {
  return member.crc32 == 0 ? ZipChecksum::kIgnore : ZipChecksum::kCheck;
}

bool IsWholeStorage(const StorageLocation& location, const TensorView& view) {
  return view.offset == 0 && ByteSize(view) == location.bytes &&
         IsContiguous(view.shape, view.strides);
}

// `size` bytes of a member that starts at the first of them. Where they are all of it, it is read
// to its end, which checks the CRC-32.
class MemberStream : public TensorStream {
 public:
  MemberStream(std::unique_ptr<ZipStream> member, std::uint64_t size, bool to_the_end,
               std::string tensor)
      : member_(std::move(member)),
        left_(size),
        to_the_end_(to_the_end),
        tensor_(std::move(tensor)) {}

  Result<std::span<const std::byte>> Next() override {
    if (left_ == 0 && !to_the_end_) return std::span<const std::byte>();
    auto chunk = member_->Next();
    if (!chunk) {
      chunk.error().tensor = tensor_;
      return Fail(chunk);
    }
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, chunk->size()));
    left_ -= size;
    return chunk->first(size);
  }

 private:
  std::unique_ptr<ZipStream> member_;
  std::uint64_t left_;
  bool to_the_end_;
  std::string tensor_;
};

// A view of a part of a member, or one in another order: the CRC-32 is of the whole member.
class CheckedViewStream : public TensorStream {
 public:
  CheckedViewStream(std::unique_ptr<TensorStream> view, std::shared_ptr<MemberChecksums> checksums,
                    std::size_t member, std::string tensor)
      : view_(std::move(view)),
        checksums_(std::move(checksums)),
        member_(member),
        tensor_(std::move(tensor)) {}

  Result<std::span<const std::byte>> Next() override {
    auto chunk = view_->Next();
    if (!chunk || !chunk->empty()) return chunk;
    Status checked = checksums_->Check(member_);
    if (checked) return chunk;
    checked.error().tensor = tensor_;
    return Fail(checked);
  }

 private:
  std::unique_ptr<TensorStream> view_;
  std::shared_ptr<MemberChecksums> checksums_;
  std::size_t member_;
  std::string tensor_;
};

Result<std::vector<std::byte>> Inflated(const ZipArchive& archive, std::size_t index) {
  const ZipMember& member = archive.members()[index];
  if (member.size > kMaxInflatedStorage) {
    return Fail(ErrorCode::kLimitExceeded,
                "is no run of its storage, which is deflated and too large to hold");
  }
  std::vector<std::byte> bytes;
  const auto stream = archive.Stream(index, 0, ChecksumMode(member));
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const auto chunk, stream->Next());
    if (chunk.empty()) return bytes;
    bytes.insert(bytes.end(), chunk.begin(), chunk.end());
  }
}

// Reads from a text or bytes in memory.
template <class Bytes>
ReadStorage FromMemory(std::shared_ptr<const Bytes> held) {
  return [held = std::move(held)](std::uint64_t offset, std::span<std::byte> out) -> Status {
    if (offset > held->size() || out.size() > held->size() - offset) {
      return Fail(ErrorCode::kCorrupt, "its storage is shorter than said");
    }
    std::memcpy(out.data(), held->data() + offset, out.size());
    return {};
  };
}

Result<std::unique_ptr<TensorStream>> Gather(const StorageFile& file,
                                             const StorageLocation& location,
                                             const TensorView& view) {
  const bool deflated =
      location.member && file.archive->members()[*location.member].method == ZipMethod::kDeflated;
  ReadStorage read;
  if (location.held) {
    read = FromMemory(location.held);
  } else if (deflated) {
    CKPT_ASSIGN_OR_RETURN(auto bytes, Inflated(*file.archive, *location.member));
    read = FromMemory(std::make_shared<const std::vector<std::byte>>(std::move(bytes)));
  } else {
    read = [source = file.file, start = location.offset](std::uint64_t offset,
                                                         std::span<std::byte> out) {
      return source->ReadAt(start + offset, out);
    };
  }
  return GatherStrided(std::move(read), view.shape, view.strides, view.offset, view.element_bytes);
}

Result<std::unique_ptr<TensorStream>> OpenRun(const StorageFile& file,
                                              const StorageLocation& location,
                                              const TensorView& view, std::string tensor) {
  const std::uint64_t skip = view.offset * view.element_bytes, size = ByteSize(view);
  if (!location.member) {
    return StreamRange(file.file, location.offset + skip, size, std::move(tensor));
  }
  const ZipMember& member = file.archive->members()[*location.member];
  const bool whole = IsWholeStorage(location, view);
  if (!whole && member.method == ZipMethod::kStored) {
    return StreamRange(file.file, location.offset + skip, size, std::move(tensor));
  }
  return std::unique_ptr<TensorStream>(std::make_unique<MemberStream>(
      file.archive->Stream(*location.member, skip, ChecksumMode(member)), size, whole,
      std::move(tensor)));
}

}  // namespace

Result<std::unique_ptr<TensorStream>> OpenStored(const StorageFile& file,
                                                 const StorageLocation& location,
                                                 const TensorView& view, std::string tensor) {
  if (view.shape.element_count() == 0) return StreamRange(file.file, 0, 0, std::move(tensor));
  const bool run = !location.held && IsContiguous(view.shape, view.strides);
  auto stream = run ? OpenRun(file, location, view, tensor) : Gather(file, location, view);
  if (!stream) {
    stream.error().tensor = tensor;
    return stream;
  }
  if (location.member && file.checksums && !(run && IsWholeStorage(location, view))) {
    stream = std::make_unique<CheckedViewStream>(*std::move(stream), file.checksums,
                                                 *location.member, tensor);
  }
  const bool big_endian = location.held ? view.big_endian : file.big_endian;
  if (!big_endian || view.swap_bytes < 2) return stream;
  return SwapBytes(*std::move(stream), view.swap_bytes);
}

std::optional<StoredChecksum> ChecksumOf(const StorageFile& file, const StorageLocation& location,
                                         const TensorView& view) {
  if (!location.member || file.big_endian || !IsWholeStorage(location, view)) return std::nullopt;
  const ZipMember& member = file.archive->members()[*location.member];
  if (member.crc32 == 0) return std::nullopt;
  return StoredChecksum{ChecksumKind::kCrc32, member.crc32};
}

}  // namespace ckpt::formats
