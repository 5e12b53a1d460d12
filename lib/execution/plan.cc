#include <algorithm>
#include <map>
#include <utility>

#include "ckpt/network/operation_table.h"
#include "execution/constants.h"
#include "execution/cost.h"
#include "execution/planning.h"
#include "execution/products.h"
#include "execution/streamed_constants.h"
#include "execution/strided.h"
#include "network/size_arithmetic.h"

namespace ckpt::execution {
namespace {

using network::ElementKind;
using network::Network;
using network::OperandShape;
using network::Operation;
using network::Sizes;
using network::ValueId;

// Values of so many elements may say a shape, and are computed while planning.
constexpr std::int64_t kMostSideElements = 4096;
constexpr std::uint64_t kMostSideOperations = 1 << 17;

class Planner {
 public:
  Planner(const Network& network, const Checkpoint& weights, const RunOptions& options)
      : network_(network), weights_(weights), options_(options) {}

  Result<PlannedRun> Plan(std::span<const InputOutline> inputs) {
    CKPT_ASSIGN_OR_RETURN(planned_.schedule, MakeSchedule(network_, options_.wanted));
    planned_.plan.shapes.resize(network_.values.size());
    planned_.plan.multiply_adds.assign(network_.operations.size(), 0);
    planned_.outlines.resize(network_.operations.size());
    planned_.in_place.assign(network_.operations.size(), false);
    kinds_.resize(network_.values.size());
    is_input_.assign(network_.values.size(), false);
    planned_.streamed = StreamedConstants(network_, weights_);
    for (const ValueId id : planned_.schedule.wanted) planned_.streamed[id.index] = false;
    CKPT_RETURN_IF_ERROR(TakeInputs(inputs));
    for (std::size_t i = 0; i < network_.operations.size(); ++i) {
      if (!planned_.schedule.runs[i]) continue;
      if (Status status = PlanOperation(i); !status) {
        return Fail(AtOperation(network_, i, std::move(status).error()));
      }
    }
    for (const ValueId id : planned_.schedule.wanted) CKPT_RETURN_IF_ERROR(HoldConstant(id));
    return std::move(planned_);
  }

 private:
  Status TakeInputs(std::span<const InputOutline> inputs);
  Status PlanOperation(std::size_t i);
  Status HoldConstant(ValueId id);
  Status Hold(std::uint64_t bytes);
  Result<const Array*> Known(ValueId id, bool decides_shape);
  Result<OperandShape> OperandOf(const Operation& operation, std::size_t operand);
  Status ComputeSide(std::size_t i);
  void LetGo(std::size_t i);
  bool MayOverwrite(std::size_t i) const;

  const Sizes& ShapeOf(ValueId id) const { return *planned_.plan.shapes[id.index]; }
  bool IsHeld(ValueId id) const { return planned_.plan.shapes[id.index].has_value(); }

  const Network& network_;
  const Checkpoint& weights_;
  const RunOptions& options_;
  PlannedRun planned_ = {};
  std::vector<ElementKind> kinds_ = {};
  std::vector<bool> is_input_ = {};
  std::map<std::uint32_t, Array> known_ = {};  // elements of small values, until they are let go
  std::uint64_t held_ = 0;                     // bytes
};

Status Planner::Hold(std::uint64_t bytes) {
  held_ = SaturatingPlus(held_, bytes);
  planned_.plan.peak_bytes = std::max(planned_.plan.peak_bytes, held_);
  if (held_ <= options_.budget.memory_bytes) return {};
  return Fail(Error{ErrorCode::kLimitExceeded, "the values and constants held by then take " +
                                                   std::to_string(held_) + " bytes of " +
                                                   std::to_string(options_.budget.memory_bytes)}
                  .With(Remedy::kMoreMemory));
}

// That an input fits what the file says of it.
Status CheckInput(const network::Port& port, const network::Value& value, const Sizes& shape) {
  for (const std::int64_t size : shape) {
    if (size < 0) return Fail(ErrorCode::kInvalidArgument, "an input of a negative size");
  }
  CKPT_RETURN_IF_ERROR(network::ProductOf(shape));
  if (!value.shape) return {};
  bool fits = shape.size() == value.shape->size();
  for (std::size_t i = 0; fits && i < shape.size(); ++i) {
    fits = (*value.shape)[i] == network::kUnknownSize || (*value.shape)[i] == shape[i];
  }
  if (fits) return {};
  return Fail(ErrorCode::kInvalidArgument, "input \"" + port.name + "\" is of shape " +
                                               network::ToText(*value.shape) + ", not " +
                                               network::ToText(shape));
}

Status Planner::TakeInputs(std::span<const InputOutline> inputs) {
  if (inputs.size() != network_.inputs.size()) {
    return Fail(ErrorCode::kInvalidArgument, std::to_string(inputs.size()) + " inputs for " +
                                                 std::to_string(network_.inputs.size()));
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const network::Port& port = network_.inputs[i];
    if (!planned_.schedule.needed[port.value.index]) continue;
    CKPT_RETURN_IF_ERROR(CheckInput(port, network_.value(port.value), inputs[i].shape));
    const std::uint32_t at = port.value.index;
    planned_.plan.shapes[at] = inputs[i].shape;
    kinds_[at] = inputs[i].kind;
    is_input_[at] = true;
    CKPT_RETURN_IF_ERROR(Hold(BytesOf(inputs[i].shape)));
    const std::int64_t count = CountOf(inputs[i].shape);
    if (inputs[i].kind == ElementKind::kReal || count > kMostSideElements) continue;
    known_[at] =
        inputs[i].array != nullptr
            ? *inputs[i].array
            : Array{inputs[i].shape, std::vector<double>(Index(count), 0.0), inputs[i].kind};
  }
  return {};
}

Status Planner::HoldConstant(ValueId id) {
  const auto& constant = network_.value(id).constant;
  if (!constant || IsHeld(id)) return {};
  CKPT_ASSIGN_OR_RETURN(ConstantOutline outline, OutlineOf(*constant, weights_));
  if (planned_.streamed[id.index]) outline.reading_bytes = 0;
  const std::uint64_t bytes = planned_.streamed[id.index] ? kStreamedBytes : outline.bytes;
  CKPT_RETURN_IF_ERROR(Hold(SaturatingPlus(bytes, outline.reading_bytes)));
  held_ -= outline.reading_bytes;
  planned_.plan.shapes[id.index] = outline.shape;
  kinds_[id.index] = outline.kind;
  return {};
}

// The elements, where they are small and known; null otherwise. A stored constant of reals is read
// only where it may decide a shape.
Result<const Array*> Planner::Known(ValueId id, bool decides_shape) {
  const auto found = known_.find(id.index);
  if (found != known_.end()) return &found->second;
  const auto& constant = network_.value(id).constant;
  if (!constant || CountOf(ShapeOf(id)) > kMostSideElements) return nullptr;
  const bool is_stored = std::holds_alternative<network::StoredConstant>(*constant);
  if (is_stored && kinds_[id.index] == ElementKind::kReal && !decides_shape) return nullptr;
  CKPT_ASSIGN_OR_RETURN(Array array, ReadConstant(*constant, weights_, options_.budget));
  return &(known_[id.index] = std::move(array));
}

Result<OperandShape> Planner::OperandOf(const Operation& operation, std::size_t operand) {
  const ValueId id = operation.operands[operand];
  if (id == network::kNoValue) return OperandShape{false, {}, {}, {}};
  CKPT_RETURN_IF_ERROR(HoldConstant(id));
  OperandShape shape{true, ShapeOf(id), {}, kinds_[id.index]};
  if (!DecidesShape(operation.computation, operand)) return shape;
  CKPT_ASSIGN_OR_RETURN(const Array* known, Known(id, true));
  if (known != nullptr) shape.elements = known->elements;
  return shape;
}

bool Planner::MayOverwrite(std::size_t i) const {
  const Operation& operation = network_.operations[i];
  if (operation.operands.empty() || operation.operands[0] == network::kNoValue) return false;
  const ValueId first = operation.operands[0];
  const bool dies = planned_.schedule.last_read[first.index] == i && !is_input_[first.index];
  const bool once = std::count(operation.operands.begin(), operation.operands.end(), first) == 1;
  const bool many = std::holds_alternative<network::Binary>(operation.computation) &&
                    operation.operands.size() != 2;
  return dies && once && !many &&
         RunsInPlace(operation.computation, ShapeOf(first), planned_.outlines[i].shapes[0]);
}

Status Planner::PlanOperation(std::size_t i) {
  const Operation& operation = network_.operations[i];
  std::vector<OperandShape> operands;
  for (std::size_t k = 0; k < operation.operands.size(); ++k) {
    CKPT_ASSIGN_OR_RETURN(OperandShape operand, OperandOf(operation, k));
    operands.push_back(std::move(operand));
  }
  Outline& outline = planned_.outlines[i];
  CKPT_ASSIGN_OR_RETURN(outline,
                        OutlineOf(operation.computation, operands, operation.results.size()));
  const auto is_streamed = [&](ValueId id) {
    return id != network::kNoValue && planned_.streamed[id.index];
  };
  if (std::any_of(operation.operands.begin(), operation.operands.end(), is_streamed)) {
    outline.scratch_bytes = kProductScratchBytes;  // no copy of the kernel
  }
  planned_.plan.multiply_adds[i] = outline.multiply_adds;
  std::uint64_t& total = planned_.plan.total_multiply_adds;
  total = SaturatingPlus(total, outline.multiply_adds);
  if (total > options_.budget.operations) {
    return Fail(ErrorCode::kLimitExceeded, "the operations up to here take " +
                                               std::to_string(total) +
                                               " multiplications and additions of " +
                                               std::to_string(options_.budget.operations));
  }
  planned_.in_place[i] = MayOverwrite(i);
  std::uint64_t results = 0;
  for (std::size_t k = planned_.in_place[i] ? 1 : 0; k < outline.shapes.size(); ++k) {
    results = SaturatingPlus(results, BytesOf(outline.shapes[k]));
  }
  CKPT_RETURN_IF_ERROR(Hold(SaturatingPlus(results, outline.scratch_bytes)));
  held_ -= outline.scratch_bytes;
  for (std::size_t k = 0; k < operation.results.size(); ++k) {
    const ValueId id = operation.results[k];
    if (id == network::kNoValue) {
      if (!(k == 0 && planned_.in_place[i])) held_ -= BytesOf(outline.shapes[k]);
      continue;
    }
    planned_.plan.shapes[id.index] = outline.shapes[k];
    kinds_[id.index] = outline.kinds[k];
  }
  CKPT_RETURN_IF_ERROR(ComputeSide(i));
  LetGo(i);
  return {};
}

// Small values that follow from shapes and from other small values.
Status Planner::ComputeSide(std::size_t i) {
  const Operation& operation = network_.operations[i];
  const Outline& outline = planned_.outlines[i];
  std::int64_t elements = 0;
  for (const Sizes& shape : outline.shapes) {
    const std::int64_t count = CountOf(shape);
    if (count > kMostSideElements) return {};
    elements += count;
  }
  const bool is_norm = std::holds_alternative<network::BatchNormalization>(operation.computation);
  if (elements > kMostSideElements || outline.multiply_adds > kMostSideOperations || is_norm) {
    return {};
  }
  Array shaped;
  std::vector<const Array*> arrays;
  if (std::holds_alternative<network::ShapeOf>(operation.computation)) {
    shaped.shape = ShapeOf(operation.operands[0]);
    arrays.push_back(&shaped);
  } else {
    for (const ValueId id : operation.operands) {
      const Array* known = nullptr;
      if (id != network::kNoValue) {
        CKPT_ASSIGN_OR_RETURN(known, Known(id, false));
        if (known == nullptr) return {};
      }
      arrays.push_back(known);
    }
  }
  CKPT_ASSIGN_OR_RETURN(
      std::vector<Array> results,
      ComputeResults(operation.computation, arrays, outline, options_.precision, nullptr));
  for (std::size_t k = 0; k < results.size(); ++k) {
    if (operation.results[k] == network::kNoValue) continue;
    known_[operation.results[k].index] = std::move(results[k]);
  }
  return {};
}

void Planner::LetGo(std::size_t i) {
  const Operation& operation = network_.operations[i];
  const auto& last_read = planned_.schedule.last_read;
  std::vector<ValueId> gone;
  for (const auto* list : {&operation.operands, &operation.results}) {
    for (const ValueId id : *list) {
      if (id != network::kNoValue && last_read[id.index] == i) gone.push_back(id);
    }
  }
  std::sort(gone.begin(), gone.end());
  gone.erase(std::unique(gone.begin(), gone.end()), gone.end());
  for (const ValueId id : gone) {
    known_.erase(id.index);
    // Its elements became result 0's.
    if (planned_.in_place[i] && id == operation.operands[0]) continue;
    held_ -= planned_.streamed[id.index] ? kStreamedBytes : BytesOf(ShapeOf(id));
  }
  // What took them dies at once.
  if (planned_.in_place[i] && operation.results[0] == network::kNoValue) {
    held_ -= BytesOf(ShapeOf(operation.operands[0]));
  }
}

}  // namespace

Result<PlannedRun> LayOut(const Network& network, const Checkpoint& weights,
                          std::span<const InputOutline> inputs, const RunOptions& options) {
  return Planner(network, weights, options).Plan(inputs);
}

Result<std::vector<InputOutline>> OutlinesOf(std::span<const Array> inputs) {
  std::vector<InputOutline> outlines;
  for (const Array& input : inputs) {
    const bool is_negative = std::any_of(input.shape.begin(), input.shape.end(),
                                         [](std::int64_t size) { return size < 0; });
    CKPT_ASSIGN_OR_RETURN(const std::int64_t count, network::ProductOf(input.shape));
    if (is_negative || count != Length(input)) {
      return Fail(ErrorCode::kInvalidArgument, "an input whose shape is not its own");
    }
    outlines.push_back({input.shape, input.kind, &input});
  }
  return outlines;
}

Result<Plan> PlanRun(const Network& network, const Checkpoint& weights,
                     std::span<const Array> inputs, const RunOptions& options) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<InputOutline> outlines, OutlinesOf(inputs));
  CKPT_ASSIGN_OR_RETURN(PlannedRun planned, LayOut(network, weights, outlines, options));
  return std::move(planned.plan);
}

Result<Plan> PlanRun(const Network& network, const Checkpoint& weights,
                     std::span<const Sizes> inputs, const RunOptions& options) {
  std::vector<InputOutline> outlines;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    ElementKind kind = ElementKind::kReal;
    if (i < network.inputs.size() && network.inputs[i].value.index < network.values.size()) {
      kind = network.value(network.inputs[i].value).kind.value_or(ElementKind::kReal);
    }
    outlines.push_back({inputs[i], kind, nullptr});
  }
  CKPT_ASSIGN_OR_RETURN(PlannedRun planned, LayOut(network, weights, outlines, options));
  return std::move(planned.plan);
}

}  // namespace ckpt::execution
