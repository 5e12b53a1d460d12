// The operands of an operation as its shape rule asks for them.
#pragma once

#include <cmath>
#include <optional>
#include <span>

#include "ckpt/network/shape_rules.h"
#include "network/size_arithmetic.h"

namespace ckpt::network {

using Shapes = std::vector<PartialShape>;

class OperandShapes {
 public:
  explicit OperandShapes(std::span<const OperandShape> operands) : operands_(operands) {}

  std::size_t size() const { return operands_.size(); }
  bool Given(std::size_t i) const { return i < operands_.size() && operands_[i].given; }
  // Unknown where the operand is left out.
  const PartialShape& operator[](std::size_t i) const {
    return Given(i) ? operands_[i].shape : unknown_;
  }
  // The integers that an operand holds; absent where they are not known. kCorrupt where they are
  // none.
  Result<std::optional<Sizes>> Integers(std::size_t i) const;
  bool IsInteger(std::size_t i) const {
    return Given(i) && operands_[i].kind == ElementKind::kInteger;
  }
  const std::optional<std::vector<double>>& Elements(std::size_t i) const {
    return operands_[i].elements;
  }

 private:
  std::span<const OperandShape> operands_;
  PartialShape unknown_ = {};
};

// Integers by the operand if it is given, else by the attribute; absent: not known yet.
inline Result<std::optional<Sizes>> ByOperand(const OperandShapes& operands, std::size_t i,
                                              const Sizes& attribute) {
  if (operands.Given(i)) return operands.Integers(i);
  return std::optional<Sizes>(attribute);
}

// A shape of this rank with nothing else known.
inline PartialShape OfRank(std::size_t rank) { return Sizes(rank, kUnknownSize); }

// Each as said by ckpt/network/shape_rules.h; those of one family in one file.
Result<Shapes> ShapeOfConvolution(const Convolution& convolution, const OperandShapes& operands);
Result<Shapes> ShapeOfTransposed(const TransposedConvolution& convolution,
                                 const OperandShapes& operands);
Result<Shapes> ShapeOfPool(const Pool& pool, const OperandShapes& operands);

Result<Shapes> ShapeOfReshape(const Reshape& reshape, const OperandShapes& operands);
Result<Shapes> ShapeOfMerge(const MergeAxes& merge, const OperandShapes& operands);
Result<Shapes> ShapeOfInsert(const InsertAxes& insert, const OperandShapes& operands);
Result<Shapes> ShapeOfDrop(const DropAxes& drop, const OperandShapes& operands);
Result<Shapes> ShapeOfTranspose(const Transpose& transpose, const OperandShapes& operands);
Result<Shapes> ShapeOfConcatenation(const Concatenate& concatenate, const OperandShapes& operands);
Result<Shapes> ShapeOfSplit(const Split& split, const OperandShapes& operands, std::size_t results);
Result<Shapes> ShapeOfSlice(const Slice& slice, const OperandShapes& operands);
Result<Shapes> ShapeOfPad(const Pad& pad, const OperandShapes& operands);
Result<Shapes> ShapeOfResize(const Resize& resize, const OperandShapes& operands);
Result<Shapes> ShapeOfTile(const Tile& tile, const OperandShapes& operands);
Result<Shapes> ShapeOfBroadcastTo(const BroadcastTo& to, const OperandShapes& operands);
Result<Shapes> ShapeOfSpaceAndDepth(const SpaceAndDepth& blocks, const OperandShapes& operands);
Result<Shapes> ShapeOfSpaceAndBatch(const SpaceAndBatch& blocks, const OperandShapes& operands);

Result<Shapes> ShapeOfProduct(const MatrixProduct& product, const OperandShapes& operands);
Result<Shapes> ShapeOfEinsum(const Einsum& einsum, const OperandShapes& operands);
Result<Shapes> ShapeOfRecurrent(const Recurrent& recurrent, const OperandShapes& operands,
                                std::size_t results);

// The shape that known and unknown ones broadcast to.
Result<PartialShape> BroadcastOf(std::span<const PartialShape> shapes);

// What the Slice takes along one axis of `size` elements.
struct Stretch {
  std::int64_t begin = 0, count = 0;
};
Stretch StretchOf(std::int64_t size, std::int64_t begin, std::int64_t end, std::int64_t step);

}  // namespace ckpt::network
