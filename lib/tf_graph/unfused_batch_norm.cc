#include "tf_graph/unfused_batch_norm.h"

#include <algorithm>

#include "tf_graph/assigned_value.h"

namespace ckpt::tf_graph {
namespace {

// Readers of one operation that are looked at; gradients and summaries read a scale too.
constexpr std::size_t kMaxReaders = 64;
// Casts and identities between two operations of the pattern.
constexpr std::size_t kMaxBetween = 4;

bool IsAdd(std::string_view type) { return type == "Add" || type == "AddV2"; }
bool IsBetween(std::string_view type) {
  return type == "Cast" || type == "Identity" || type == "StopGradient";
}

class PatternFinder {
 public:
  PatternFinder(const OpBodies& bodies, OpRef rsqrt) : bodies_(bodies), rsqrt_(rsqrt) {}

  std::vector<UnfusedPattern> Find() {
    const auto sum = SourceOf(rsqrt_, 0);
    if (!sum || !IsAdd(bodies_.op(*sum).type) || bodies_.op(*sum).inputs.size() != 2) return {};
    for (std::size_t i = 0; i < 2 && !epsilon_; ++i) {
      epsilon_ = EpsilonAt(*sum, i);
      if (epsilon_) variance_ = {*sum, 1 - i};
    }
    if (!epsilon_) return {};
    // The scale is the Rsqrt itself or its product with gamma.
    ScaleReaders(rsqrt_, std::nullopt);
    for (const Reader& reader : ReadersOf(rsqrt_)) {
      if (bodies_.op(reader.at).type != "Mul") continue;
      ScaleReaders(reader.at, InputPlace{reader.at, 1 - reader.input});
    }
    return std::move(found_);
  }

 private:
  struct Reader {
    OpRef at;
    std::size_t input;
  };

  // The operation behind an input, past casts.
  std::optional<OpRef> SourceOf(OpRef at, std::size_t input) const {
    auto value = bodies_.Input(at, input);
    for (std::size_t i = 0; value && i < kMaxBetween && IsBetween(bodies_.op(value->at).type);
         ++i) {
      value = bodies_.Input(value->at, 0);
    }
    return value ? std::optional(value->at) : std::nullopt;
  }

  // Two-input operations that read `at` (or a cast of it), and those with one input.
  std::vector<Reader> ReadersOf(OpRef at) const {
    std::vector<Reader> readers;
    std::vector<OpRef> sources = {at};
    for (std::size_t i = 0; i < sources.size() && readers.size() < kMaxReaders; ++i) {
      const std::span<const OpId> ids = bodies_.Consumers(sources[i]);
      for (const OpId id : ids.first(std::min(ids.size(), kMaxReaders))) {
        const OpRef reader{at.body, id};
        const Op& op = bodies_.op(reader);
        if (IsBetween(op.type) && sources.size() < kMaxBetween) sources.push_back(reader);
        for (std::size_t input = 0; input < op.inputs.size() && input < 2; ++input) {
          if (op.inputs[input].op == sources[i].op) readers.push_back({reader, input});
        }
      }
    }
    return readers;
  }

  std::optional<double> EpsilonAt(OpRef sum, std::size_t input) const {
    for (const OpValue& origin : bodies_.OriginsOfInput(sum, input).values) {
      const std::optional<double> value = ScalarConstant(bodies_.op(origin.at));
      // A variance of one channel that was made a constant is no epsilon.
      const bool scalar =
          value && bodies_.op(origin.at).constant->shape.rank() == 0 && *value >= 0 && *value < 1;
      if (!scalar) return std::nullopt;
      const bool is_double = bodies_.op(origin.at).constant->dtype == Dtype::kF64;
      return is_double ? *value : ShortestDecimal(*value);
    }
    return std::nullopt;
  }

  // Looks for y = x * scale + shift, where shift holds mean * scale.
  void ScaleReaders(OpRef scale, std::optional<InputPlace> gamma) {
    for (const Reader& product : ReadersOf(scale)) {
      const Op& op = bodies_.op(product.at);
      if (op.type != "Mul" || op.inputs.size() != 2) continue;
      const InputPlace mean{product.at, 1 - product.input};
      const auto negated = SourceOf(mean.at, mean.input);
      if (negated && bodies_.op(*negated).type == "Neg") {
        Shift(scale, gamma, {*negated, 0}, product.at, {product.at, *negated}, std::nullopt);
      }
      for (const Reader& shift : ReadersOf(product.at)) {
        const Op& reader = bodies_.op(shift.at);
        if (reader.type == "Neg") {
          Shift(scale, gamma, mean, shift.at, {product.at, shift.at}, std::nullopt);
        } else if (reader.type == "Sub" && shift.input == 1 && reader.inputs.size() == 2) {
          Shift(scale, gamma, mean, shift.at, {product.at, shift.at}, InputPlace{shift.at, 0});
        }
      }
    }
  }

  void Shift(OpRef scale, const std::optional<InputPlace>& gamma, InputPlace mean, OpRef shift,
             const std::vector<OpRef>& ops, const std::optional<InputPlace>& beta) {
    for (const Reader& sum : ReadersOf(shift)) {
      const Op& op = bodies_.op(sum.at);
      if (!IsAdd(op.type) || op.inputs.size() != 2) continue;
      const auto scaled = SourceOf(sum.at, 1 - sum.input);
      if (!scaled || bodies_.op(*scaled).type != "Mul") continue;
      for (std::size_t i = 0; i < 2 && i < bodies_.op(*scaled).inputs.size(); ++i) {
        if (SourceOf(*scaled, i) != scale) continue;
        UnfusedPattern pattern;
        pattern.output = sum.at.op;
        pattern.ops = {variance_.at.op, rsqrt_.op, scaled->op, sum.at.op};
        if (gamma) pattern.ops.push_back(gamma->at.op);
        for (const OpRef part : ops) pattern.ops.push_back(part.op);
        pattern.path = {scaled->op, sum.at.op};
        pattern.x = {*scaled, 1 - i};
        pattern.variance = variance_;
        pattern.mean = mean;
        pattern.gamma = gamma;
        pattern.beta = beta;
        pattern.epsilon = *epsilon_;
        const bool known = std::any_of(found_.begin(), found_.end(), [&](const UnfusedPattern& p) {
          return p.output == pattern.output;
        });
        if (!known) found_.push_back(std::move(pattern));
        break;
      }
    }
  }

  const OpBodies& bodies_;
  const OpRef rsqrt_;
  InputPlace variance_ = {};
  std::optional<double> epsilon_ = {};
  std::vector<UnfusedPattern> found_ = {};
};

}  // namespace

std::vector<UnfusedPattern> UnfusedPatternsAt(const OpBodies& bodies, OpRef rsqrt) {
  return PatternFinder(bodies, rsqrt).Find();
}

}  // namespace ckpt::tf_graph
