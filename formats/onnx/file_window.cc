#include "formats/onnx/file_window.h"

#include <algorithm>
#include <utility>

#include "formats/encoding/byte_reader.h"

namespace ckpt::formats::onnx {
namespace {

constexpr std::uint64_t kWindowBytes = 65536;

}  // namespace

Error FileWindow::Corrupt(std::uint64_t offset, std::string message) const {
  return Error{ErrorCode::kCorrupt, std::move(message)}.In(file_.path()).At(offset);
}

Result<std::span<const std::byte>> FileWindow::At(std::uint64_t offset) {
  if (offset < start_ || offset - start_ >= buffer_.size()) {
    const auto size = static_cast<std::size_t>(
        std::min(kWindowBytes, file_.size() - std::min(offset, file_.size())));
    if (size == 0) return Fail(Corrupt(offset, "the file ends here"));
    buffer_.resize(size);
    start_ = offset;
    if (Status read = file_.ReadAt(offset, buffer_); !read) {
      buffer_.clear();
      return Fail(read);
    }
  }
  return std::span<const std::byte>(buffer_).subspan(static_cast<std::size_t>(offset - start_));
}

Result<std::uint64_t> FileWindow::Varint(std::uint64_t& offset, std::uint64_t end) {
  const std::uint64_t start = offset;
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    if (offset >= end) return Fail(Corrupt(start, "a number is cut off"));
    CKPT_ASSIGN_OR_RETURN(const auto bytes, At(offset));
    const auto byte = static_cast<std::uint64_t>(bytes[0]);
    ++offset;
    if (shift < 64) value |= (byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  return Fail(Corrupt(start, "a number of more than 10 bytes"));
}

Status FileWindow::Append(std::uint64_t offset, std::uint64_t size, std::uint64_t end,
                          std::string& out) {
  if (!RangeFits(offset, size, end)) {
    return Fail(Corrupt(offset, "a field of " + std::to_string(size) + " bytes is cut off"));
  }
  while (size != 0) {
    CKPT_ASSIGN_OR_RETURN(auto bytes, At(offset));
    bytes = bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), size)));
    out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    offset += bytes.size();
    size -= bytes.size();
  }
  return {};
}

}  // namespace ckpt::formats::onnx
