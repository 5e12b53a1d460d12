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
  bool ignore_training_state = false;  // slots, shadows, steps, counters, helpers, bookkeeping
  std::map<std::string, std::string> rename = {};  // name in A -> name in B, stored names too
  bool bytes = false;                              // never trust stored checksums
  bool same_file = false;                          // both checkpoints are of the same files
};

enum class TensorStatus : std::uint8_t { kEqual, kChanged, kAdded, kRemoved, kRetyped, kReshaped };
std::string_view Name(TensorStatus status) noexcept;
// How a tensor of A and its partner in B were found.
enum class MatchedBy : std::uint8_t {
  kName,
  kRename,      // --rename
  kStoredAs,    // the same key of the file, where the names of more tensors disagree
  kPrefix,      // the same name after stripping a prefix
  kConvention,  // the same name, in the words of two frameworks: "conv/kernel", "conv.weight"
  kContent,     // the only two that hold these values, in some order
  kFactors,     // kernels alike but for one factor for each output channel: a batch norm's scale
  kLayer,       // its layer was found by other tensors
  kOrder,       // several hold the same values: paired in the order of their names
};
std::string_view Name(MatchedBy by) noexcept;  // "name", "rename", "prefix", "convention", ...
enum class ComparedBy : std::uint8_t { kNothing, kBytes, kChecksum };

enum class Identical : std::uint8_t {
  kNo,
  kYes,     // every value equal bit for bit, nothing added or removed; or both are the same files
  kUnread,  // so say stored checksums, and the data of some tensors was not read
};

// Values are compared as numbers: NaN equals NaN, +0 equals -0, and tensors of two types are
// widened. `same_bits` keeps what that overlooks. Complex numbers are compared by modulus; strings
// and opaque types as bytes.
struct TensorDiff {
  std::string name_a, name_b;  // one is empty for added and removed
  Role role = Role::kOther;
  TensorStatus status = TensorStatus::kEqual;
  ComparedBy by = ComparedBy::kNothing;
  Dtype dtype_a = Dtype::kF32, dtype_b = Dtype::kF32;
  Shape shape_a, shape_b;
  bool same_bits = true;  // same type, shape and bytes
  // Over elements that are finite in both; max_rel is |a - b| / max(|a|, |b|).
  double max_abs = 0, max_rel = 0;
  // Steps between neighbouring values of the type; of two types, units of the coarser one, where
  // half a unit (a correct rounding) is 0.
  std::uint64_t max_ulp = 0;
  double cosine = 1;  // NaN where a vector is zero or not finite
  // ||a - b|| / ||a|| over elements that are finite in both (Euclidean norms); infinite where A's
  // are all 0 and B's are not.
  double relative_norm = 0;
  std::uint64_t elements = 0, differing = 0, beyond_tolerance = 0;
  // Elements not finite in A or B. Not counted in tensors whose bytes are the same: those are not
  // looked into.
  std::uint64_t non_finite = 0;
  std::uint64_t nan_a = 0, nan_b = 0;  // of these, NaN in A and in B
  MatchedBy matched_by = MatchedBy::kName;
  // How the elements of B were put in A's order: "OIHW -> HWIO"; empty where they were not.
  std::string reordered = {};
  bool counts = true;     // false: reported, but no difference (a batch counter on one side)
  std::string note = {};  // "compared as bytes"; empty where there is nothing to say
};

// A batch norm of both files as a function: effective scale and shift.
struct BatchNormDiff {
  std::string scope_a, scope_b;
  // Absolute, over channels; where the note says "folded into": of what the fold made, relative to
  // the largest element there.
  double max_scale_diff = 0, max_shift_diff = 0;
  // Scale and shift differ by no more than the tolerance, or than 4 float32 roundings (4 * 2^-24)
  // of the numbers that they are made of.
  bool equal_as_function = false;
  bool compared = true;  // false: something kept it from being compared, which the note says
  std::string note;      // "epsilon 0.001 against 1e-05", "not compared: ..."
  Remedy remedy = Remedy::kNone;  // what would let more be compared
};

// What the numbers say happened between A and B.
struct Signature {
  std::string id;  // "bessel", "epsilon-offset", "statistics-reset", "frozen-drift", "prefix"
  std::string message;
  std::vector<std::string> subjects;
};

struct CheckpointDiff {
  Identical identical = Identical::kNo;
  bool within_tolerance = false;  // no difference that counts: exit code 0
  // "names", "names, after stripping \"module.\" in A", "content (30) and layers (12)"
  std::string mapping;
  bool by_names_alone = true;  // `mapping` is "names"
  bool across = false;         // tensors were sought by convention and content, not by name alone
  std::vector<TensorDiff> tensors;  // in natural order of their names
  std::vector<BatchNormDiff> batch_norms;
  std::vector<Signature> signatures;
  std::uint64_t equal = 0, changed = 0, added = 0, removed = 0, retyped = 0, reshaped = 0;
  double weights_max_abs = 0, statistics_max_abs = 0;
  // Indices in `tensors` of those that have them; absent where nothing changed.
  std::optional<std::size_t> weights_largest = {}, statistics_largest = {};
  std::uint64_t bytes_read = 0;
  std::uint64_t by_checksum = 0;  // tensors whose data was not read
};

// Fails where bytes cannot be read, and with kInvalidArgument for a rename of a tensor that A does
// not have. A tensor whose data is absent is compared by checksums alone, if both files store one.
Result<CheckpointDiff> Diff(const Checkpoint& a, const Analysis& analysis_a, const Checkpoint& b,
                            const Analysis& analysis_b, const DiffOptions& options);

}  // namespace ckpt
