// A, whose values are known: what its operations are to those of B.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "verification/bounds.h"
#include "verification/reference_values.h"

namespace ckpt {

// u of a constant's type.
double RoundoffOf(const network::Constant& constant, const Checkpoint& weights);

// Affine, with constants: a bias, a batch norm, a scale.
bool IsAffineStep(const network::Operation& operation);

class ReferenceSide {
 public:
  ReferenceSide(const Runnable& a, const ReferenceValues& values, const execution::Budget& budget);

  const network::Network& network() const { return network_; }
  const ReferenceValues& values() const { return values_; }
  // The value that it is through operations that yield what they read.
  network::ValueId Alias(network::ValueId id) const { return alias_[id.index]; }

  // What the operation of the same kind as `like` yields of the same values (aliases): the only
  // one, else that of the layer `name`.
  std::optional<network::ValueId> SameOver(const std::vector<network::ValueId>& operands,
                                           const network::Computation& like,
                                           const std::string& name) const;
  // The function of one value that makes it, where neither what it reads nor what reads it is one.
  const network::Unary* LoneFunctionOf(network::ValueId id) const;
  // Does the only reader of a value add affine constants to it?
  bool GoesOn(network::ValueId id) const { return AffineReader(id).has_value(); }
  // The end of the affine steps behind a value, each the only reader of the one before.
  network::ValueId EndOfAffineSteps(network::ValueId id) const;

  // Orders of axes in which the value has the shape, axes of size 1 aside.
  std::vector<network::Sizes> OrdersTo(network::ValueId id, const network::Sizes& shape) const;

  // `bound`, or by element the bound by A's own formula of the value where that is larger: its
  // terms are those that a fold makes one constant of. Absent where nothing is rounded.
  Result<std::optional<execution::Array>> WideBound(network::ValueId id,
                                                    const network::Sizes& order,
                                                    const execution::Array* bound);

  // By A's own formula, what the constants between the values `from` (aliases) and this one may
  // move it when they are rounded. Absent where the way is too long, or a step on it has no rule.
  Result<std::optional<execution::Array>> SpanBound(
      network::ValueId id, const std::vector<network::ValueId>& from) const;

  // What the affine steps and the product that make the value yield where the product reads zeros,
  // and the bound of that: the constant part of the span. Absent where it is no such span.
  struct ConstantPart {
    execution::Array value, bound;
  };
  Result<std::optional<ConstantPart>> ConstantPartOf(network::ValueId id) const;

 private:
  std::optional<std::uint32_t> AffineReader(network::ValueId id) const;
  // What ends the way back over A's operations.
  struct Extent {
    int products = 0, steps = 0;                                // at most
    const std::vector<network::ValueId>* exact_from = nullptr;  // values that count as exact
  };
  Result<std::optional<execution::Array>> OwnBound(network::ValueId id, Extent extent) const;
  Result<execution::Array> Constant(network::ValueId id) const;
  bool ReadsAll(const network::Operation& operation,
                const std::vector<network::ValueId>& wanted) const;

  const network::Network& network_;
  const Checkpoint& weights_;
  const ReferenceValues& values_;
  const execution::Budget& budget_;
  std::vector<network::ValueId> alias_;  // by value
  std::map<network::ValueId, std::vector<std::uint32_t>> readers_;
  std::vector<bool> streamed_;  // by value: execution::StreamedConstants
  // The bound by A's own formula that was asked for last: it is asked for again with other orders.
  std::optional<network::ValueId> bounded_;
  std::optional<execution::Array> own_bound_;
};

}  // namespace ckpt
