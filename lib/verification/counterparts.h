// Which value of A an operation of B should yield, by structure.
#pragma once

#include "verification/reference_side.h"
#include "verification/walked_values.h"

namespace ckpt {

class Counterparts {
 public:
  Counterparts(const ReferenceSide& a, const WalkedValues& b) : a_(a), b_(b) {}

  // What A's own operation of this kind yields of the same values.
  std::optional<network::ValueId> TwinOf(std::size_t index) const;
  // A's operation of the same kind over the same values; else, for the end of a span of affine
  // steps, the end of A's span. `shape` is that of what B's operation yields.
  std::optional<network::ValueId> Of(std::size_t index, const network::Sizes& shape) const;

 private:
  bool IsSpanOfOne(network::ValueId twin, std::size_t index) const;
  bool AffineReaderInB(std::size_t index) const;
  std::optional<network::ValueId> EndOfSpan(std::size_t index, const network::Sizes& shape) const;
  std::optional<std::size_t> SpanStart(std::size_t index) const;

  const ReferenceSide& a_;
  const WalkedValues& b_;
};

}  // namespace ckpt
