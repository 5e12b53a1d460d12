#include "verification/step_walk.h"

#include <algorithm>
#include <utility>

#include "ckpt/network/operation_table.h"
#include "verification/axis_orders.h"
#include "verification/first_difference.h"
#include "verification/network_reading.h"
#include "verification/rectifiers.h"

namespace ckpt {

using execution::Array;
using network::kNoValue;
using network::Operation;

namespace {

std::vector<network::ValueId> OutputsOf(const network::Network& b,
                                        const std::vector<PortPair>& outputs) {
  std::vector<network::ValueId> ids;
  for (const PortPair& pair : outputs) ids.push_back(b.outputs[pair.b].value);
  return ids;
}

Array ZerosLike(const Array& array) {
  return {array.shape, std::vector<double>(array.elements.size(), 0.0), {}};
}

class Walk {
 public:
  Walk(const Runnable& a, const ReferenceValues& of_a, const Runnable& b,
       const std::vector<PortPair>& outputs, const execution::Budget& budget)
      : a_(a, of_a, budget),
        b_(b, of_a, budget, OutputsOf(*b.network, outputs)),
        counterparts_(a_, b_),
        confirmation_(a_, b_, budget),
        first_difference_(a_, b_, confirmation_),
        budget_(budget) {}

  Result<WalkResult> Run(const GivenInputs& inputs, const std::vector<PortPair>& outputs) {
    for (const PortPair& pair : inputs.pairs) {
      WalkedValue& held = b_[b_.network().inputs[pair.b].value];
      held.value = std::make_shared<const Array>(inputs.b[pair.b]);
      held.twin = a_.network().inputs[pair.a].value;
      held.order = pair.order;
    }
    for (std::size_t i = 0; i < b_.network().operations.size(); ++i) {
      if (!b_.IsNeeded(i)) continue;
      CKPT_RETURN_IF_ERROR(Step(i));
      if (stopped_) return std::move(result_);
      b_.LetGo(i);
    }
    for (const PortPair& pair : outputs) {
      CKPT_RETURN_IF_ERROR(CheckOutput(pair));
      if (stopped_) break;
    }
    return std::move(result_);
  }

 private:
  Status Step(std::size_t index);
  void KeepConstants(std::size_t index, std::vector<Array> results);
  Status Judge(std::size_t index, std::size_t result, Array y,
               const std::vector<BoundedOperand>& operands);
  Result<std::optional<Array>> BoundFor(std::size_t index, std::size_t result, const Array& y,
                                        const std::vector<BoundedOperand>& operands) const;
  Result<bool> LevelsOutAFault(std::size_t index);
  void Note(std::size_t index, network::ValueId twin, double ratio, int factor);
  Status Accept(std::size_t index, network::ValueId id, const CounterpartMatch& match);
  Status Trace(std::size_t index, std::size_t result);
  Status CheckOutput(const PortPair& pair);
  Result<bool> IsOutput(const WalkedValue& mine, network::ValueId theirs);

  void Stop(std::string why) {
    stopped_ = true;
    result_.undecided = std::move(why);
  }

  ReferenceSide a_;
  WalkedValues b_;
  Counterparts counterparts_;
  Confirmation confirmation_;
  FirstDifference first_difference_;
  const execution::Budget& budget_;
  WalkResult result_;
  bool stopped_ = false;
};

Status Walk::Step(std::size_t index) {
  const Operation& op = b_.operation(index);
  if (const auto* unknown = std::get_if<network::Unknown>(&op.computation)) {
    Stop("\"" + b_.LayerOf(index) + "\" of B (" + unknown->what +
         ") is not understood: " + unknown->why);
    return {};
  }
  std::vector<BoundedOperand> bounded;
  for (const network::ValueId operand : op.operands) {
    if (operand == kNoValue) {
      bounded.emplace_back();
      continue;
    }
    CKPT_RETURN_IF_ERROR(b_.Fetch(operand));
    const WalkedValue& held = b_[operand];
    bounded.push_back(
        {held.value.get(), held.bound ? &*held.bound : nullptr, held.constant, held.roundoff});
  }
  CKPT_ASSIGN_OR_RETURN(
      std::vector<Array> results,
      execution::Evaluate(op.computation, b_.OperandsOf(index), op.results.size(), budget_));
  if (b_.IsConstant(index)) {
    KeepConstants(index, std::move(results));
    return {};
  }
  for (std::size_t i = 0; i < op.results.size(); ++i) {
    if (op.results[i] == kNoValue) continue;
    CKPT_RETURN_IF_ERROR(Judge(index, i, std::move(results[i]), bounded));
    if (stopped_) return {};
  }
  return {};
}

// A computed constant is as exact as what it is computed of.
void Walk::KeepConstants(std::size_t index, std::vector<Array> results) {
  const Operation& op = b_.operation(index);
  for (std::size_t i = 0; i < op.results.size(); ++i) {
    if (op.results[i] == kNoValue) continue;
    WalkedValue& held = b_[op.results[i]];
    held.value = std::make_shared<const Array>(std::move(results[i]));
    held.constant = true;
    held.roundoff = b_.LargestRoundoff(index);
  }
}

Result<std::optional<Array>> Walk::BoundFor(std::size_t index, std::size_t result, const Array& y,
                                            const std::vector<BoundedOperand>& operands) const {
  const Operation& op = b_.operation(index);
  std::optional<Array> bound;
  if (y.kind != network::ElementKind::kReal) return bound;  // sizes and conditions are exact
  const ResultPlace place{result, op.results.size()};
  CKPT_ASSIGN_OR_RETURN(bound, BoundOf(op.computation, operands, y, place, budget_));
  if (bound && bound->elements.size() != y.elements.size()) {
    return Fail(ErrorCode::kInternal,
                "a bound of another shape than its value, in \"" + b_.LayerOf(index) + "\"");
  }
  return bound;
}

Status Walk::Judge(std::size_t index, std::size_t result, Array y,
                   const std::vector<BoundedOperand>& operands) {
  const Operation& op = b_.operation(index);
  const bool is_product =
      KindOf(op.computation) == StepKind::kProduct &&
      std::any_of(operands.begin(), operands.end(),
                  [](const BoundedOperand& operand) { return operand.constant; });
  const int products = b_.ProductsBefore(index) + (is_product ? 1 : 0);
  CKPT_ASSIGN_OR_RETURN(std::optional<Array> bound, BoundFor(index, result, y, operands));
  CKPT_ASSIGN_OR_RETURN(stopped_, LevelsOutAFault(index));
  if (stopped_) return {};
  const network::ValueId id = op.results[result];
  b_[id].value = std::make_shared<const Array>(std::move(y));
  // A bound that went through a second product would be wide enough for anything.
  const bool any_pending = b_.AnyPending(index);
  if (any_pending && products > 1) return Trace(index, result);
  CKPT_ASSIGN_OR_RETURN(const std::optional<CounterpartMatch> match,
                        confirmation_.Find(index, id, bound ? &*bound : nullptr));
  if (match) return Accept(index, id, *match);
  if (bound && is_product) {
    CKPT_ASSIGN_OR_RETURN(const bool hides, confirmation_.HidesAConstant(index, *bound));
    if (hides) return Trace(index, result);
  }
  // Without a rule the constants count as exact, so that nothing but equal values is confirmed.
  if (!bound && !any_pending) bound = ZerosLike(*b_[id].value);
  if (!bound) return Trace(index, result);
  const bool rounded = LargestOf(*bound) > 0;
  if (rounded) b_[id].bound = std::move(bound);
  b_[id].products = rounded ? products : 0;
  first_difference_.Note(index, result);
  return {};
}

// A function that is flat somewhere makes a fault before it small, and its bound does not become
// small with it. Where A has the same function behind the counterpart of what this one reads,
// these two must agree. Functions that pass a positive factor on do not ask for that.
Result<bool> Walk::LevelsOutAFault(std::size_t index) {
  const Operation& op = b_.operation(index);
  const auto* unary = std::get_if<network::Unary>(&op.computation);
  if (unary == nullptr || PassesFactors(*unary)) return false;
  const WalkedValue& pending = b_[op.operands[0]];
  const auto& producer = b_.network().value(op.operands[0]).producer;
  if (!pending.bound || !producer) return false;
  const auto twin = counterparts_.Of(producer->index, pending.value->shape);
  if (!twin) return false;
  const auto there = a_.SameOver({a_.Alias(*twin)}, op.computation, b_.LayerOf(index));
  if (!there) return false;
  const network::Operation& of_a = a_.network().operation(*a_.network().value(*there).producer);
  if (std::get<network::Unary>(of_a.computation).function != unary->function) return false;
  const auto& results = b_.operation(producer->index).results;
  const auto which = std::find(results.begin(), results.end(), op.operands[0]);
  CKPT_ASSIGN_OR_RETURN(
      result_.first_beyond,
      first_difference_.At(producer->index, static_cast<std::size_t>(which - results.begin())));
  return result_.first_beyond.has_value();
}

// The value takes the place that its twin has in A.
void Walk::Note(std::size_t index, network::ValueId twin, double ratio, int factor) {
  if (result_.steps.size() == kMostStepRatios) return;
  result_.steps.push_back({LayerOf(a_.network(), twin), b_.LayerOf(index),
                           std::string(Name(b_.operation(index).computation)), ratio, factor});
}

Status Walk::Accept(std::size_t index, network::ValueId id, const CounterpartMatch& match) {
  ++result_.compared;
  const Comparison& found = match.comparison;
  const bool moved = found.largest > 0 && found.bound > 0;
  Note(index, match.twin, moved ? found.ratio : 0, moved ? match.factor : 0);
  // Of steps on the wider bound the one nearest to it; ratios of different bounds are no order.
  const bool worse =
      moved && match.factor >= result_.factor &&
      (!result_.worst || match.factor > result_.factor || found.ratio > result_.worst->ratio);
  if (moved) result_.factor = std::max(result_.factor, match.factor);
  if (worse) {
    CKPT_ASSIGN_OR_RETURN(result_.worst,
                          DescribedStep(a_, b_, index, id, match.twin, match.order, found));
  }
  if (!result_.unseen) result_.unseen = UnseenDifference(a_, b_, index, match.twin);
  CKPT_ASSIGN_OR_RETURN(const SharedArray twin, a_.values().Get(match.twin));
  WalkedValue& held = b_[id];
  SharedArray expected = Ordered(twin, match.order);
  if (expected->shape != held.value->shape) {
    Array reshaped = *expected;
    reshaped.shape = held.value->shape;
    expected = std::make_shared<const Array>(std::move(reshaped));
  }
  held.twin = match.twin;
  held.order = match.order;
  held.value = std::move(expected);
  held.bound.reset();
  held.products = 0;
  return {};
}

// Nothing of A's is what this step yields, and no bound can be carried on. The first step since
// the values that were confirmed whose counterpart yields something else is where they part.
Status Walk::Trace(std::size_t index, std::size_t result) {
  first_difference_.Note(index, result);
  CKPT_ASSIGN_OR_RETURN(result_.first_beyond, first_difference_.Before(index));
  stopped_ = true;
  if (result_.first_beyond) return {};
  Stop("no step of A corresponds to \"" + b_.LayerOf(index) + "\" of B (" +
       std::string(Name(b_.operation(index).computation)) + ")");
  return {};
}

Result<bool> Walk::IsOutput(const WalkedValue& mine, network::ValueId theirs) {
  const Array* bound = mine.bound ? &*mine.bound : nullptr;
  CKPT_ASSIGN_OR_RETURN(const SharedArray value, a_.values().Get(theirs));
  for (const network::Sizes& order : a_.OrdersTo(theirs, mine.value->shape)) {
    const SharedArray expected = Ordered(value, order);
    if (Compare(*expected, *mine.value, bound, 1).ratio <= 1) return true;
    CKPT_ASSIGN_OR_RETURN(const auto wide, a_.WideBound(theirs, order, bound));
    if (!wide || !(Compare(*expected, *mine.value, &*wide, 5).ratio <= 1)) continue;
    if (result_.factor < 5) result_.worst.reset();
    result_.factor = 5;
    return true;
  }
  return false;
}

// An output of B that is pending, or was not found among A's values, must be A's output.
Status Walk::CheckOutput(const PortPair& pair) {
  const network::ValueId mine = b_.network().outputs[pair.b].value,
                         theirs = a_.network().outputs[pair.a].value;
  const WalkedValue& held = b_[mine];
  if (held.twin && a_.Alias(*held.twin) == a_.Alias(theirs)) return {};
  CKPT_RETURN_IF_ERROR(b_.Fetch(mine));
  CKPT_ASSIGN_OR_RETURN(const bool is_output, IsOutput(held, theirs));
  if (is_output) return {};
  const auto& producer = b_.network().value(mine).producer;
  if (!producer || held.twin) {
    Stop("the output \"" + b_.network().outputs[pair.b].name + "\" of B is another value than \"" +
         a_.network().outputs[pair.a].name + "\" of A");
    return {};
  }
  CKPT_RETURN_IF_ERROR(Trace(producer->index, 0));
  if (result_.first_beyond) return {};
  const auto orders = a_.OrdersTo(theirs, held.value->shape);
  if (orders.empty()) return {};
  CKPT_ASSIGN_OR_RETURN(const SharedArray value, a_.values().Get(theirs));
  const Comparison found =
      Compare(*Ordered(value, orders[0]), *held.value, held.bound ? &*held.bound : nullptr, 5);
  CKPT_ASSIGN_OR_RETURN(result_.first_beyond,
                        DescribedStep(a_, b_, producer->index, mine, theirs, orders[0], found));
  result_.undecided.clear();
  return {};
}

}  // namespace

Result<WalkResult> WalkSteps(const Runnable& a, const ReferenceValues& of_a, const Runnable& b,
                             const GivenInputs& inputs, const std::vector<PortPair>& outputs,
                             const execution::Budget& budget) {
  return Walk(a, of_a, b, outputs, budget).Run(inputs, outputs);
}

}  // namespace ckpt
