// Do two files compute the same function? Both are run on the same inputs, and every step of one is
// held against the step of the other that it corresponds to.
//
// The verdict rests on bounds and not on a tolerance. A step of B is given the values that A has at
// its place, so that no error of an earlier step reaches it, and what it yields must be within
//   u (|W'| |x| + |b'|)
// of A's value, element by element: W' and b' are B's constants, u is the unit roundoff of their
// type. That holds for every B whose constants are the exact ones rounded once. A fold that another
// program computed in float32 is held to 5 times that, with the terms of A's own formula (|beta| +
// |mean s| + |b s|) in the place of |b'|, since those cancel. See docs/verifying.md.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/execution/run.h"
#include "ckpt/network/network.h"

namespace ckpt {

enum class Verdict : std::uint8_t { kSame, kSameUpToRounding, kDifferent, kCannotTell };
std::string_view Name(Verdict verdict) noexcept;  // "same up to rounding"

// A file that can be run. Both must outlive what is made of them.
struct Runnable {
  const network::Network* network = nullptr;
  const Checkpoint* weights = nullptr;
};

struct VerifyOptions {
  // Given values by the name of A's input; an input without one is drawn.
  std::map<std::string, execution::Array> inputs = {};
  // Shapes by the name of an input of A or of B, for sizes that the files leave open.
  std::map<std::string, network::Sizes> shapes = {};
  // A's names -> B's names, where names, order and shapes do not settle it.
  std::map<std::string, std::string> input_map = {}, output_map = {};
  std::int64_t batch = 1;  // where the size of axis 0 is open
  std::uint64_t seed = 1;
  execution::Budget budget = {};
  // Only what leads to this layer (of A, and of B under the same name) is compared.
  std::string until = {};
  bool keep_values = false;  // Verification::kept
};

struct UsedInput {
  std::string name_a, name_b;
  network::Sizes shape = {};  // A's
  bool drawn = false;
  bool permuted = false;  // B has its axes in another order
};

// An input that no output needs, and that the other file does not have.
struct UnreadInput {
  bool in_b = false;
  std::string name;
};

struct OutputDifference {
  std::string name_a, name_b;
  double max_abs = 0;                    // between A and B, both run in float64
  double noise = 0;                      // between A in float64 and A in float32
  double size = 0;                       // the largest absolute value of A's
  std::vector<std::int64_t> place = {};  // of max_abs, in A's
};

// A step of B beside the step of A.
struct StepDifference {
  std::string layer_a, layer_b, operation;
  std::vector<std::int64_t> place = {};  // in A's value
  std::optional<std::int64_t> channel = {};
  double value_a = 0, value_b = 0;
  double bound = 0;  // of their difference, at that place
  double ratio = 0;  // |value_b - value_a| / bound
};

// A step that was confirmed. 1 is the bound: with `factor` 5 the wider one.
struct StepRatio {
  std::string layer_a, layer_b, operation;
  double ratio = 0;  // 0: the same values
  int factor = 0;    // as of Verification
};
// Of so many steps the ratio is kept, of the first ones in B's order.
inline constexpr std::size_t kMostStepRatios = 4096;

struct NotUnderstood {
  bool in_b = false;
  std::string layer, what, why;
};

// What was run, for another program to run it too.
struct KeptValues {
  // Of both files, by place in Network::inputs.
  std::vector<execution::Array> inputs_a = {}, inputs_b = {};
  std::vector<std::pair<std::string, std::string>> outputs = {};  // names: A's, B's
  // In float64, by place in `outputs`. Empty where a network is not understood.
  std::vector<execution::Array> outputs_a = {}, outputs_b = {};
};

struct Verification {
  Verdict verdict = Verdict::kCannotTell;
  std::string reason = {};  // of kDifferent and kCannotTell, for people
  std::vector<UsedInput> inputs = {};
  std::vector<UnreadInput> unread_inputs = {};
  std::vector<OutputDifference> outputs = {};
  std::size_t steps_compared = 0;
  // The factor on u that the worst step needs: 1 or 5; 0 where all are equal.
  int factor = 0;
  std::optional<StepDifference> worst = {}, first_beyond = {};  // the worst of those that need it
  std::vector<StepRatio> steps = {};                            // those compared, in B's order
  std::vector<NotUnderstood> unknown = {};
  // Channels behind a rectifier, and how many of them were zero for every element.
  std::uint64_t channels = 0, silent_channels = 0;
  std::uint64_t multiply_adds = 0;  // of one run of A
  // Where VerifyOptions::keep_values asks for it; absent where the inputs could not be settled.
  std::optional<KeptValues> kept = {};
};

// kInvalidArgument for names that are no inputs or outputs, for values of a wrong shape and for
// open sizes that nothing settles; kLimitExceeded where the budget does not allow it. A network
// that is not understood is no error: kCannotTell.
Result<Verification> VerifySameFunction(const Runnable& a, const Runnable& b,
                                        const VerifyOptions& options);

// The gravest that is found at any of these batch sizes (VerifyOptions::batch), the last of
// several; at one of them alone where values are given or the files settle the batch. A difference
// is graver than what cannot be told.
Result<Verification> VerifyAtBatches(const Runnable& a, const Runnable& b,
                                     const VerifyOptions& options,
                                     std::span<const std::int64_t> batches);

// Multiplications with their additions of one run of A, by shapes alone. Errors as above.
Result<std::uint64_t> CountMultiplyAdds(const Runnable& a, const Runnable& b,
                                        const VerifyOptions& options);

}  // namespace ckpt
