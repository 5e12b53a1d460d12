#include "verification/step_walk.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ckpt/network/operation_table.h"
#include "verification/axis_orders.h"
#include "verification/comparison.h"
#include "verification/network_reading.h"
#include "verification/reference_side.h"

namespace ckpt {

using execution::Array;
using network::kNoValue;
using network::Network;
using network::Operation;
using network::Sizes;

namespace {

// Values of A that one value of B is held against.
constexpr std::size_t kMostCandidates = 8;

// A value of B on the walk.
struct Held {
  std::optional<Array> value = {};
  std::optional<Array> bound = {};            // of a pending one
  std::optional<network::ValueId> twin = {};  // the value of A that it is, up to the order of axes
  Sizes order = {};                           // of the twin's axes
  bool constant = false;
  double roundoff = 0;
  int products = 0;  // since the last value that was confirmed
};

class Walk {
 public:
  Walk(const Runnable& a, const RecordedValues& of_a, const Runnable& b,
       const execution::Budget& budget)
      : a_(a, of_a, budget),
        b_(*b.network),
        weights_b_(*b.weights),
        budget_(budget),
        held_(b_.values.size()),
        readers_(b_.values.size()),
        readers_left_(b_.values.size(), 0) {}

  Result<WalkResult> Run(const GivenInputs& inputs, const std::vector<PortPair>& outputs) {
    FindNeeded(outputs);
    for (const PortPair& pair : inputs.pairs) {
      Held& held = held_[b_.inputs[pair.b].value.index];
      held.value = inputs.b[pair.b];
      held.twin = a_.network().inputs[pair.a].value;
      held.order = pair.order;
    }
    for (std::size_t i = 0; i < b_.operations.size(); ++i) {
      if (!needed_[i]) continue;
      CKPT_RETURN_IF_ERROR(Step(i));
      if (stopped_) return std::move(result_);
      LetGo(b_.operations[i]);
    }
    for (const PortPair& pair : outputs) {
      CKPT_RETURN_IF_ERROR(CheckOutput(pair));
      if (stopped_) break;
    }
    return std::move(result_);
  }

 private:
  void FindNeeded(const std::vector<PortPair>& outputs) {
    std::vector<network::ValueId> wanted;
    for (const PortPair& pair : outputs) wanted.push_back(b_.outputs[pair.b].value);
    needed_ = NeededFor(b_, wanted);
    for (const network::ValueId id : wanted) ++readers_left_[id.index];
    for (std::uint32_t i = 0; i < b_.operations.size(); ++i) {
      for (const network::ValueId operand : b_.operations[i].operands) {
        if (operand == kNoValue) continue;
        readers_[operand.index].push_back(i);
        if (needed_[i]) ++readers_left_[operand.index];
      }
    }
  }

  void LetGo(const Operation& op) {
    for (const network::ValueId operand : op.operands) {
      if (operand == kNoValue || --readers_left_[operand.index] > 0) continue;
      Held& held = held_[operand.index];
      // What a fault is traced back over stays.
      if (held.twin || held.constant) held.value.reset();
      held.bound.reset();
    }
  }

  Status Fetch(network::ValueId id) {
    Held& held = held_[id.index];
    if (held.value) return {};
    const network::Value& value = b_.value(id);
    if (held.twin) {
      held.value = Ordered(a_.values()[*held.twin], held.order);
      return {};
    }
    if (!value.constant) {
      return Fail(ErrorCode::kInternal, "a value of the network is read before it is made");
    }
    CKPT_ASSIGN_OR_RETURN(held.value,
                          execution::ReadConstant(*value.constant, weights_b_, budget_));
    held.constant = true;
    held.roundoff = RoundoffOf(*value.constant, weights_b_);
    return {};
  }

  std::string LayerOfB(const Operation& op) const { return b_.layers[op.layer].name; }

  Status Step(std::size_t index) {
    const Operation& op = b_.operations[index];
    if (const auto* unknown = std::get_if<network::Unknown>(&op.computation)) {
      Stop("\"" + LayerOfB(op) + "\" of B (" + unknown->what +
           ") is not understood: " + unknown->why);
      return {};
    }
    for (const network::ValueId operand : op.operands) {
      if (operand != kNoValue) CKPT_RETURN_IF_ERROR(Fetch(operand));
    }
    std::vector<const Array*> values;
    std::vector<BoundedOperand> bounded;
    for (const network::ValueId operand : op.operands) {
      const Held* held = operand == kNoValue ? nullptr : &held_[operand.index];
      values.push_back(held == nullptr ? nullptr : &*held->value);
      bounded.push_back(held == nullptr
                            ? BoundedOperand{}
                            : BoundedOperand{&*held->value, held->bound ? &*held->bound : nullptr,
                                             held->constant, held->roundoff});
    }
    CKPT_ASSIGN_OR_RETURN(std::vector<Array> results,
                          execution::Evaluate(op.computation, values, op.results.size(), budget_));
    if (IsConstant(op)) return KeepConstants(op, std::move(results));
    for (std::size_t i = 0; i < op.results.size(); ++i) {
      if (op.results[i] == kNoValue) continue;
      CKPT_RETURN_IF_ERROR(Judge(index, i, std::move(results[i]), bounded));
      if (stopped_) return {};
    }
    return {};
  }

  bool IsConstant(const Operation& op) const {
    return std::all_of(op.operands.begin(), op.operands.end(), [&](network::ValueId id) {
      return id == kNoValue || held_[id.index].constant;
    });
  }

  // A computed constant is as exact as what it is computed of.
  Status KeepConstants(const Operation& op, std::vector<Array> results) {
    const double roundoff = LargestRoundoff(op);
    for (std::size_t i = 0; i < op.results.size(); ++i) {
      if (op.results[i] == kNoValue) continue;
      Held& held = held_[op.results[i].index];
      held.value = std::move(results[i]);
      held.constant = true;
      held.roundoff = roundoff;
    }
    return {};
  }

  // Branches that are joined or added hold as many as the longest of them.
  int ProductsBefore(const Operation& op) const {
    int products = 0;
    for (const network::ValueId operand : op.operands) {
      if (operand != kNoValue) products = std::max(products, held_[operand.index].products);
    }
    return products;
  }
  bool AnyPending(const Operation& op) const {
    return std::any_of(op.operands.begin(), op.operands.end(), [&](network::ValueId id) {
      return id != kNoValue && held_[id.index].bound.has_value();
    });
  }

  Status Judge(std::size_t index, std::size_t result, Array y,
               const std::vector<BoundedOperand>& operands) {
    const Operation& op = b_.operations[index];
    const StepKind kind = KindOf(op.computation);
    const bool is_product = kind == StepKind::kProduct &&
                            std::any_of(operands.begin(), operands.end(),
                                        [](const BoundedOperand& o) { return o.constant; });
    const int products = ProductsBefore(op) + (is_product ? 1 : 0);
    std::optional<Array> bound;
    if (y.kind != network::ElementKind::kReal) {
      // Sizes, indices and conditions are exact.
    } else if (result == 0) {
      CKPT_ASSIGN_OR_RETURN(bound, BoundOf(op.computation, operands, y, budget_));
    } else if (!AnyPending(op) && kind == StepKind::kMoves) {
      bound = Array{y.shape, std::vector<double>(y.elements.size(), 0.0), {}};
    }
    if (bound && bound->elements.size() != y.elements.size()) {
      return Fail(ErrorCode::kInternal,
                  "a bound of another shape than its value, in \"" + LayerOfB(op) + "\"");
    }
    if (LevelsOutAFault(op)) {
      stopped_ = true;
      return {};
    }
    Held& held = held_[op.results[result].index];
    held.value = std::move(y);
    // A bound that went through a second product would be wide enough for anything.
    if (AnyPending(op) && products > 1) return Trace(index, result);
    if (Confirm(index, op.results[result], bound ? &*bound : nullptr)) return {};
    if (bound && is_product && HidesAConstant(index, *bound)) return Trace(index, result);
    // Without a rule the constants count as exact, so that nothing but equal values is confirmed.
    if (!bound && !AnyPending(op)) {
      bound = Array{held.value->shape, std::vector<double>(held.value->elements.size(), 0.0), {}};
    }
    if (!bound) return Trace(index, result);
    const bool rounded = LargestOf(*bound) > 0;
    if (rounded) held.bound = std::move(bound);
    held.products = rounded ? products : 0;
    trace_.push_back({index, result});
    return {};
  }

  // A function that is flat somewhere makes a fault before it small, and its bound does not become
  // small with it. Where A has the same function behind the counterpart of what this one reads,
  // these two must agree. Functions that pass a positive factor on do not ask for that: a fold may
  // move one through them.
  bool LevelsOutAFault(const Operation& op) {
    const auto* unary = std::get_if<network::Unary>(&op.computation);
    if (unary == nullptr || PassesFactors(*unary)) return false;
    const Held& pending = held_[op.operands[0].index];
    const auto& producer = b_.value(op.operands[0]).producer;
    if (!pending.bound || !producer) return false;
    const auto twin = CounterpartOf(producer->index, *pending.value);
    if (!twin || !a_.SameOver({a_.Alias(*twin)}, op.computation, LayerOfB(op))) return false;
    const auto& results = b_.operations[producer->index].results;
    const auto which = std::find(results.begin(), results.end(), op.operands[0]);
    return Differs(producer->index, static_cast<std::size_t>(which - results.begin()));
  }
  static bool PassesFactors(const network::Unary& unary) {
    return unary.function == network::UnaryFunction::kIdentity ||
           unary.function == network::UnaryFunction::kRelu ||
           unary.function == network::UnaryFunction::kLeakyRelu ||
           unary.function == network::UnaryFunction::kNegate ||
           unary.function == network::UnaryFunction::kAbs ||
           unary.function == network::UnaryFunction::kLinear;
  }

  // Is the value, within the bound, one of A's? If so it takes that one's place.
  // By structure, then by content: that looks at every value of the size.
  bool Confirm(std::size_t index, network::ValueId id, const Array* bound) {
    const auto twin = TwinOf(index);
    if (twin && ConfirmAs(*twin, index, id, bound)) return true;
    for (const network::ValueId like : a_.values().Like(*held_[id.index].value, kMostCandidates)) {
      if (twin != like && ConfirmAs(like, index, id, bound)) return true;
    }
    return false;
  }
  bool ConfirmAs(network::ValueId candidate, std::size_t index, network::ValueId id,
                 const Array* bound) {
    const Array& value = *held_[id.index].value;
    for (const Sizes& order : a_.OrdersTo(candidate, value.shape)) {
      const Array expected = Ordered(a_.values()[candidate], order);
      Comparison found = Compare(expected, value, bound, 1);
      int factor = found.largest == 0 ? 0 : 1;
      if (!(found.ratio <= 1)) {
        const auto wide = a_.WideBound(candidate, order, bound);
        if (!wide) continue;
        found = Compare(expected, value, &*wide, 5);
        factor = 5;
        if (!(found.ratio <= 1) || !ConstantPartsAgree(index, candidate, order)) continue;
      }
      Accept(index, id, candidate, order, found, factor);
      return true;
    }
    return false;
  }

  // The kernel's part of a wide bound may hide a wrong constant: where the product reads zeros
  // there is none. True also where the steps are no product and its constants.
  bool ConstantPartsAgree(std::size_t index, network::ValueId candidate, const Sizes& order) {
    const Operation& op = b_.operations[index];
    if (KindOf(op.computation) != StepKind::kProduct) return true;
    const auto part = a_.ConstantPartOf(candidate);
    if (!part) return true;
    for (const network::ValueId operand : op.operands) {
      if (operand != kNoValue && !Fetch(operand)) return true;
    }
    std::vector<Array> zeros(op.operands.size());
    std::vector<const Array*> operands(op.operands.size(), nullptr);
    for (std::size_t i = 0; i < op.operands.size(); ++i) {
      if (op.operands[i] == kNoValue) continue;
      const Held& held = held_[op.operands[i].index];
      operands[i] = &*held.value;
      if (held.constant || held.value->kind != network::ElementKind::kReal) continue;
      zeros[i] = *held.value;
      std::fill(zeros[i].elements.begin(), zeros[i].elements.end(), 0.0);
      operands[i] = &zeros[i];
    }
    const auto mine = execution::Evaluate(op.computation, operands, 1, budget_);
    if (!mine) return true;
    Array bound = Ordered(part->bound, order);
    const double u = LargestRoundoff(op);
    for (std::size_t i = 0; i < bound.elements.size(); ++i) {
      bound.elements[i] += u * std::abs((*mine)[0].elements[i]);
    }
    return Compare(Ordered(part->value, order), (*mine)[0], &bound, 5).ratio <= 1;
  }
  // Within the wide bound of its counterpart, and only its constant part is not.
  bool HidesAConstant(std::size_t index, const Array& bound) {
    const Array& y = *held_[b_.operations[index].results[0].index].value;
    const auto twin = CounterpartOf(index, y);
    if (!twin) return false;
    for (const Sizes& order : a_.OrdersTo(*twin, y.shape)) {
      const auto wide = a_.WideBound(*twin, order, &bound);
      if (!wide || !(Compare(Ordered(a_.values()[*twin], order), y, &*wide, 5).ratio <= 1))
        continue;
      return !ConstantPartsAgree(index, *twin, order);
    }
    return false;
  }

  double LargestRoundoff(const Operation& op) const {
    double roundoff = 0;
    for (const network::ValueId operand : op.operands) {
      if (operand != kNoValue) roundoff = std::max(roundoff, held_[operand.index].roundoff);
    }
    return roundoff;
  }

  void Accept(std::size_t index, network::ValueId id, network::ValueId twin, const Sizes& order,
              const Comparison& found, int factor) {
    Held& held = held_[id.index];
    ++result_.compared;
    const bool moved = found.largest > 0 && found.bound > 0;
    Note(index, twin, moved ? found.ratio : 0, moved ? factor : 0);
    if (moved) result_.factor = std::max(result_.factor, factor);
    if (moved && (!result_.worst || found.ratio > result_.worst->ratio)) {
      result_.worst = Described(index, id, twin, order, found);
    }
    LookBehindValues(index, id, twin);
    held.twin = twin;
    held.order = order;
    Array expected = Ordered(a_.values()[twin], order);
    expected.shape = held.value->shape;
    held.value = std::move(expected);
    held.bound.reset();
    held.products = 0;
  }

  void Note(std::size_t index, network::ValueId twin, double ratio, int factor) {
    if (result_.steps.size() == kMostStepRatios) return;
    const Operation& op = b_.operations[index];
    result_.steps.push_back({LayerOf(a_.network(), twin), LayerOfB(op),
                             std::string(Name(op.computation)), ratio, factor});
  }

  // Rectifiers that are cut off elsewhere yield the same as long as no value gets there.
  void LookBehindValues(std::size_t index, network::ValueId id, network::ValueId twin) {
    const auto* mine = std::get_if<network::Unary>(&b_.operations[index].computation);
    const network::Unary* theirs = a_.LoneFunctionOf(twin);
    if (mine == nullptr || theirs == nullptr || result_.unseen || !IsRectifier(*mine) ||
        !IsRectifier(*theirs) || !IsLone(index, id)) {
      return;
    }
    Array grid{{0}, {}, {}};
    for (const double size : {0.0, 1e-3, 0.1, 0.5, 0.9, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 20.0,
                              50.0, mine->a, mine->b, theirs->a, theirs->b}) {
      for (const double at : {size, -size, size + 0.1, size - 0.1}) {
        if (std::isfinite(at) && std::abs(at) < 100) grid.elements.push_back(at);
      }
    }
    grid.shape[0] = static_cast<std::int64_t>(grid.elements.size());
    const Array* operands[] = {&grid};
    const auto here = execution::Evaluate(*mine, operands, 1, budget_);
    const auto there = execution::Evaluate(*theirs, operands, 1, budget_);
    if (!here || !there) return;
    for (std::size_t i = 0; i < grid.elements.size(); ++i) {
      const double y = (*here)[0].elements[i], a = (*there)[0].elements[i];
      if (!(std::abs(y - a) > 1e-5 * std::max(1.0, std::abs(a)))) continue;
      StepDifference step;
      step.layer_a = LayerOf(a_.network(), twin);
      step.layer_b = LayerOfB(b_.operations[index]);
      step.operation = std::string(Name(mine->function));
      step.value_a = a;
      step.value_b = y;
      step.ratio = HUGE_VAL;
      result_.unseen = std::move(step);
      return;
    }
  }

  // Functions that are constant or linear where values may never lie.
  static bool IsRectifier(const network::Unary& unary) {
    return unary.function == network::UnaryFunction::kRelu ||
           unary.function == network::UnaryFunction::kClip ||
           unary.function == network::UnaryFunction::kThresholded ||
           unary.function == network::UnaryFunction::kThresholdedLeaky;
  }

  // Neither behind nor before another function of one value.
  bool IsLone(std::size_t index, network::ValueId id) const {
    const auto is_function = [](const Operation& op) {
      const auto* unary = std::get_if<network::Unary>(&op.computation);
      return unary != nullptr && unary->function != network::UnaryFunction::kIdentity;
    };
    const auto& before = b_.value(b_.operations[index].operands[0]).producer;
    if (before && is_function(b_.operation(*before))) return false;
    const std::vector<std::uint32_t>& readers = readers_[id.index];
    return std::none_of(readers.begin(), readers.end(),
                        [&](std::uint32_t reader) { return is_function(b_.operations[reader]); });
  }

  StepDifference Described(std::size_t index, network::ValueId id, network::ValueId twin,
                           const Sizes& order, const Comparison& found) const {
    const Operation& op = b_.operations[index];
    const Array expected = Ordered(a_.values()[twin], order);
    StepDifference step;
    step.layer_a = LayerOf(a_.network(), twin);
    step.layer_b = LayerOfB(op);
    step.ratio = found.ratio;
    step.operation = std::string(Name(op.computation));
    if (expected.elements.empty()) return step;
    const auto place = PlaceOf(expected.shape, found.element);
    step.place = place;
    if (!order.empty() && place.size() == order.size()) {
      for (std::size_t i = 0; i < order.size(); ++i) {
        step.place[static_cast<std::size_t>(order[i])] = place[i];
      }
    }
    if (place.size() > 1) step.channel = ChannelOf(op, place);
    step.value_a = expected.elements[found.element];
    step.value_b = held_[id.index].value->elements[found.element];
    step.bound = found.bound;
    step.ratio = found.ratio;
    return step;
  }

  // By the operation's own channel axis; of products, the last.
  static std::optional<std::int64_t> ChannelOf(const Operation& op,
                                               const std::vector<std::int64_t>& place) {
    std::int64_t axis = -1;
    if (const auto* conv = std::get_if<network::Convolution>(&op.computation)) {
      axis = conv->channel_axis;
    } else if (const auto* transposed =
                   std::get_if<network::TransposedConvolution>(&op.computation)) {
      axis = transposed->channel_axis;
    } else if (const auto* norm = std::get_if<network::BatchNormalization>(&op.computation)) {
      axis = norm->axis;
    } else if (const auto* pool = std::get_if<network::Pool>(&op.computation)) {
      axis = pool->channel_axis;
    }
    const auto rank = static_cast<std::int64_t>(place.size());
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank) return std::nullopt;
    return place[static_cast<std::size_t>(axis)];
  }

  // What A's own operation of this kind yields of the same values.
  std::optional<network::ValueId> TwinOf(std::size_t index) const {
    const Operation& op = b_.operations[index];
    std::vector<network::ValueId> wanted;
    for (const network::ValueId operand : op.operands) {
      if (operand == kNoValue || held_[operand.index].constant) continue;
      if (!held_[operand.index].twin) return std::nullopt;
      wanted.push_back(a_.Alias(*held_[operand.index].twin));
    }
    return a_.SameOver(wanted, op.computation, LayerOfB(op));
  }

  void Stop(std::string why) {
    stopped_ = true;
    result_.undecided = std::move(why);
  }

  // Nothing of A's is what this step yields, and no bound can be carried on. The first step since
  // the values that were confirmed whose counterpart yields something else is where they part.
  Status Trace(std::size_t index, std::size_t result) {
    trace_.push_back({index, result});
    std::set<std::size_t> behind;
    Ancestors(index, behind);
    for (const auto& [step, which] : trace_) {
      if (!behind.contains(step)) continue;
      if (Differs(step, which)) {
        stopped_ = true;
        return {};
      }
    }
    const Operation& op = b_.operations[index];
    Stop("no step of A corresponds to \"" + LayerOfB(op) + "\" of B (" +
         std::string(Name(op.computation)) + ")");
    return {};
  }

  void Ancestors(std::size_t index, std::set<std::size_t>& behind) const {
    std::vector<std::size_t> open = {index};
    while (!open.empty()) {
      const std::size_t at = open.back();
      open.pop_back();
      if (!behind.insert(at).second) continue;
      for (const network::ValueId operand : b_.operations[at].operands) {
        if (operand == kNoValue || held_[operand.index].twin || held_[operand.index].constant)
          continue;
        if (const auto& producer = b_.value(operand).producer) open.push_back(producer->index);
      }
    }
  }

  // Does A's counterpart of the step yield something else of the same values?
  bool Differs(std::size_t index, std::size_t which) {
    const network::ValueId id = b_.operations[index].results[which];
    Held& held = held_[id.index];
    if (!held.value || held.twin) return false;
    const auto twin = CounterpartOf(index, *held.value);
    if (!twin) return false;
    const Array* bound = held.bound ? &*held.bound : nullptr;
    std::optional<std::pair<Sizes, Comparison>> closest;
    for (const Sizes& order : a_.OrdersTo(*twin, held.value->shape)) {
      const auto wide = a_.WideBound(*twin, order, bound);
      const Comparison found = Compare(Ordered(a_.values()[*twin], order), *held.value,
                                       wide ? &*wide : bound, wide ? 5 : 1);
      if (!closest || found.ratio < closest->second.ratio) closest.emplace(order, found);
    }
    if (!closest) {
      const Comparison none{HUGE_VAL, 0, 0, HUGE_VAL};
      result_.first_beyond = Described(index, id, *twin, {}, none);
      return true;
    }
    if (closest->second.ratio <= 1) {
      if (ConstantPartsAgree(index, *twin, closest->first)) return false;
      closest->second = Compare(Ordered(a_.values()[*twin], closest->first), *held.value, bound, 1);
    }
    result_.first_beyond = Described(index, id, *twin, closest->first, closest->second);
    return true;
  }

  // A's operation of the same kind over the same values; else, for the end of a span of affine
  // steps, the end of A's span.
  std::optional<network::ValueId> CounterpartOf(std::size_t index, const Array& y) const {
    if (const auto twin = TwinOf(index)) {
      if (!IsSpanOfOne(*twin, index)) return EndOfSpan(index, y);
      return twin;
    }
    return EndOfSpan(index, y);
  }

  // A's product may go on with a batch norm where B's has taken it in: then the ends correspond.
  bool IsSpanOfOne(network::ValueId twin, std::size_t index) const {
    if (KindOf(b_.operations[index].computation) != StepKind::kProduct) return true;
    return a_.GoesOn(twin) == AffineReaderInB(index);
  }

  bool AffineReaderInB(std::size_t index) const {
    const network::ValueId id = b_.operations[index].results[0];
    const std::vector<std::uint32_t>& readers = readers_[id.index];
    if (readers.empty()) return false;
    const Operation& op = b_.operations[readers.front()];
    return IsAffineStep(op) &&
           std::all_of(op.operands.begin(), op.operands.end(), [&](network::ValueId operand) {
             return operand == kNoValue || operand == id || b_.value(operand).constant;
           });
  }

  // The end of the span of affine steps that begins with the product over the same values.
  std::optional<network::ValueId> EndOfSpan(std::size_t index, const Array& y) const {
    if (AffineReaderInB(index)) return std::nullopt;  // B's span goes on
    const auto start = SpanStart(index);
    if (!start) return std::nullopt;
    const auto twin = TwinOf(*start);
    if (!twin) return std::nullopt;
    const network::ValueId end = a_.EndOfAffineSteps(*twin);
    if (!a_.values().Has(end) || a_.OrdersTo(end, y.shape).empty()) return std::nullopt;
    return end;
  }

  // The product that the span of affine steps up to this one begins with.
  std::optional<std::size_t> SpanStart(std::size_t index) const {
    std::size_t at = index;
    for (int steps = 0; steps < 16; ++steps) {
      const Operation& op = b_.operations[at];
      if (KindOf(op.computation) == StepKind::kProduct) return at;
      if (!IsAffineStep(op)) return std::nullopt;
      std::optional<std::size_t> before;
      for (const network::ValueId operand : op.operands) {
        if (operand == kNoValue || held_[operand.index].constant) continue;
        const auto& producer = b_.value(operand).producer;
        if (!producer || before) return std::nullopt;
        before = producer->index;
      }
      if (!before) return std::nullopt;
      at = *before;
    }
    return std::nullopt;
  }

  // An output of B that is pending, or was not found among A's values, must be A's output.
  Status CheckOutput(const PortPair& pair) {
    const network::ValueId mine = b_.outputs[pair.b].value,
                           theirs = a_.network().outputs[pair.a].value;
    Held& held = held_[mine.index];
    if (held.twin && a_.Alias(*held.twin) == a_.Alias(theirs)) return {};
    CKPT_RETURN_IF_ERROR(Fetch(mine));
    const auto& producer = b_.value(mine).producer;
    const Array* bound = held.bound ? &*held.bound : nullptr;
    for (const Sizes& order : a_.OrdersTo(theirs, held.value->shape)) {
      const auto wide = a_.WideBound(theirs, order, bound);
      const Array expected = Ordered(a_.values()[theirs], order);
      Comparison found = Compare(expected, *held.value, bound, 1);
      if (found.ratio <= 1) return {};
      if (wide && Compare(expected, *held.value, &*wide, 5).ratio <= 1) {
        result_.factor = 5;
        return {};
      }
    }
    if (!producer || held.twin) {
      Stop("the output \"" + b_.outputs[pair.b].name + "\" of B is another value than \"" +
           a_.network().outputs[pair.a].name + "\" of A");
      return {};
    }
    CKPT_RETURN_IF_ERROR(Trace(producer->index, 0));
    if (!result_.first_beyond) {
      for (const Sizes& order : a_.OrdersTo(theirs, held.value->shape)) {
        const Comparison found =
            Compare(Ordered(a_.values()[theirs], order), *held.value, bound, 5);
        result_.first_beyond = Described(producer->index, mine, theirs, order, found);
        result_.undecided.clear();
        break;
      }
    }
    return {};
  }

  ReferenceSide a_;
  const Network& b_;
  const Checkpoint& weights_b_;
  const execution::Budget& budget_;
  std::vector<Held> held_;                                  // by value of B
  std::vector<std::vector<std::uint32_t>> readers_;         // operations, by value of B
  std::vector<std::size_t> readers_left_;                   // by value of B
  std::vector<bool> needed_;                                // by operation of B
  std::vector<std::pair<std::size_t, std::size_t>> trace_;  // steps that were not confirmed
  WalkResult result_;
  bool stopped_ = false;
};

}  // namespace

Result<WalkResult> WalkSteps(const Runnable& a, const RecordedValues& of_a, const Runnable& b,
                             const GivenInputs& inputs, const std::vector<PortPair>& outputs,
                             const execution::Budget& budget) {
  return Walk(a, of_a, b, budget).Run(inputs, outputs);
}

}  // namespace ckpt
