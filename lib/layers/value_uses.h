// Who reads the values of a network, and which of them follow from constants alone.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "ckpt/network/network.h"
#include "ckpt/network/operand_place.h"

namespace ckpt {

using network::OperandPlace;

class ValueUses {
 public:
  // `network` must outlive this.
  explicit ValueUses(const network::Network& network);

  const network::Network& network() const { return network_; }
  const std::vector<OperandPlace>& ReadersOf(network::ValueId id) const {
    return readers_[id.index];
  }
  bool IsOutput(network::ValueId id) const { return is_output_[id.index]; }
  // The only operand that reads it; absent: several do, or it is an output.
  std::optional<OperandPlace> OnlyReaderOf(network::ValueId id) const;
  // The same among those that read its elements: others may ask for its shape.
  std::optional<OperandPlace> OnlyReaderOfElements(network::ValueId id) const;
  // A constant, or computed of constants alone.
  bool IsFixed(network::ValueId id) const { return id == network::kNoValue || is_fixed_[id.index]; }
  // Null where no operation yields it.
  const network::Operation* ProducerOf(network::ValueId id) const;

 private:
  const network::Network& network_;
  std::vector<std::vector<OperandPlace>> readers_;  // by value
  std::vector<bool> is_output_, is_fixed_;
};

}  // namespace ckpt
