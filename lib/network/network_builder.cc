#include <utility>

#include "ckpt/checkpoint.h"
#include "ckpt/network/network.h"
#include "ckpt/network/operation_table.h"
#include "ckpt/network/shape_rules.h"

namespace ckpt {

// Of checkpoints without a network; here, since what lies below does not know what one is.
Result<network::Network> Checkpoint::MakeNetwork() const {
  return Fail(ErrorCode::kUnsupported, "the file holds tensors and no network");
}

}  // namespace ckpt

namespace ckpt::network {
namespace {

// What a shape rule is told of a value. Only small constants can say a shape.
OperandShape OperandOf(const Value& value) {
  constexpr std::size_t kMostElements = 1024;
  OperandShape operand{true, value.shape, {}, value.kind};
  if (!value.constant) return operand;
  const auto* constant = std::get_if<InlineConstant>(&*value.constant);
  if (constant != nullptr && constant->elements.size() <= kMostElements) {
    operand.elements = constant->elements;
  }
  return operand;
}

bool FitsRow(const OperationRow& row, std::size_t operands, std::size_t results) {
  return operands >= row.least_operands &&
         (row.most_operands == kAnyNumber || operands <= row.most_operands) &&
         (row.results == kAnyNumber || results <= row.results);
}

}  // namespace

NetworkBuilder::NetworkBuilder(Origin origin, Contradictions contradictions)
    : contradictions_(contradictions) {
  network_.origin = origin;
}

ValueId NetworkBuilder::AddValue(Value value) {
  const ValueId id{static_cast<std::uint32_t>(network_.values.size())};
  if (!value.name.empty()) {
    const std::string name = value.name;
    for (std::size_t i = 1; !names_.insert(value.name).second; ++i) {
      value.name = name + '#' + std::to_string(i);
    }
  }
  network_.values.push_back(std::move(value));
  return id;
}

ValueId NetworkBuilder::AddInput(std::string name, PartialShape shape, ElementKind kind) {
  const ValueId id = AddValue({name, std::move(shape), kind, {}, {}});
  network_.inputs.push_back({std::move(name), id});
  return id;
}

ValueId NetworkBuilder::AddStored(std::string name, StoredConstant constant, Sizes shape,
                                  ElementKind kind) {
  return AddValue({std::move(name), std::move(shape), kind, std::move(constant), {}});
}

ValueId NetworkBuilder::AddInline(InlineConstant constant, std::string name) {
  Sizes shape = constant.shape;
  const ElementKind kind = constant.kind;
  return AddValue({std::move(name), std::move(shape), kind, std::move(constant), {}});
}

ValueId NetworkBuilder::AddScalar(double value, ElementKind kind) {
  return AddInline({{}, {value}, kind});
}

ValueId NetworkBuilder::AddIntegers(const Sizes& values) {
  return AddInline({{static_cast<std::int64_t>(values.size())},
                    std::vector<double>(values.begin(), values.end()),
                    ElementKind::kInteger});
}

std::uint32_t NetworkBuilder::StartLayer(std::string name, std::string op_type) {
  network_.layers.push_back({std::move(name), std::move(op_type)});
  return static_cast<std::uint32_t>(network_.layers.size() - 1);
}

ValueId NetworkBuilder::Add(Computation computation, std::vector<ValueId> operands,
                            std::string name) {
  return AddMany(std::move(computation), std::move(operands), 1, std::move(name))[0];
}

std::vector<ValueId> NetworkBuilder::AddMany(Computation computation, std::vector<ValueId> operands,
                                             std::size_t results, std::string name) {
  if (network_.layers.empty()) StartLayer({}, {});
  std::vector<OperandShape> shapes;
  for (const ValueId operand : operands) {
    shapes.push_back(operand == kNoValue ? OperandShape{false, {}, {}, {}}
                                         : OperandOf(value(operand)));
  }
  const std::string layer = network_.layers.back().name;
  const bool fails = contradictions_ == Contradictions::kFail;
  const bool fits = FitsRow(RowOf(computation), operands.size(), results);
  if (!fits && !fails) {
    computation =
        Unknown{std::string(Name(computation)), "it lacks an operand, or has one too many"};
  } else if (!error_ && !fits) {
    error_ =
        Error{ErrorCode::kCorrupt, "\"" + layer + "\": " + std::string(Name(computation)) +
                                       " with " + std::to_string(operands.size()) + " operands"};
  }
  std::vector<PartialShape> found(results);
  if (!error_) {
    auto rule = ResultShapes(computation, shapes, results);
    if (rule) {
      found = *std::move(rule);
    } else if (fails) {
      error_ = std::move(rule).error();
      error_->message = "\"" + layer + "\": " + error_->message;
    }
  }
  const OperationId id{static_cast<std::uint32_t>(network_.operations.size())};
  std::vector<ValueId> made;
  for (std::size_t i = 0; i < results; ++i) {
    Value result{
        i == 0 ? name : std::string(), found[i], ResultKind(computation, shapes, i), {}, id};
    made.push_back(AddValue(std::move(result)));
  }
  network_.operations.push_back({std::move(computation), std::move(operands), made,
                                 static_cast<std::uint32_t>(network_.layers.size() - 1)});
  return made;
}

void NetworkBuilder::AddOutput(std::string name, ValueId value) {
  network_.outputs.push_back({std::move(name), value});
}

void NetworkBuilder::AddNote(std::string note) { network_.notes.push_back(std::move(note)); }

std::optional<std::int64_t> NetworkBuilder::RankOf(ValueId id) const {
  const PartialShape& shape = ShapeOf(id);
  if (!shape) return std::nullopt;
  return static_cast<std::int64_t>(shape->size());
}

void NetworkBuilder::Record(ValueId id, const PartialShape& shape) {
  PartialShape& known = network_.values[id.index].shape;
  if (!shape) return;
  if (!known) {
    known = shape;
    return;
  }
  if (known->size() != shape->size()) return;
  for (std::size_t i = 0; i < known->size(); ++i) {
    if ((*known)[i] == kUnknownSize) (*known)[i] = (*shape)[i];
  }
}

Result<Network> NetworkBuilder::Finish() && {
  if (error_) return Fail(*std::move(error_));
  return std::move(network_);
}

}  // namespace ckpt::network
