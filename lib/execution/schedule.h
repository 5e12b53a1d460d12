// What of a network is run, and how long each value lives.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ckpt/execution/run.h"
#include "ckpt/network/shape_rules.h"

namespace ckpt::execution {

class Schedule {
 public:
  // kCorrupt where an operation reads a value that is not made before it, kInvalidArgument where
  // the inputs are not those of the network.
  static Result<Schedule> Of(const network::Network& network, std::size_t inputs,
                             const std::vector<network::ValueId>& wanted);

  const std::vector<std::uint32_t>& operations() const { return operations_; }  // in order
  // Values that nothing reads behind the operation at this place of the order.
  const std::vector<network::ValueId>& DyingAt(std::size_t place) const { return dying_[place]; }
  const std::vector<network::ValueId>& wanted() const { return wanted_; }
  bool IsNeeded(network::ValueId id) const { return needed_[id.index]; }

 private:
  std::vector<std::uint32_t> operations_;
  std::vector<std::vector<network::ValueId>> dying_;
  std::vector<network::ValueId> wanted_;
  std::vector<bool> needed_;
};

// The error with the layer and the operation in front.
Error Within(const network::Network& network, std::uint32_t operation, Error error);

// evaluate.cc
network::OperandShape ShapeOfOperand(const Array* array);
Result<std::uint64_t> BytesOf(const network::Sizes& shape, const Budget& budget);

}  // namespace ckpt::execution
