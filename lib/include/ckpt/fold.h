// Plans the folding of batch norms into their neighbours, and computes the folded tensors.
//
// Backward (linear layer, then batch norm), with a = gamma / sqrt(variance + epsilon) in double:
//   w' = w * a[out channel],  b' = (b - mean) * a + beta          always exact.
// Forward (batch norm, then linear layer), with t = beta - mean * a:
//   w' = w * a[in channel],   b' = b + sum over inputs of w * t   exact without padding or for t =
//   0.
// Everything is computed in double and rounded once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ckpt/axis_order.h"
#include "ckpt/batch_norm.h"

namespace ckpt {

// Which channel a kernel element belongs to. For the flat index e of a C-order kernel:
//   row = e / (inner * channels_per_group),
//   group = rows_per_group ? row / rows_per_group : inner_per_group ? (e % inner) / inner_per_group
//                                                                   : 0,
//   channel = group * channels_per_group + (e / inner) % channels_per_group.
// Only grouped kernels need a group: rows_per_group where the other channel axis lies outside (out
// channels of [I, O/G, K...], in channels of [O, I/G, K...]), inner_per_group where it lies inside
// (in channels of [K..., I/G, O]).
struct ChannelView {
  std::uint64_t channels_per_group = 1, inner = 1, rows_per_group = 0, inner_per_group = 0;
  std::uint64_t ChannelOf(std::uint64_t e) const noexcept {
    std::uint64_t group = 0;
    if (rows_per_group != 0) {
      group = e / (inner * channels_per_group) / rows_per_group;
    } else if (inner_per_group != 0) {
      group = (e % inner) / inner_per_group;
    }
    return group * channels_per_group + (e / inner) % channels_per_group;
  }
  bool operator==(const ChannelView&) const = default;
};

// A kernel, a bias and a batch norm that the user ties together (--pairs; see docs/cli.md).
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
  // Batch norms in training mode are taken to use their moving statistics; else they are kept.
  bool close_training_mode = false;
  // Floating type that the output is written in, where it is not each tensor's own (--cast): the
  // range of folded values is checked against it.
  std::optional<Dtype> cast = {};
  // Batch norms (indices into Analysis::batch_norms) that must stay as they are, with the reason.
  std::map<std::size_t, std::string> keep = {};
};

struct Folded {
  std::string batch_norm;         // scope
  std::vector<std::string> into;  // names of the kernels (or of the batch norm it was merged into)
  FoldDirection direction = FoldDirection::kBackward;
  SourcedNumber epsilon;
  std::vector<Evidence> evidence = {};  // of the pairing
  // Bound on |computed - exact| of one output of a layer folded into, for inputs with |x| <= 1 and
  // to first order: the largest over channels of (n + 2) * u * (sum |w'| + |b'|), n the terms of
  // the sum, u the unit roundoff of the stored type, and what computing w' and b' in double adds
  // (docs/folding.md). The largest of the layers where there are several.
  double error_bound = 0;
};
struct Kept {
  std::string batch_norm;
  std::string reason;             // "its input has a second consumer: add_1"
  bool affine = false;            // kept as one scale and one offset per channel
  Remedy remedy = Remedy::kNone;  // what could let it be folded
};

// What one output tensor holds.
struct CopyOf {
  TensorId source;
};                     // bytes unchanged, or cast to TensorInfo::dtype
struct ScaledKernel {  // each element times factors, rounded once
  TensorId source;
  ChannelView out_view = {};
  std::vector<double> out_factors = {};  // empty: none
  ChannelView in_view = {};
  std::vector<double> in_factors = {};  // empty: none
};
struct Constant {  // C order, rounded once to TensorInfo::dtype when it is written
  std::vector<double> values;
};
using Content = std::variant<CopyOf, ScaledKernel, Constant>;

struct FoldedTensor {
  TensorInfo info;  // of what is written
  Content content;
  // The order in which the elements of `content` are written; absent: as they are.
  std::optional<AxisOrder> order = {};
  bool must_be_finite = false;  // serving reads it: NaN and infinity stop a conversion
};

// Every batch norm of the analysis is in exactly one of `folded` and `kept`.
struct FoldPlan {
  std::vector<Folded> folded;
  std::vector<Kept> kept;
  std::vector<FoldedTensor> tensors;    // replaced or new tensors (by name)
  std::vector<TensorId> consumed;       // tensors of folded batch norms: not written
  GraphEdits edits;                     // where the manifest has a graph
  std::vector<std::string> notes = {};  // range losses, printed pairs...
  // What would prove the pairs that rest on names or order alone, where there are any.
  Remedy proof = Remedy::kNone;
};

// Decides and computes; reads batch-norm vectors, biases, and kernels that a forward fold has to
// sum over, in bounded chunks. Fails only on read errors and contradictory user pairs; what cannot
// be folded is kept with its reason.
Result<FoldPlan> PlanFold(const Checkpoint& checkpoint, const Analysis& analysis,
                          const FoldOptions& options);

}  // namespace ckpt
