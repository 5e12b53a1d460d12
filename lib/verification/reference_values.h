// The values of one run of A, to be found again in B.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "ckpt/execution/run.h"
#include "ckpt/verify.h"

namespace ckpt {

using SharedArray = std::shared_ptr<const execution::Array>;

// Keeps what of them fits; what does not is computed again of what is kept, when it is asked for. A
// walk that asks for them in the order of the network computes each once more at most.
class ReferenceValues : public execution::Observer {
 public:
  // `kept_bytes`: of values, the ones that are held for ever aside.
  ReferenceValues(const Runnable& a, const execution::Budget& budget, std::uint64_t kept_bytes);

  // In the order of the network; the first ones are kept.
  Status Made(network::ValueId id, const execution::Array& value) override;
  // An input, or a constant that is an output: it is held for ever.
  void Hold(network::ValueId id, execution::Array value);

  bool Has(network::ValueId id) const { return outlines_[id.index].has_value(); }
  // REQUIRES for these: Has(id).
  const network::Sizes& ShapeOf(network::ValueId id) const { return outlines_[id.index]->shape; }
  bool IsReal(network::ValueId id) const {
    return outlines_[id.index]->kind == network::ElementKind::kReal;
  }
  Result<SharedArray> Get(network::ValueId id) const;

  // Values that may have the elements of `wanted` in some order of axes, each within its element of
  // `bound` (null: equal), as far as sums tell: the closest first, `most` of them.
  std::vector<network::ValueId> Like(const execution::Array& wanted, const execution::Array* bound,
                                     std::size_t most) const;

 private:
  struct Sums {
    double sum = 0, squares = 0;
  };
  struct Outline {
    network::Sizes shape;
    network::ElementKind kind;
  };
  struct Kept {
    SharedArray array;
    std::optional<std::list<std::uint32_t>::iterator> place = {};  // absent: held for ever
  };
  using Key = network::Sizes;  // sorted sizes above 1
  static Sums SumsOf(const execution::Array& array);
  static Key KeyOf(const network::Sizes& shape);

  void Note(network::ValueId id, const execution::Array& value);
  void Keep(std::uint32_t id, SharedArray array) const;
  SharedArray Find(std::uint32_t id) const;
  // Operations that have to run again, in their order.
  std::vector<std::uint32_t> OperationsFor(network::ValueId id) const;
  // Values on the way to one that is computed again, until their last reader has run.
  struct Pending {
    std::map<std::uint32_t, std::size_t> readers = {};
    std::map<std::uint32_t, SharedArray> arrays = {};
  };
  Result<SharedArray> ComputeAgain(network::ValueId id) const;
  Result<SharedArray> Take(network::ValueId operand, Pending& pending) const;
  Status RunAgain(std::uint32_t operation, Pending& pending) const;

  const network::Network& network_;
  const Checkpoint& weights_;
  const execution::Budget& budget_;
  std::uint64_t most_bytes_;
  std::vector<bool> streamed_;                    // by value: execution::StreamedConstants
  std::vector<std::optional<Outline>> outlines_;  // by value
  std::map<Key, std::vector<std::pair<network::ValueId, Sums>>> by_size_;
  mutable std::map<std::uint32_t, Kept> kept_;  // by value
  mutable std::list<std::uint32_t> used_;       // the latest first
  mutable std::uint64_t kept_bytes_ = 0;        // of those in `used_`
  mutable std::uint64_t computed_again_ = 0;    // operations
};

}  // namespace ckpt
