// Plans the folding of batch norms into their neighbours, and computes the folded tensors.
//
// Backward (linear layer, then batch norm), with a = gamma / sqrt(variance + epsilon) in double:
//   w' = w * a[out channel],  b' = (b - mean) * a + beta          always exact.
// Forward (batch norm, then linear layer), with t = beta - mean * a:
//   w' = w * a[in channel],   b' = b + sum over inputs of w * t   exact without padding or for t =
//   0.
// Everything is computed in double and rounded once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ckpt/batch_norm.h"

namespace ckpt {

// Which channel a kernel element belongs to. For the flat index e of a C-order kernel:
//   row = e / (inner * channels_per_group),  group = rows_per_group ? row / rows_per_group : 0,
//   channel = group * channels_per_group + (e / inner) % channels_per_group.
// Only grouped transposed convolutions (out channel) and grouped convolutions (in channel) have
// rows_per_group != 0.
struct ChannelView {
  std::uint64_t channels_per_group = 1, inner = 1, rows_per_group = 0;
  std::uint64_t ChannelOf(std::uint64_t e) const noexcept {
    const std::uint64_t row = e / (inner * channels_per_group);
    const std::uint64_t group = rows_per_group ? row / rows_per_group : 0;
    return group * channels_per_group + (e / inner) % channels_per_group;
  }
  bool operator==(const ChannelView&) const = default;
};

// A kernel, a bias and a batch norm that the user ties together (--pairs; see the CLI contract).
struct UserPair {
  std::string batch_norm;                // scope or common prefix
  std::string into;                      // name of the kernel tensor
  std::optional<std::string> bias = {};  // name of the bias tensor; absent: there is none
  bool forward = false;
  std::optional<double> epsilon = {};
  std::optional<KernelLayout> layout = {};
};

enum class FoldDirection : std::uint8_t {
  kBackward,
  kForward,
  kMerged /* into another batch norm */
};
std::string_view Name(FoldDirection direction) noexcept;

struct FoldOptions {
  bool fold = false;             // --bn fold; false: every batch norm is preserved
  bool leftover_affine = false;  // --leftover affine
  std::vector<UserPair> pairs = {};
  bool pair_by_order = false, pair_by_name = false;
  bool strict = false;  // refuse assumed epsilons (the caller refuses kept layers)
};

struct Folded {
  std::string batch_norm;         // scope
  std::vector<std::string> into;  // names of the kernels (or of the batch norm it was merged into)
  FoldDirection direction = FoldDirection::kBackward;
  SourcedNumber epsilon;
  std::vector<Evidence> evidence = {};  // of the pairing
  // Bound on |computed - exact| of one output of the folded layer for inputs with |x| <= 1,
  // to first order: (n + 2) * u * max over channels of (sum |w'| + |b'|), n the taps, u the unit
  // roundoff of the stored type. 0 until the tensors are computed.
  double error_bound = 0;
};
struct Kept {
  std::string batch_norm;
  std::string reason;   // "its input has a second consumer: add_1"
  bool affine = false;  // kept as one scale and one offset per channel
};

// What one output tensor holds.
struct CopyOf {
  TensorId source;
};                     // bytes unchanged, or cast to TensorInfo::dtype
struct ScaledKernel {  // each element times factors, rounded once
  TensorId source;
  ChannelView out_view;
  std::vector<double> out_factors;  // empty: none
  ChannelView in_view;
  std::vector<double> in_factors;  // empty: none
};
struct Constant {
  std::vector<std::byte> bytes;
};  // little-endian, C order
using Content = std::variant<CopyOf, ScaledKernel, Constant>;

struct FoldedTensor {
  TensorInfo info;
  Content content;
};

// Every batch norm of the analysis is in exactly one of `folded` and `kept`.
struct FoldPlan {
  std::vector<Folded> folded;
  std::vector<Kept> kept;
  std::vector<FoldedTensor> tensors;    // replaced or new tensors (by name)
  std::vector<TensorId> consumed;       // tensors of folded batch norms: not written
  GraphEdits edits;                     // where the manifest has a graph
  std::vector<std::string> notes = {};  // range losses, printed pairs...
};

// Decides and computes; reads batch-norm vectors, biases, and kernels that a forward fold has to
// sum over, in bounded chunks. Fails only on read errors and contradictory user pairs; what cannot
// be folded is kept with its reason.
Result<FoldPlan> PlanFold(const Checkpoint& checkpoint, const Analysis& analysis,
                          const FoldOptions& options);

}  // namespace ckpt
