#include "formats/npz/fortran_order.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "formats/container/range_stream.h"
#include "formats/container/scratch_file.h"

namespace ckpt::formats {
namespace {

constexpr std::uint64_t kBlockBytes = std::uint64_t{32} << 20;
constexpr std::size_t kTile = 32;  // elements of a side: two tiles fit the first-level cache

template <std::size_t kItem>
void TransposeItems(const std::byte* from, std::size_t rows, std::size_t columns,
                    std::size_t column_stride, std::byte* to, std::size_t row_stride) {
  for (std::size_t c0 = 0; c0 < columns; c0 += kTile) {
    for (std::size_t r0 = 0; r0 < rows; r0 += kTile) {
      for (std::size_t c = c0; c < std::min(c0 + kTile, columns); ++c) {
        for (std::size_t r = r0; r < std::min(r0 + kTile, rows); ++r) {
          std::memcpy(to + (r * row_stride + c) * kItem, from + (c * column_stride + r) * kItem,
                      kItem);
        }
      }
    }
  }
}

// to[r][c] = from[c][r]. Strides count elements: of a column in `from`, of a row in `to`.
void Transpose(const std::byte* from, std::size_t rows, std::size_t columns,
               std::size_t column_stride, std::byte* to, std::size_t row_stride, std::size_t item) {
  switch (item) {
    case 1:
      return TransposeItems<1>(from, rows, columns, column_stride, to, row_stride);
    case 2:
      return TransposeItems<2>(from, rows, columns, column_stride, to, row_stride);
    case 4:
      return TransposeItems<4>(from, rows, columns, column_stride, to, row_stride);
    case 8:
      return TransposeItems<8>(from, rows, columns, column_stride, to, row_stride);
    default:
      for (std::size_t c = 0; c < columns; ++c) {
        for (std::size_t r = 0; r < rows; ++r) {
          std::memcpy(to + (r * row_stride + c) * item, from + (c * column_stride + r) * item,
                      item);
        }
      }
  }
}

// An array in memory, from Fortran to C order: the first axis is exchanged with the last one for
// each index of those between, whose order turns around.
void ReverseAxes(const std::byte* from, std::span<const std::int64_t> dims, std::size_t item,
                 std::byte* to) {
  if (dims.size() < 2) {
    std::memcpy(to, from, (dims.empty() ? 1 : static_cast<std::size_t>(dims[0])) * item);
    return;
  }
  const auto first = static_cast<std::size_t>(dims.front());
  const auto last = static_cast<std::size_t>(dims.back());
  const auto between = dims.subspan(1, dims.size() - 2);
  std::size_t middle = 1;
  for (const std::int64_t dim : between) middle *= static_cast<std::size_t>(dim);
  std::vector<std::int64_t> index(between.size(), 0);
  std::size_t place = 0;  // of the index of the axes between, in C order
  for (std::size_t i = 0; i < middle; ++i) {
    Transpose(from + i * first * item, first, last, first * middle, to + place * last * item,
              middle * last, item);
    std::size_t stride = middle;
    for (std::size_t axis = 0; axis < between.size(); ++axis) {
      const auto dim = static_cast<std::size_t>(between[axis]);
      stride /= dim;
      place += stride;
      if (++index[axis] < between[axis]) break;
      index[axis] = 0;
      place -= stride * dim;
    }
  }
}

// The file holds, for each index of the later axes in Fortran order (a column), the run of all
// indices of the first axis (rows). Panels of columns are transposed into the scratch file; a block
// of rows is then one piece of each panel, and each row an array in Fortran order of the later
// axes.
class FortranStream : public TensorStream {
 public:
  FortranStream(std::unique_ptr<TensorStream> stored, const Shape& shape, std::size_t item,
                std::filesystem::path scratch)
      : stored_(std::move(stored)),
        dims_(shape.dims().begin(), shape.dims().end()),
        item_(item),
        rows_(static_cast<std::uint64_t>(dims_[0])),
        columns_(shape.element_count() / rows_),
        scratch_(std::move(scratch)) {}

  Result<std::span<const std::byte>> Next() override {
    if (given_ == block_.size()) CKPT_RETURN_IF_ERROR(GatherBlock());
    const std::size_t whole_items = std::max(kStreamChunkBytes / item_, std::size_t{1}) * item_;
    const std::size_t size = std::min(block_.size() - given_, whole_items);
    const auto chunk = std::span<const std::byte>(block_).subspan(given_, size);
    given_ += size;
    return chunk;
  }

 private:
  std::uint64_t RowBytes() const { return columns_ * item_; }

  Status GatherBlock() {
    given_ = 0;
    if (first_row_ == rows_) {
      block_.clear();
      return {};
    }
    if (first_row_ == 0 && rows_ * RowBytes() <= kBlockBytes) return GatherWhole();
    if (!panels_) CKPT_RETURN_IF_ERROR(WritePanels());
    return GatherRows();
  }

  Status GatherWhole() {
    std::vector<std::byte> stored(static_cast<std::size_t>(rows_ * RowBytes()));
    CKPT_RETURN_IF_ERROR(ReadStored(stored));
    CKPT_RETURN_IF_ERROR(CheckEnd());
    block_.resize(stored.size());
    ReverseAxes(stored.data(), dims_, item_, block_.data());
    first_row_ = rows_;
    return {};
  }

  Status WritePanels() {
    panel_columns_ = std::clamp<std::uint64_t>(kBlockBytes / (rows_ * item_), 1, columns_);
    CKPT_ASSIGN_OR_RETURN(const auto scratch, ScratchFile::Create(scratch_));
    std::vector<std::byte> stored, transposed;
    for (std::uint64_t column = 0; column < columns_; column += panel_columns_) {
      const std::uint64_t columns = std::min(panel_columns_, columns_ - column);
      stored.resize(static_cast<std::size_t>(columns * rows_ * item_));
      transposed.resize(stored.size());
      CKPT_RETURN_IF_ERROR(ReadStored(stored));
      Transpose(stored.data(), static_cast<std::size_t>(rows_), static_cast<std::size_t>(columns),
                static_cast<std::size_t>(rows_), transposed.data(),
                static_cast<std::size_t>(columns), item_);
      CKPT_RETURN_IF_ERROR(scratch->Append(transposed));
    }
    CKPT_RETURN_IF_ERROR(CheckEnd());
    CKPT_ASSIGN_OR_RETURN(panels_, scratch->Read(scratch_.string()));
    return {};
  }

  // The next bytes of the array as it is stored.
  Status ReadStored(std::span<std::byte> out) {
    while (!out.empty()) {
      if (chunk_.empty()) {
        CKPT_ASSIGN_OR_RETURN(chunk_, stored_->Next());
        if (chunk_.empty())
          return Fail(ErrorCode::kCorrupt, "the array ends before its shape does");
      }
      const std::size_t size = std::min(chunk_.size(), out.size());
      std::copy_n(chunk_.begin(), size, out.begin());
      chunk_ = chunk_.subspan(size);
      out = out.subspan(size);
    }
    return {};
  }

  // Where a checksum is stored, the end of the stream is where it is compared.
  Status CheckEnd() {
    CKPT_ASSIGN_OR_RETURN(const auto rest, stored_->Next());
    if (chunk_.empty() && rest.empty()) return {};
    return Fail(ErrorCode::kCorrupt, "the array is longer than its shape");
  }

  Status GatherRows() {
    const std::uint64_t rows =
        std::min(rows_ - first_row_, std::max<std::uint64_t>(1, kBlockBytes / RowBytes()));
    rows_as_stored_.resize(static_cast<std::size_t>(rows * RowBytes()));
    for (std::uint64_t column = 0; column < columns_; column += panel_columns_) {
      CKPT_RETURN_IF_ERROR(ReadPiece(column, rows));
    }
    block_.resize(rows_as_stored_.size());
    const auto later_axes = std::span(dims_).subspan(1);
    for (std::uint64_t row = 0; row < rows; ++row) {
      const auto start = static_cast<std::size_t>(row * RowBytes());
      ReverseAxes(rows_as_stored_.data() + start, later_axes, item_, block_.data() + start);
    }
    first_row_ += rows;
    return {};
  }

  // The rows of the block in the panel that begins with `column`.
  Status ReadPiece(std::uint64_t column, std::uint64_t rows) {
    const std::uint64_t columns = std::min(panel_columns_, columns_ - column);
    piece_.resize(static_cast<std::size_t>(rows * columns * item_));
    CKPT_RETURN_IF_ERROR(panels_->ReadAt((column * rows_ + first_row_ * columns) * item_, piece_));
    for (std::uint64_t row = 0; row < rows; ++row) {
      std::memcpy(rows_as_stored_.data() + (row * columns_ + column) * item_,
                  piece_.data() + row * columns * item_, static_cast<std::size_t>(columns * item_));
    }
    return {};
  }

  std::unique_ptr<TensorStream> stored_;
  std::span<const std::byte> chunk_;  // of it, not yet used
  std::vector<std::int64_t> dims_;
  std::size_t item_;
  std::uint64_t rows_, columns_, panel_columns_ = 0, first_row_ = 0;
  std::filesystem::path scratch_;
  std::shared_ptr<const RandomAccessFile> panels_;
  std::vector<std::byte> block_, rows_as_stored_, piece_;
  std::size_t given_ = 0;  // bytes of block_ that were handed out
};

}  // namespace

std::unique_ptr<TensorStream> GatherFortran(std::unique_ptr<TensorStream> stored,
                                            const Shape& shape, std::size_t item_bytes,
                                            std::filesystem::path scratch) {
  return std::make_unique<FortranStream>(std::move(stored), shape, item_bytes, std::move(scratch));
}

}  // namespace ckpt::formats
