#include <algorithm>

#include "tf_graph/unfused_batch_norm.h"

namespace ckpt::tf_graph {
namespace {

class FormulaFinder {
 public:
  FormulaFinder(const OpBodies& bodies, OpRef root) : bodies_(bodies), walk_(bodies), root_(root) {}

  std::vector<UnfusedPattern> Find() {
    sum_ = walk_.VarianceBehind(root_);
    if (!sum_) return {};
    for (const InputPlace& reader : walk_.ReadersOf(root_)) {
      if (!Divides(reader)) continue;
      // x - mean is divided, or gamma is and then multiplies.
      TryNormalizing(reader.at, 1 - reader.input, {}, {});
      const InputPlace gamma{reader.at, 1 - reader.input};
      if (!IsStored(gamma)) continue;
      for (const InputPlace& product : walk_.ReadersOf(reader.at)) {
        if (IsProduct(product.at))
          TryNormalizing(product.at, 1 - product.input, gamma, {reader.at.op});
      }
    }
    return std::move(found_);
  }

 private:
  bool IsProduct(OpRef at) const {
    return walk_.op(at).type == "Mul" && walk_.op(at).inputs.size() == 2;
  }

  // By the square root, or times its reciprocal.
  bool Divides(const InputPlace& reader) const {
    if (walk_.op(root_).type == "Rsqrt") return IsProduct(reader.at);
    const Op& op = walk_.op(reader.at);
    return (op.type == "RealDiv" || op.type == "Div") && reader.input == 1 && op.inputs.size() == 2;
  }

  // A variable or a constant, whatever lies between.
  bool IsStored(const InputPlace& place) const {
    const OpOrigins origins = bodies_.OriginsOfInput(place.at, place.input);
    return !origins.values.empty() &&
           std::all_of(origins.values.begin(), origins.values.end(), [&](const OpValue& origin) {
             const Op& op = walk_.op(origin.at);
             const bool scalar = op.constant && op.constant->shape.rank() == 0;
             return IsVariableOp(op.type) || op.type == "_Arg" || (op.type == "Const" && !scalar);
           });
  }

  // `at` divides the value at its input `data` by the root.
  void TryNormalizing(OpRef at, std::size_t data, std::optional<InputPlace> gamma,
                      std::vector<OpId> ops) {
    auto centred = walk_.SourceOf(at, data);
    if (!centred) return;
    std::vector<OpId> path = {at.op};
    if (!gamma && IsProduct(*centred)) {  // gamma * (x - mean) is divided
      const OpRef product = *centred;
      for (std::size_t i = 0; i < 2 && !gamma; ++i) {
        const auto difference = walk_.SourceOf(product, i);
        if (!difference || walk_.op(*difference).type != "Sub" || !IsStored({product, 1 - i}))
          continue;
        gamma = InputPlace{product, 1 - i};
        path.insert(path.begin(), product.op);
        centred = difference;
      }
    }
    const Op& difference = walk_.op(*centred);
    if (difference.type != "Sub" || difference.inputs.size() != 2) return;
    path.insert(path.begin(), centred->op);
    UnfusedPattern pattern;
    pattern.x = {*centred, 0};
    pattern.mean = {*centred, 1};
    pattern.variance = sum_->variance;
    pattern.epsilon = sum_->epsilon;
    pattern.gamma = gamma;
    OpRef last = at;
    if (!pattern.gamma) pattern.gamma = Next(last, "Mul", path);
    pattern.beta = Next(last, "Add", path);
    if (!pattern.gamma && !pattern.beta) return;
    pattern.output = last.op;
    pattern.ops = std::move(ops);
    pattern.ops.insert(pattern.ops.end(), path.begin(), path.end());
    pattern.ops.insert(pattern.ops.end(), {root_.op, sum_->at.op});
    pattern.path = std::move(path);
    const bool known = std::any_of(found_.begin(), found_.end(), [&](const UnfusedPattern& p) {
      return p.output == pattern.output;
    });
    if (!known) found_.push_back(std::move(pattern));
  }

  // The operation of this type that reads `last` together with a stored vector: it becomes `last`.
  std::optional<InputPlace> Next(OpRef& last, std::string_view type,
                                 std::vector<OpId>& path) const {
    for (const InputPlace& reader : walk_.ReadersOf(last)) {
      const Op& op = walk_.op(reader.at);
      const bool wanted = type == "Add" ? IsAdd(op.type) : op.type == type;
      const InputPlace vector{reader.at, 1 - reader.input};
      if (!wanted || op.inputs.size() != 2 || !IsStored(vector)) continue;
      last = reader.at;
      path.push_back(last.op);
      return vector;
    }
    return std::nullopt;
  }

  const OpBodies& bodies_;
  const PatternWalk walk_;
  const OpRef root_;
  std::optional<PatternWalk::Sum> sum_ = {};
  std::vector<UnfusedPattern> found_ = {};
};

}  // namespace

std::vector<UnfusedPattern> WrittenOutPatternsAt(const OpBodies& bodies, OpRef root) {
  return FormulaFinder(bodies, root).Find();
}

}  // namespace ckpt::tf_graph
