// Reads tensors for the audit and remembers what could not be read, so that one damaged tensor
// never stops the rest.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "ckpt/checkpoint.h"

namespace ckpt::audit {

// What one full pass over a tensor saw. Elements of non-float types are only counted as read.
struct ElementCounts {
  std::uint64_t nan = 0, positive_infinity = 0, negative_infinity = 0;
  std::uint64_t finite_non_zero = 0;  // counted only where something is not finite
  std::uint64_t NonFinite() const { return nan + positive_infinity + negative_infinity; }
};

class TensorReader {
 public:
  struct Failure {
    TensorId tensor;
    Error error;
  };

  explicit TensorReader(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  // All elements as double. Nothing if the data is absent, the read fails (remembered in
  // failures()) or the type is not real (remembered in unsupported()). All vectors read together
  // are bounded; beyond that reading fails with kLimitExceeded.
  std::optional<std::vector<double>> Doubles(TensorId id);
  // The one element of a counter, read once; nothing as above, or where there is not exactly one.
  std::optional<double> Scalar(TensorId id);
  // Streams the whole tensor, so that its stored checksum is checked. Nothing as above; types
  // without fractions are read and not counted.
  std::optional<ElementCounts> Scan(TensorId id);

  const Manifest& manifest() const { return checkpoint_.manifest(); }
  const std::vector<Failure>& failures() const { return failures_; }
  const std::set<TensorId>& unsupported() const { return unsupported_; }
  bool interrupted() const { return interrupted_; }
  // Of the tensors with a stored checksum that were read to the end or found corrupt.
  std::size_t checksums_checked() const { return checked_.size(); }
  std::size_t checksums_failed() const;

 private:
  bool Readable(TensorId id);
  void Remember(TensorId id, Error error);
  void NoteChecked(TensorId id);
  Result<ElementCounts> Count(TensorId id, bool details) const;

  const Checkpoint& checkpoint_;
  std::uint64_t elements_held_ = 0;
  std::map<TensorId, std::optional<double>> scalars_;
  std::vector<Failure> failures_;
  std::set<TensorId> failed_, unsupported_, checked_;
  bool interrupted_ = false;
};

}  // namespace ckpt::audit
