#include "formats/npz/text_stream.h"

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
        return Fail(Error{ErrorCode::kCorrupt, "holds the code point " + std::to_string(code) +
                                                   ", which Unicode does not have"}
                        .Of(tensor_));
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

}  // namespace

std::unique_ptr<TensorStream> DecodeText(std::unique_ptr<TensorStream> raw, const NpyText& text,
                                         std::string tensor) {
  return std::make_unique<TextStream>(std::move(raw), text, std::move(tensor));
}

}  // namespace ckpt::formats
