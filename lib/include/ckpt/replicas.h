// Compares several checkpoints that should be one: ranks of a parallel training, replicas, clients.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/batch_norm.h"

namespace ckpt {

struct Replica {
  // Those with the same number hold the same tensors bit for bit; numbered by their first.
  std::size_t group = 0;
  // Tensors that are not as most have them, which it alone has, or which it lacks.
  std::uint64_t weights = 0, statistics = 0, others = 0;
};

// A batch norm whose statistics are not the same in all, beside the median of all, channel by
// channel.
struct ReplicaNorm {
  struct Distance {
    // The root of the mean square over channels of (mean - median) / sqrt(median variance); the
    // geometric mean over channels of variance / median variance. Absent: nothing to compare.
    std::optional<double> mean_shift = {}, variance_ratio = {};
  };
  std::string scope;
  std::vector<Distance> replicas;  // absent in one that lacks the layer
  // By the root of mean_shift^2 + (log(variance_ratio) / 2)^2: both in deviations.
  std::optional<std::size_t> farthest;
};

struct ReplicaReport {
  std::vector<Replica> replicas;
  std::size_t groups = 0;
  std::vector<ReplicaNorm> norms;                         // in the order of the first that has them
  std::uint64_t weights = 0, statistics = 0, others = 0;  // tensors that are not the same in all
};

// Takes checkpoints one after the other and keeps of each a digest a tensor and the statistics of
// its batch norms. Tensors correspond by name.
class ReplicaBuilder {
 public:
  ReplicaBuilder();
  ~ReplicaBuilder();
  ReplicaBuilder(ReplicaBuilder&&) noexcept;
  ReplicaBuilder& operator=(ReplicaBuilder&&) noexcept;

  // Reads all tensors. Fails where one cannot be read; it is then not among the replicas.
  Status Add(const Checkpoint& checkpoint, const Analysis& analysis);
  ReplicaReport Finish() &&;

 private:
  class All;
  std::unique_ptr<All> all_;
};

}  // namespace ckpt
