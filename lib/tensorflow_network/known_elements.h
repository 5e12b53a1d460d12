// What is known of the elements of small values before a network runs: the sizes that a graph
// computes from shapes.
//
// TensorFlow writes the shape of a result as a computation (Shape, StridedSlice, Pack): that of a
// batch of any length is known but for one element. Evaluated over the operations of the network
// itself, so that each means what the vocabulary says.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/network/network.h"

namespace ckpt::tf_network {

// Of a value of rank 0 or 1; of any rank if it is a constant.
struct PartialElements {
  network::Sizes shape = {};
  std::vector<std::optional<double>> elements = {};  // C order
  network::ElementKind kind = network::ElementKind::kInteger;

  bool AllKnown() const;
};

class KnownElements {
 public:
  explicit KnownElements(network::NetworkBuilder& builder) : builder_(builder) {}

  // Nothing where the value is no small one, or nothing is known of it.
  std::optional<PartialElements> Of(network::ValueId value) const;

  // Adds the operation, or the constant that it is bound to yield; notes the sizes that operands
  // known in part give the result.
  network::ValueId Add(network::Computation computation, std::vector<network::ValueId> operands,
                       std::string name);

 private:
  std::optional<PartialElements> Evaluate(const network::Computation& computation,
                                          const std::vector<network::ValueId>& operands) const;
  void RecordSizes(const network::Computation& computation,
                   const std::vector<network::ValueId>& operands, network::ValueId result);

  network::NetworkBuilder& builder_;
  std::map<network::ValueId, PartialElements> partial_ = {};
};

}  // namespace ckpt::tf_network
