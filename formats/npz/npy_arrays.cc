#include "formats/npz/npy_arrays.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "formats/container/byte_swap_stream.h"
#include "formats/container/range_stream.h"
#include "formats/npz/fortran_order.h"

namespace ckpt::formats {
namespace {

// Deflated arrays in Fortran order of more than this are refused: they may be bombs for the disk.
constexpr std::uint64_t kInflatedFortranBytes = std::uint64_t{256} << 20;

// A zip member's data as a tensor's.
class MemberStream : public TensorStream {
 public:
  MemberStream(std::unique_ptr<ZipStream> member, std::string tensor)
      : member_(std::move(member)), tensor_(std::move(tensor)) {}
  Result<std::span<const std::byte>> Next() override {
    auto chunk = member_->Next();
    if (!chunk) chunk.error().tensor = tensor_;
    return chunk;
  }

 private:
  std::unique_ptr<ZipStream> member_;
  std::string tensor_;
};

// Order matters only if two axes have more than one index.
bool NeedsGather(const NpyHeader& header) {
  const auto dims = header.shape.dims();
  return header.fortran_order && header.shape.element_count() > 0 &&
         std::count_if(dims.begin(), dims.end(), [](std::int64_t dim) { return dim > 1; }) > 1;
}

}  // namespace

bool IsStoredAsStreamed(const NpyHeader& header) {
  return header.kind == NpyKind::kPlain && !header.big_endian && !NeedsGather(header);
}

Result<std::unique_ptr<TensorStream>> NpyArrays::Open(const StoredArray& array,
                                                      const std::string& name) const {
  const NpyHeader& header = array.header;
  std::unique_ptr<TensorStream> stream;
  if (NeedsGather(header)) {
    CKPT_ASSIGN_OR_RETURN(stream, Gather(array, name));
  } else {
    stream = Raw(array, name);
  }
  if (header.kind != NpyKind::kPlain) {
    const NpyText text{header.item_bytes, header.kind == NpyKind::kText, header.big_endian};
    return DecodeText(std::move(stream), text, name);
  }
  if (!header.big_endian) return stream;
  const std::uint64_t unit = IsComplex(header.dtype) ? header.item_bytes / 2 : header.item_bytes;
  return SwapBytes(std::move(stream), static_cast<std::size_t>(unit));
}

std::unique_ptr<TensorStream> NpyArrays::Raw(const StoredArray& array,
                                             const std::string& name) const {
  const NpyHeader& header = array.header;
  if (!array.member) return StreamRange(file_, header.data_offset, header.data_bytes, name);
  return std::make_unique<MemberStream>(archive_->Stream(*array.member, header.data_offset), name);
}

Result<std::unique_ptr<TensorStream>> NpyArrays::Gather(const StoredArray& array,
                                                        const std::string& name) const {
  const NpyHeader& header = array.header;
  const bool deflated =
      array.member && archive_->members()[*array.member].method == ZipMethod::kDeflated;
  const std::uint64_t row = header.data_bytes / static_cast<std::uint64_t>(header.shape[0]);
  if (row > kMaxFortranRow || (deflated && header.data_bytes > kInflatedFortranBytes)) {
    return Fail(Error{ErrorCode::kLimitExceeded,
                      "is too large to be transposed from " +
                          std::string(deflated ? "deflated " : "") +
                          "Fortran order; numpy.ascontiguousarray before saving avoids that"}
                    .In(file_->path())
                    .Of(name));
  }
  std::error_code failed;
  std::filesystem::path folder = std::filesystem::temp_directory_path(failed);
  if (failed) folder = "/tmp";
  return GatherFortran(Raw(array, name), header.shape, static_cast<std::size_t>(header.item_bytes),
                       std::move(folder));
}

}  // namespace ckpt::formats
