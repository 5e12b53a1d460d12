// The operand that is mapped per channel, as a channel rule asks for it.
#pragma once

#include <optional>
#include <span>

#include "ckpt/network/channel_rules.h"
#include "network/operand_shapes.h"

namespace ckpt::network {

class MappedOperand {
 public:
  // An axis that is not there stays as it is, and matches none.
  MappedOperand(std::size_t operand, std::span<const OperandShape> operands, std::int64_t axis)
      : operands_(operands), operand_(operand), axis_(axis) {
    if (const auto rank = Rank(); rank && axis < 0) axis_ = axis + *rank;
  }

  const OperandShapes& operands() const { return operands_; }
  std::size_t operand() const { return operand_; }
  // Counted from the front where the rank is known.
  std::int64_t axis() const { return axis_; }
  std::optional<std::int64_t> Rank() const { return RankOf(operand_); }
  std::optional<std::int64_t> RankOf(std::size_t i) const {
    const PartialShape& shape = operands_[i];
    if (!shape) return std::nullopt;
    return static_cast<std::int64_t>(shape->size());
  }
  bool IsThere() const {
    const auto rank = Rank();
    return !rank || (axis_ >= 0 && axis_ < *rank);
  }
  // The number of channels.
  std::int64_t Size() const {
    return Rank() && IsThere() ? (*operands_[operand_])[static_cast<std::size_t>(axis_)]
                               : kUnknownSize;
  }
  AxisMatch Matches(std::int64_t other) const { return CompareAxes(axis_, other, Rank()); }
  // The axis counted from the back; absent where it cannot be.
  std::optional<std::int64_t> FromBack() const {
    if (axis_ < 0) return axis_;
    const auto rank = Rank();
    if (!rank) return std::nullopt;
    return axis_ - *rank;
  }

  // The map stays where it is.
  Passes Same(ShiftBound shift = ShiftBound::kNone, ScaleBound scale = ScaleBound::kNone) const {
    Passes passes;
    passes.axis = axis_;
    passes.shift = shift;
    passes.scale = scale;
    return passes;
  }
  Passes To(std::int64_t axis, ChannelPlaces places = ChannelPlaces::kSame) const {
    Passes passes;
    passes.axis = axis;
    passes.places = places;
    return passes;
  }

 private:
  OperandShapes operands_;
  std::size_t operand_;
  std::int64_t axis_;
};

inline Stops Stop(StopReason reason) { return {reason}; }

// Each as said by ckpt/network/channel_rules.h; those of one family in one file.
ChannelRule ChannelsOf(const Convolution& convolution, const MappedOperand& x);
ChannelRule ChannelsOf(const TransposedConvolution& convolution, const MappedOperand& x);
ChannelRule ChannelsOf(const MatrixProduct& product, const MappedOperand& x);
ChannelRule ChannelsOf(const Einsum& einsum, const MappedOperand& x);
ChannelRule ChannelsOf(const Recurrent& recurrent, const MappedOperand& x);
ChannelRule ChannelsOf(const Pool& pool, const MappedOperand& x);

ChannelRule ChannelsOf(const Reshape& reshape, const MappedOperand& x);
ChannelRule ChannelsOf(const MergeAxes& merge, const MappedOperand& x);
ChannelRule ChannelsOf(const InsertAxes& insert, const MappedOperand& x);
ChannelRule ChannelsOf(const DropAxes& drop, const MappedOperand& x);
ChannelRule ChannelsOf(const Transpose& transpose, const MappedOperand& x);
ChannelRule ChannelsOf(const Tile& tile, const MappedOperand& x);
ChannelRule ChannelsOf(const BroadcastTo& to, const MappedOperand& x);
ChannelRule ChannelsOf(const SpaceAndDepth& blocks, const MappedOperand& x);
ChannelRule ChannelsOf(const SpaceAndBatch& blocks, const MappedOperand& x);

ChannelRule ChannelsOf(const Concatenate& concatenate, const MappedOperand& x);
ChannelRule ChannelsOf(const Split& split, const MappedOperand& x, std::size_t result);
ChannelRule ChannelsOf(const Slice& slice, const MappedOperand& x);
ChannelRule ChannelsOf(const Pad& pad, const MappedOperand& x);
ChannelRule ChannelsOf(const Resize& resize, const MappedOperand& x);
ChannelRule ChannelsOf(const Gather& gather, const MappedOperand& x);
ChannelRule ChannelsOf(const GatherNd& gather, const MappedOperand& x);
ChannelRule ChannelsOf(const ScatterNd& scatter, const MappedOperand& x);
ChannelRule ChannelsOf(const GatherElements& gather, const MappedOperand& x);

}  // namespace ckpt::network
