// B's values on the walk.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "verification/bounds.h"
#include "verification/reference_values.h"

namespace ckpt {

struct WalkedValue {
  SharedArray value = {};
  std::optional<execution::Array> bound = {};  // of a pending one
  std::optional<network::ValueId> twin = {};   // the value of A that it is, up to the order of axes
  network::Sizes order = {};                   // of the twin's axes
  bool constant = false;
  double roundoff = 0;
  int products = 0;  // since the last value that was confirmed
};

class WalkedValues {
 public:
  // `wanted` are values of B; what they do not need is not walked.
  WalkedValues(const Runnable& b, const ReferenceValues& of_a, const execution::Budget& budget,
               const std::vector<network::ValueId>& wanted);

  const network::Network& network() const { return network_; }
  const network::Operation& operation(std::size_t index) const {
    return network_.operations[index];
  }
  const std::string& LayerOf(std::size_t index) const {
    return network_.layers[operation(index).layer].name;
  }
  bool IsNeeded(std::size_t index) const { return needed_[index]; }
  // Operations that read the value, in their order.
  const std::vector<std::uint32_t>& ReadersOf(network::ValueId id) const {
    return readers_[id.index];
  }

  WalkedValue& operator[](network::ValueId id) { return held_[id.index]; }
  const WalkedValue& operator[](network::ValueId id) const { return held_[id.index]; }
  // Makes the value be there: of its twin, or of the file.
  Status Fetch(network::ValueId id);
  // REQUIRES: operands are fetched. Null where one is left out.
  std::vector<const execution::Array*> OperandsOf(std::size_t index) const;

  bool IsConstant(std::size_t index) const;  // of constants alone
  bool AnyPending(std::size_t index) const;
  // Branches that are joined or added hold as many as the longest of them.
  int ProductsBefore(std::size_t index) const;
  double LargestRoundoff(std::size_t index) const;

  // Lets go of what nothing reads behind this operation. What a fault may be traced back over stays
  // until all that was made of it is confirmed.
  void LetGo(std::size_t index);

 private:
  void LetGoOfPending(network::ValueId id);
  bool IsSettled(network::ValueId id) const;

  const network::Network& network_;
  const Checkpoint& weights_;
  const ReferenceValues& of_a_;
  const execution::Budget& budget_;
  std::vector<bool> streamed_;  // by value
  std::vector<bool> needed_;    // by operation
  std::vector<WalkedValue> held_;
  std::vector<std::vector<std::uint32_t>> readers_;  // by value
  std::vector<std::size_t> readers_left_;            // by value
  std::vector<bool> settled_;  // by value: pending once, and all that was made of it is confirmed
};

}  // namespace ckpt
