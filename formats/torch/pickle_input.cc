#include "formats/torch/pickle_input.h"

#include <algorithm>
#include <span>
#include <utility>

namespace ckpt::formats {
namespace {

constexpr std::size_t kWindowBytes = 65536;

}  // namespace

PickleInput::PickleInput(std::string_view bytes, std::string file, std::uint64_t base_offset)
    : name_(std::move(file)),
      base_(base_offset),
      end_(base_offset + bytes.size()),
      window_(bytes) {}

PickleInput::PickleInput(const RandomAccessFile& file, std::uint64_t offset)
    : source_(&file), name_(file.path()), base_(offset), end_(std::max(offset, file.size())) {}

tl::unexpected<Error> PickleInput::Fail(ErrorCode code, std::string message) const {
  return ckpt::Fail(Error{code, std::move(message)}.In(name_).At(offset()));
}

Status PickleInput::Need(std::size_t size) {
  if (window_.size() - position_ >= size) return {};
  if (size > remaining()) return Fail(ErrorCode::kCorrupt, "the pickle ends in mid-air");
  base_ += position_;
  position_ = 0;
  const auto fill =
      static_cast<std::size_t>(std::min<std::uint64_t>(end_ - base_, std::max(size, kWindowBytes)));
  buffer_.resize(fill);
  window_ = {};
  CKPT_RETURN_IF_ERROR(source_->ReadAt(base_, std::as_writable_bytes(std::span(buffer_))));
  window_ = buffer_;
  return {};
}

Result<std::uint8_t> PickleInput::Byte() {
  CKPT_RETURN_IF_ERROR(Need(1));
  return static_cast<std::uint8_t>(window_[position_++]);
}

Result<std::uint64_t> PickleInput::Unsigned(unsigned bytes) {
  CKPT_RETURN_IF_ERROR(Need(bytes));
  std::uint64_t value = 0;
  for (unsigned i = 0; i < bytes; ++i) {
    value |= std::uint64_t{static_cast<std::uint8_t>(window_[position_ + i])} << (8 * i);
  }
  position_ += bytes;
  return value;
}

Result<std::string> PickleInput::Take(std::uint64_t size) {
  if (size > remaining()) {
    return Fail(ErrorCode::kCorrupt, "the pickle has an operand of " + std::to_string(size) +
                                         " bytes, " + std::to_string(remaining()) + " are left");
  }
  std::string taken;
  while (taken.size() < size) {
    CKPT_RETURN_IF_ERROR(Need(1));
    const std::size_t piece =
        std::min(window_.size() - position_, static_cast<std::size_t>(size) - taken.size());
    taken.append(window_.substr(position_, piece));
    position_ += piece;
  }
  return taken;
}

Result<std::string> PickleInput::Line(std::uint64_t max_bytes) {
  std::string line;
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const std::uint8_t byte, Byte());
    if (byte == '\n') return line;
    if (line.size() >= max_bytes) {
      return Fail(ErrorCode::kLimitExceeded, "the pickle has a line that does not end");
    }
    line += static_cast<char>(byte);
  }
}

}  // namespace ckpt::formats
