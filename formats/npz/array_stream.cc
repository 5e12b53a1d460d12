#include "formats/npz/array_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "formats/container/range_stream.h"
#include "formats/encoding/utf8.h"

namespace ckpt::formats {
namespace {

// Is it a Unicode scalar value?
bool IsCharacter(std::uint32_t code) {
  return code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
}

class TextStream : public TensorStream {
 public:
  TextStream(std::unique_ptr<TensorStream> raw, const NpyText& text, std::string tensor)
      : raw_(std::move(raw)), text_(text), tensor_(std::move(tensor)) {}

  Result<std::span<const std::byte>> Next() override {
    encoded_.clear();
    while (encoded_.size() < kStreamChunkBytes) {
      CKPT_ASSIGN_OR_RETURN(const bool more, Refill());
      if (!more) break;
      CKPT_RETURN_IF_ERROR(
          Encode(std::span(pending_).subspan(at_, static_cast<std::size_t>(text_.item_bytes))));
      at_ += static_cast<std::size_t>(text_.item_bytes);
    }
    return std::as_bytes(std::span<const char>(encoded_));
  }

 private:
  // Makes a whole element available at pending_[at_]; false at the end.
  Result<bool> Refill() {
    while (pending_.size() - at_ < text_.item_bytes) {
      CKPT_ASSIGN_OR_RETURN(const auto chunk, raw_->Next());
      if (chunk.empty()) return false;
      pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(at_));
      at_ = 0;
      pending_.insert(pending_.end(), chunk.begin(), chunk.end());
    }
    return true;
  }

  Status Encode(std::span<const std::byte> item) {
    element_.clear();
    if (text_.ucs4) {
      CKPT_RETURN_IF_ERROR(EncodeUcs4(item));
    } else {
      element_.assign(reinterpret_cast<const char*>(item.data()), item.size());
      const std::size_t last = element_.find_last_not_of('\0');
      element_.resize(last == std::string::npos ? 0 : last + 1);
    }
    for (unsigned shift = 0; shift < 64; shift += 8) {
      encoded_ += static_cast<char>((std::uint64_t{element_.size()} >> shift) & 0xFF);
    }
    encoded_ += element_;
    return {};
  }

  Status EncodeUcs4(std::span<const std::byte> item) {
    std::size_t used = 0;  // of element_, up to the last character that is not padding
    for (std::size_t at = 0; at + 4 <= item.size(); at += 4) {
      std::uint32_t code = 0;
      for (std::size_t i = 0; i < 4; ++i) {
        code = (code << 8) |
               std::to_integer<std::uint32_t>(item[text_.big_endian ? at + i : at + 3 - i]);
      }
      if (!IsCharacter(code)) {
        return Fail(
            Error{ErrorCode::kCorrupt,
                  "holds the code point " + std::to_string(code) + ", which Unicode does not have",
                  {},
                  {},
                  tensor_});
      }
      AppendUtf8(code, element_);
      if (code != 0) used = element_.size();
    }
    element_.resize(used);
    return {};
  }

  std::unique_ptr<TensorStream> raw_;
  NpyText text_;
  std::string tensor_;
  std::vector<std::byte> pending_;
  std::size_t at_ = 0;
  std::string element_, encoded_;
};

// The file holds, for each index of the later axes in Fortran order (a column), the run of all
// indices of the first axis. A block takes a range of the first axis: a piece of every run.
class FortranStream : public TensorStream {
 public:
  FortranStream(ReadAtOffset read, const Shape& shape, std::size_t item)
      : read_(std::move(read)),
        dims_(shape.dims().begin(), shape.dims().end()),
        item_(item),
        rows_(static_cast<std::uint64_t>(dims_[0])),
        columns_(shape.element_count() / rows_) {}

  Result<std::span<const std::byte>> Next() override {
    if (given_ == block_.size()) CKPT_RETURN_IF_ERROR(GatherBlock());
    const std::size_t whole_items = std::max(kStreamChunkBytes / item_, std::size_t{1}) * item_;
    const std::size_t size = std::min(block_.size() - given_, whole_items);
    const auto chunk = std::span<const std::byte>(block_).subspan(given_, size);
    given_ += size;
    return chunk;
  }

 private:
  static constexpr std::uint64_t kBlockBytes = std::uint64_t{32} << 20;

  Status GatherBlock() {
    const std::uint64_t row_bytes = columns_ * item_;
    const std::uint64_t rows =
        std::min(rows_ - first_row_, std::max<std::uint64_t>(1, kBlockBytes / row_bytes));
    block_.resize(static_cast<std::size_t>(rows * row_bytes));
    given_ = 0;
    run_.resize(static_cast<std::size_t>(rows) * item_);
    std::vector<std::int64_t> index(dims_.size(), 0);
    std::uint64_t place = 0;  // of the column in a row, in C order
    for (std::uint64_t column = 0; column < columns_ && rows > 0; ++column) {
      CKPT_RETURN_IF_ERROR(read_((first_row_ + column * rows_) * item_, run_));
      for (std::uint64_t row = 0; row < rows; ++row) {
        std::memcpy(block_.data() + (row * columns_ + place) * item_, run_.data() + row * item_,
                    item_);
      }
      place = NextColumn(index, place);
    }
    first_row_ += rows;
    return {};
  }

  // Steps to the next column in Fortran order: the second axis runs fastest.
  std::uint64_t NextColumn(std::vector<std::int64_t>& index, std::uint64_t place) const {
    std::uint64_t stride = columns_;
    for (std::size_t axis = 1; axis < dims_.size(); ++axis) {
      const auto dim = static_cast<std::uint64_t>(dims_[axis]);
      stride /= dim;
      if (++index[axis] < dims_[axis]) return place + stride;
      index[axis] = 0;
      place -= stride * (dim - 1);
    }
    return place;
  }

  ReadAtOffset read_;
  std::vector<std::int64_t> dims_;
  std::size_t item_;
  std::uint64_t rows_, columns_, first_row_ = 0;
  std::vector<std::byte> block_, run_;
  std::size_t given_ = 0;  // bytes of block_ that were handed out
};

}  // namespace

std::unique_ptr<TensorStream> DecodeText(std::unique_ptr<TensorStream> raw, const NpyText& text,
                                         std::string tensor) {
  return std::make_unique<TextStream>(std::move(raw), text, std::move(tensor));
}

std::unique_ptr<TensorStream> GatherFortran(ReadAtOffset read, const Shape& shape,
                                            std::size_t item_bytes) {
  return std::make_unique<FortranStream>(std::move(read), shape, item_bytes);
}

}  // namespace ckpt::formats
