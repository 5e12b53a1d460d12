#include "layers/unfused_batch_norm.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <utility>

namespace ckpt {
namespace {

using network::Binary;
using network::BinaryFunction;
using network::kNoValue;
using network::Operation;
using network::OperationId;
using network::Unary;
using network::UnaryFunction;
using network::ValueId;

// x and a constant: x - c, x / c, x * c or c * x, x + c or c + x.
struct Step {
  OperationId id = {};
  BinaryFunction function = BinaryFunction::kAdd;
  std::size_t data = 0;  // operand
  ValueId constant = kNoValue, result = kNoValue;
};

// The variance under a root: sqrt(variance + epsilon), or with the variance alone.
struct Spread {
  StoredTensor variance;
  double epsilon = 0;
};

class Finder {
 public:
  Finder(const ValueUses& uses, const ElementsLookup& elements)
      : uses_(uses), elements_(elements) {}

  std::optional<UnfusedBatchNorm> Find(OperationId first) {
    const auto start = StepOf(first);
    if (!start) return std::nullopt;
    found_.input_operand = static_cast<std::uint32_t>(start->data);
    found_.input = uses_.network().operation(first).operands[start->data];
    const bool is_one =
        start->function == BinaryFunction::kSubtract ? ReadCentred(*start) : ReadScaled(*start);
    if (!is_one || !FindAxis()) return std::nullopt;
    FindOwned();
    return std::move(found_);
  }

  std::optional<UnfusedBatchNorm> FindScale(ValueId of, std::int64_t axis) {
    const auto reader = uses_.OnlyReaderOf(of);
    const auto scaled = reader ? StepOf(reader->operation) : std::nullopt;
    if (!Is(scaled, BinaryFunction::kMultiply)) return std::nullopt;
    const auto moved = After(*scaled);
    if (!Is(moved, BinaryFunction::kAdd) || !TakeStored("gamma", scaled->constant) ||
        !TakeStored("beta", moved->constant)) {
      return std::nullopt;
    }
    found_.input = of;
    found_.input_operand = static_cast<std::uint32_t>(scaled->data);
    Take(*scaled);
    Take(*moved);
    if (!FindAxis()) return std::nullopt;
    const auto rank = static_cast<std::int64_t>(uses_.network().value(of).shape->size());
    if (found_.axis != (axis < 0 ? axis + rank : axis)) return std::nullopt;
    FindOwned();
    return std::move(found_);
  }

 private:
  std::optional<Step> StepOf(OperationId id) const {
    const Operation& operation = uses_.network().operation(id);
    const auto* binary = std::get_if<Binary>(&operation.computation);
    if (binary == nullptr || operation.operands.size() != 2) return std::nullopt;
    const bool fixed[] = {uses_.IsFixed(operation.operands[0]),
                          uses_.IsFixed(operation.operands[1])};
    if (fixed[0] == fixed[1]) return std::nullopt;
    const std::size_t data = fixed[0] ? 1 : 0;
    const BinaryFunction function = binary->function;
    const bool either = function == BinaryFunction::kAdd || function == BinaryFunction::kMultiply;
    const bool ordered =
        function == BinaryFunction::kSubtract || function == BinaryFunction::kDivide;
    if (!either && !(ordered && data == 0)) return std::nullopt;
    return Step{id, function, data, operation.operands[1 - data], operation.results[0]};
  }

  // The step that alone reads the result of `step`.
  std::optional<Step> After(const Step& step) const {
    const auto reader = uses_.OnlyReaderOf(step.result);
    return reader ? StepOf(reader->operation) : std::nullopt;
  }
  bool Is(const std::optional<Step>& step, BinaryFunction function) const {
    return step && step->function == function;
  }

  void Take(const Step& step) {
    found_.path.push_back(step.id);
    found_.output = step.result;
    operands_.push_back(step.constant);
  }
  bool TakeVector(const char* name, const std::optional<StoredTensor>& tensor) {
    if (!tensor || !tensor->IsVector() || tensor->filled || tensor->factor != 1) return false;
    return found_.vectors.emplace(name, *tensor).second;
  }
  bool TakeStored(const char* name, ValueId id) {
    return TakeVector(name, FindStoredTensor(uses_, id));
  }

  // (x - mean) / s * gamma + beta
  bool ReadCentred(const Step& centred) {
    Take(centred);
    if (!TakeStored("moving_mean", centred.constant)) return false;
    auto next = After(centred);
    if (Is(next, BinaryFunction::kDivide)) {
      if (!TakeRoot(next->constant)) return false;
    } else if (!Is(next, BinaryFunction::kMultiply) || !TakeInverse(next->constant)) {
      return false;
    }
    Take(*next);
    next = After(*next);
    if (!found_.vectors.contains("gamma") && Is(next, BinaryFunction::kMultiply) &&
        TakeStored("gamma", next->constant)) {
      Take(*next);
      next = After(*next);
    }
    if (Is(next, BinaryFunction::kAdd) && TakeStored("beta", next->constant)) Take(*next);
    // Without either it is what normalises the input of a network.
    return found_.vectors.contains("gamma") || found_.vectors.contains("beta");
  }

  // x * m + (beta - mean * m)
  bool ReadScaled(const Step& scaled) {
    if (scaled.function != BinaryFunction::kMultiply || !TakeInverse(scaled.constant)) return false;
    Take(scaled);
    const auto next = After(scaled);
    if (!Is(next, BinaryFunction::kAdd) || !TakeOffset(next->constant, scaled.constant)) {
      return false;
    }
    Take(*next);
    return true;
  }

  // The operation behind changes of shape that keep the order of elements.
  const Operation* Computing(ValueId& id) const {
    constexpr int kMostSteps = 8;
    const Operation* producer = uses_.ProducerOf(id);
    for (int i = 0; i < kMostSteps && producer != nullptr; ++i) {
      const auto& what = producer->computation;
      if (!std::holds_alternative<network::Reshape>(what) &&
          !std::holds_alternative<network::InsertAxes>(what) &&
          !std::holds_alternative<network::DropAxes>(what)) {
        return producer;
      }
      id = producer->operands[0];
      producer = uses_.ProducerOf(id);
    }
    return producer;
  }
  const Operation* BinaryOf(ValueId id, BinaryFunction function) const {
    const Operation* const operation = Computing(id);
    if (operation == nullptr || operation->operands.size() != 2) return nullptr;
    const auto* binary = std::get_if<Binary>(&operation->computation);
    return binary != nullptr && binary->function == function ? operation : nullptr;
  }
  const Operation* UnaryOf(ValueId id, UnaryFunction function) const {
    const Operation* const operation = Computing(id);
    if (operation == nullptr) return nullptr;
    const auto* unary = std::get_if<Unary>(&operation->computation);
    return unary != nullptr && unary->function == function ? operation : nullptr;
  }
  std::optional<double> Number(ValueId id) const {
    const network::PartialShape& shape = uses_.network().value(id).shape;
    if (!shape || StoredTensor{{}, *shape}.count() != 1) return std::nullopt;
    const auto elements = elements_(id);
    return elements && elements->size() == 1 ? std::optional(elements->front()) : std::nullopt;
  }

  std::optional<Spread> SpreadOf(ValueId id) const {
    if (const Operation* sum = BinaryOf(id, BinaryFunction::kAdd)) {
      for (const std::size_t k : {std::size_t{0}, std::size_t{1}}) {
        const auto epsilon = Number(sum->operands[1 - k]);
        auto variance = FindStoredTensor(uses_, sum->operands[k]);
        if (epsilon && variance) return Spread{*std::move(variance), *epsilon};
      }
      return std::nullopt;
    }
    auto variance = FindStoredTensor(uses_, id);
    return variance ? std::optional(Spread{*std::move(variance), 0}) : std::nullopt;
  }
  bool TakeSpread(const std::optional<Spread>& spread) {
    if (!spread || !TakeVector("moving_variance", spread->variance)) return false;
    found_.epsilon = spread->epsilon;
    return true;
  }
  // The value whose power with this exponent it is.
  std::optional<ValueId> BaseOfPower(ValueId id, double exponent) const {
    if (const Operation* power = BinaryOf(id, BinaryFunction::kPower)) {
      if (Number(power->operands[1]) == exponent) return power->operands[0];
    }
    const Operation* const power = UnaryOf(id, UnaryFunction::kPower);
    if (power != nullptr && std::get<Unary>(power->computation).a == exponent) {
      return power->operands[0];
    }
    return std::nullopt;
  }

  // sqrt(variance + epsilon), or a stored root.
  bool TakeRoot(ValueId id) {
    if (TakeComputedRoot(id)) return true;
    found_.stores_deviation = true;
    return TakeStored("moving_variance", id);
  }
  bool TakeComputedRoot(ValueId id) {
    if (const Operation* root = UnaryOf(id, UnaryFunction::kSqrt)) {
      return TakeSpread(SpreadOf(root->operands[0]));
    }
    const auto base = BaseOfPower(id, 0.5);
    return base && TakeSpread(SpreadOf(*base));
  }

  // One over that, times gamma or not.
  bool TakeInverse(ValueId id) {
    if (const Operation* inverse = UnaryOf(id, UnaryFunction::kRsqrt)) {
      return TakeSpread(SpreadOf(inverse->operands[0]));
    }
    if (const Operation* inverse = UnaryOf(id, UnaryFunction::kReciprocal)) {
      return TakeComputedRoot(inverse->operands[0]);
    }
    if (const auto base = BaseOfPower(id, -0.5)) return TakeSpread(SpreadOf(*base));
    if (const Operation* quotient = BinaryOf(id, BinaryFunction::kDivide)) {
      if (!TakeComputedRoot(quotient->operands[1])) return false;
      return Number(quotient->operands[0]) == 1.0 || TakeStored("gamma", quotient->operands[0]);
    }
    const Operation* const product = BinaryOf(id, BinaryFunction::kMultiply);
    if (product == nullptr) return false;
    for (const std::size_t k : {std::size_t{0}, std::size_t{1}}) {
      if (TakeStored("gamma", product->operands[k])) return TakeInverse(product->operands[1 - k]);
    }
    return false;
  }

  // beta - mean * m, or -mean * m
  bool TakeOffset(ValueId id, ValueId m) {
    const Operation* const difference = BinaryOf(id, BinaryFunction::kSubtract);
    if (difference == nullptr) return false;
    const Operation* const moved = BinaryOf(difference->operands[1], BinaryFunction::kMultiply);
    if (moved == nullptr) return false;
    for (const std::size_t k : {std::size_t{0}, std::size_t{1}}) {
      if (SameConstant(moved->operands[k], m)) {
        return TakeStored("moving_mean", moved->operands[1 - k]) &&
               TakeStored("beta", difference->operands[0]);
      }
    }
    return false;
  }
  // One value, or under two shapes.
  bool SameConstant(ValueId a, ValueId b) const {
    Computing(a);
    Computing(b);
    return a == b;
  }

  // All operands on the path are wide in the same axis, which is one of the data's.
  bool FindAxis() {
    const network::PartialShape& data = uses_.network().value(found_.input).shape;
    if (!data) return false;
    std::optional<std::size_t> behind;
    for (const ValueId id : operands_) {
      const network::PartialShape& shape = uses_.network().value(id).shape;
      if (!shape || shape->empty() || shape->size() > data->size()) return false;
      const StoredTensor read{{}, *shape};
      if (!read.IsVector()) return false;
      const auto at = read.AxesBehind();
      if (at && behind && *at != *behind) return false;
      if (at) behind = at;
    }
    const std::uint64_t channels = found_.vectors.begin()->second.count();
    for (const auto& [name, vector] : found_.vectors) {
      if (vector.count() != channels) return false;
    }
    if (!behind || channels < 2) return false;
    if (*behind + 1 >= data->size()) return false;  // the examples' axis
    found_.axes_behind_channels = *behind;
    found_.axis = static_cast<std::int64_t>(data->size() - 1 - *behind);
    return true;
  }

  // What computes its operands, as far as that serves nothing else.
  void FindOwned() {
    std::set<OperationId> inside(found_.path.begin(), found_.path.end());
    std::vector<ValueId> pending = operands_;
    for (std::size_t next = 0; next < pending.size() && next < kMostBeside; ++next) {
      const auto producer = uses_.network().value(pending[next]).producer;
      if (!producer || inside.contains(*producer)) continue;
      const auto& readers = uses_.ReadersOf(pending[next]);
      const bool own = !uses_.IsOutput(pending[next]) &&
                       std::all_of(readers.begin(), readers.end(), [&](const OperandPlace& reader) {
                         return inside.contains(reader.operation);
                       });
      if (!own) {
        // Another operand may lead there by a longer way.
        if (deferred_.insert(*producer).second) {
          pending.push_back(pending[next]);
          continue;
        }
        found_.own = false;
        continue;
      }
      inside.insert(*producer);
      found_.beside.push_back(*producer);
      const auto& operands = uses_.network().operation(*producer).operands;
      for (const ValueId operand : operands) {
        if (operand != kNoValue) pending.push_back(operand);
      }
    }
    std::sort(found_.beside.begin(), found_.beside.end());
  }
  static constexpr std::size_t kMostBeside = 64;

  const ValueUses& uses_;
  const ElementsLookup& elements_;
  UnfusedBatchNorm found_;
  std::vector<ValueId> operands_;  // constants that the path reads
  std::set<OperationId> deferred_;
};

}  // namespace

std::optional<UnfusedBatchNorm> FindUnfusedBatchNorm(const ValueUses& uses,
                                                     const ElementsLookup& elements,
                                                     OperationId first) {
  return Finder(uses, elements).Find(first);
}

std::optional<UnfusedBatchNorm> FindScaledChannels(const ValueUses& uses,
                                                   const ElementsLookup& elements,
                                                   network::ValueId of, std::int64_t axis) {
  return Finder(uses, elements).FindScale(of, axis);
}

}  // namespace ckpt
