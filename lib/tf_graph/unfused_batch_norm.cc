#include "tf_graph/unfused_batch_norm.h"

#include <algorithm>

namespace ckpt::tf_graph {
namespace {

class PatternFinder {
 public:
  PatternFinder(const OpBodies& bodies, OpRef rsqrt) : walk_(bodies), rsqrt_(rsqrt) {}

  std::vector<UnfusedPattern> Find() {
    sum_ = walk_.VarianceBehind(rsqrt_);
    if (!sum_) return {};
    // The scale is the Rsqrt itself or its product with gamma.
    ScaleReaders(rsqrt_, std::nullopt);
    for (const InputPlace& reader : walk_.ReadersOf(rsqrt_)) {
      const Op& op = walk_.op(reader.at);
      if (op.type != "Mul" || op.inputs.size() != 2) continue;
      ScaleReaders(reader.at, InputPlace{reader.at, 1 - reader.input});
    }
    return std::move(found_);
  }

 private:
  // Looks for y = x * scale + shift, where shift holds mean * scale.
  void ScaleReaders(OpRef scale, std::optional<InputPlace> gamma) {
    for (const InputPlace& product : walk_.ReadersOf(scale)) {
      const Op& op = walk_.op(product.at);
      if (op.type != "Mul" || op.inputs.size() != 2) continue;
      const InputPlace mean{product.at, 1 - product.input};
      const auto negated = walk_.SourceOf(mean.at, mean.input);
      if (negated && walk_.op(*negated).type == "Neg") {
        Shift(scale, gamma, {*negated, 0}, product.at, {product.at, *negated}, std::nullopt);
      }
      for (const InputPlace& shift : walk_.ReadersOf(product.at)) {
        const Op& reader = walk_.op(shift.at);
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
    for (const InputPlace& sum : walk_.ReadersOf(shift)) {
      const Op& op = walk_.op(sum.at);
      if (!IsAdd(op.type) || op.inputs.size() != 2) continue;
      const auto scaled = walk_.SourceOf(sum.at, 1 - sum.input);
      if (!scaled || walk_.op(*scaled).type != "Mul") continue;
      for (std::size_t i = 0; i < 2 && i < walk_.op(*scaled).inputs.size(); ++i) {
        if (walk_.SourceOf(*scaled, i) != scale) continue;
        UnfusedPattern pattern;
        pattern.output = sum.at.op;
        pattern.ops = {sum_->at.op, rsqrt_.op, scaled->op, sum.at.op};
        if (gamma) pattern.ops.push_back(gamma->at.op);
        for (const OpRef part : ops) pattern.ops.push_back(part.op);
        pattern.path = {scaled->op, sum.at.op};
        pattern.x = {*scaled, 1 - i};
        pattern.variance = sum_->variance;
        pattern.mean = mean;
        pattern.gamma = gamma;
        pattern.beta = beta;
        pattern.epsilon = sum_->epsilon;
        const bool known = std::any_of(found_.begin(), found_.end(), [&](const UnfusedPattern& p) {
          return p.output == pattern.output;
        });
        if (!known) found_.push_back(std::move(pattern));
        break;
      }
    }
  }

  const PatternWalk walk_;
  const OpRef rsqrt_;
  std::optional<PatternWalk::Sum> sum_ = {};
  std::vector<UnfusedPattern> found_ = {};
};

}  // namespace

std::vector<UnfusedPattern> UnfusedPatternsAt(const OpBodies& bodies, OpRef rsqrt) {
  return PatternFinder(bodies, rsqrt).Find();
}

}  // namespace ckpt::tf_graph
