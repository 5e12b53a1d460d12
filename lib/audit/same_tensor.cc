#include "audit/same_tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>

namespace ckpt::audit {
namespace {

// Hands out the bytes of a stream in pieces of the reader's choice.
class Pieces {
 public:
  explicit Pieces(TensorStream& stream) : stream_(stream) {}

  // What is left of the current chunk, or the next one; empty at the end.
  Result<std::span<const std::byte>> Peek() {
    if (left_.empty()) {
      CKPT_ASSIGN_OR_RETURN(left_, stream_.Next());
    }
    return left_;
  }
  void Skip(std::size_t bytes) { left_ = left_.subspan(bytes); }

 private:
  TensorStream& stream_;
  std::span<const std::byte> left_;
};

}  // namespace

bool SameValues(const std::vector<double>& a, const std::vector<double>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](double x, double y) { return x == y || (std::isnan(x) && std::isnan(y)); });
}

Result<bool> TensorComparison::SameBytes(TensorId of_a, TensorId of_b) {
  CKPT_ASSIGN_OR_RETURN(const auto stream_a, a_.Open(of_a));
  CKPT_ASSIGN_OR_RETURN(const auto stream_b, b_.Open(of_b));
  Pieces a(*stream_a), b(*stream_b);
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const auto piece_a, a.Peek());
    CKPT_ASSIGN_OR_RETURN(const auto piece_b, b.Peek());
    if (piece_a.empty() || piece_b.empty()) return piece_a.empty() && piece_b.empty();
    const std::size_t size = std::min(piece_a.size(), piece_b.size());
    if (std::memcmp(piece_a.data(), piece_b.data(), size) != 0) return false;
    bytes_left_ -= std::min<std::uint64_t>(size, bytes_left_);
    a.Skip(size);
    b.Skip(size);
  }
}

std::optional<bool> TensorComparison::Same(TensorId of_a, TensorId of_b) {
  const TensorInfo& a = a_.manifest().tensors[of_a.index];
  const TensorInfo& b = b_.manifest().tensors[of_b.index];
  if (a.checksum && b.checksum && a.checksum->kind == b.checksum->kind) {
    return *a.checksum == *b.checksum;
  }
  if (!a.data_present || !b.data_present || bytes_left_ == 0) return std::nullopt;
  Result<bool> same = SameBytes(of_a, of_b);
  if (!same) {
    if (!failure_) failure_ = std::move(same).error();
    return std::nullopt;
  }
  return *same;
}

}  // namespace ckpt::audit
