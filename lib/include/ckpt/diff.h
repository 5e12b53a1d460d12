// Compares two checkpoints, of the same or of different formats.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/batch_norm.h"

namespace ckpt {

struct DiffOptions {
  double rtol = 0, atol = 0;           // |a - b| <= atol + rtol * max(|a|, |b|)
  std::vector<std::string> only = {};  // globs over names and stored names
  std::vector<std::string> ignore = {};
  bool ignore_training_state = false;
  std::map<std::string, std::string> rename = {};  // name in A -> name in B
  bool bytes = false;                              // never trust stored checksums
};

enum class TensorStatus : std::uint8_t { kEqual, kChanged, kAdded, kRemoved, kRetyped, kReshaped };
std::string_view Name(TensorStatus status) noexcept;
enum class ComparedBy : std::uint8_t { kNothing, kBytes, kChecksum };

struct TensorDiff {
  std::string name_a, name_b;  // one is empty for added and removed
  Role role = Role::kOther;
  TensorStatus status = TensorStatus::kEqual;
  ComparedBy by = ComparedBy::kNothing;
  Dtype dtype_a = Dtype::kF32, dtype_b = Dtype::kF32;
  Shape shape_a, shape_b;
  // Over elements that are finite in both; max_rel is |a - b| / max(|a|, |b|).
  double max_abs = 0, max_rel = 0;
  std::uint64_t max_ulp = 0;  // in units of the coarser of the two types
  double cosine = 1;          // NaN where a vector is zero or not finite
  std::uint64_t elements = 0, differing = 0, beyond_tolerance = 0;
  std::uint64_t non_finite = 0;  // elements not finite in A or B
  bool counts = true;            // false: reported, but no difference (a batch counter on one side)
};

// A batch norm of both files as a function: effective scale and shift.
struct BatchNormDiff {
  std::string scope_a, scope_b;
  double max_scale_diff = 0, max_shift_diff = 0;  // absolute
  bool equal_as_function = false;  // within the tolerance, or 4 units of float32 rounding
  std::string note;                // "epsilon 0.001 against 1e-05", "not compared: ..."
};

// What the numbers say happened between A and B.
struct Signature {
  std::string id;  // "bessel", "epsilon-offset", "statistics-reset", "frozen-drift", "prefix"
  std::string message;
  std::vector<std::string> subjects;
};

struct CheckpointDiff {
  bool identical = false;           // every value equal bit for bit, nothing added or removed
  bool within_tolerance = false;    // no difference that counts: exit code 0
  std::string mapping;              // "names", "names, after stripping \"module.\" in A"
  std::vector<TensorDiff> tensors;  // sorted by name
  std::vector<BatchNormDiff> batch_norms;
  std::vector<Signature> signatures;
  std::uint64_t equal = 0, changed = 0, added = 0, removed = 0, retyped = 0, reshaped = 0;
  double weights_max_abs = 0, statistics_max_abs = 0;
  std::uint64_t bytes_read = 0;
};

Result<CheckpointDiff> Diff(const Checkpoint& a, const Analysis& analysis_a, const Checkpoint& b,
                            const Analysis& analysis_b, const DiffOptions& options);

}  // namespace ckpt
