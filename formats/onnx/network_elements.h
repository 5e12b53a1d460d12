// Integers that follow from what is known of a graph: exporters compute the shape of a Reshape from
// the shape of what is reshaped, node by node. The network keeps those operations, since whoever
// runs it may know better; a translation asks for what they come to here.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/network/network.h"

namespace ckpt::formats::onnx {

class KnownElements {
 public:
  // Both must outlive this.
  KnownElements(network::NetworkBuilder& builder, const Checkpoint& weights)
      : builder_(builder), weights_(weights) {}

  std::optional<std::vector<double>> Of(network::ValueId id) const;
  // How a stored constant is stored; absent for any other value.
  std::optional<Dtype> DtypeOf(network::ValueId id) const;
  // Derives what an operation yields, elements and the shapes that follow from elements.
  void Learn(const network::Computation& computation, const std::vector<network::ValueId>& operands,
             const std::vector<network::ValueId>& results);
  // By value: what was derived.
  const std::map<std::uint32_t, std::vector<double>>& derived() const { return known_; }
  // A note on the network, once.
  void Note(const std::string& note);

 private:
  network::NetworkBuilder& builder_;
  const Checkpoint& weights_;
  std::map<std::uint32_t, std::vector<double>> known_ = {};  // by value
  std::set<std::string> notes_ = {};
};

}  // namespace ckpt::formats::onnx
