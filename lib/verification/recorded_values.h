// The values of one run of A, to be found again in B.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ckpt/execution/run.h"
#include "ckpt/verify.h"

namespace ckpt {

// Keeps every value of a run.
class RecordedValues : public execution::Observer {
 public:
  explicit RecordedValues(std::size_t values) : arrays_(values) {}

  Status Made(network::ValueId id, const execution::Array& value) override;
  void Keep(network::ValueId id, execution::Array value);

  bool Has(network::ValueId id) const { return arrays_[id.index].has_value(); }
  const execution::Array& operator[](network::ValueId id) const { return *arrays_[id.index]; }

  // Values that have the elements of `wanted` in some order of axes, as far as sums tell, the
  // closest first; `most` of them.
  std::vector<network::ValueId> Like(const execution::Array& wanted, std::size_t most) const;

 private:
  struct Sums {
    double sum = 0, squares = 0;
  };
  static Sums SumsOf(const execution::Array& array);
  using Key = network::Sizes;  // sorted sizes above 1
  static Key KeyOf(const execution::Array& array);

  std::vector<std::optional<execution::Array>> arrays_;  // by value
  std::map<Key, std::vector<std::pair<network::ValueId, Sums>>> by_size_;
};

}  // namespace ckpt
