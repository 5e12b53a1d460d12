#include "execution/evaluate.h"

#include <algorithm>
#include <utility>

#include "ckpt/network/operation_table.h"
#include "execution/cost.h"
#include "execution/kernels.h"
#include "execution/products.h"
#include "execution/streamed_constants.h"
#include "execution/strided.h"
#include "network/size_arithmetic.h"

namespace ckpt::execution {

using network::Computation;
using network::OperandShape;

namespace {

// Operands whose elements a rule asks for.
struct Deciding {
  std::size_t operand;

  bool operator()(const network::TransposedConvolution&) const { return operand == 3; }
  bool operator()(const network::Reduction&) const { return operand == 1; }
  bool operator()(const network::Reshape&) const { return operand == 1; }
  bool operator()(const network::InsertAxes&) const { return operand == 1; }
  bool operator()(const network::DropAxes&) const { return operand == 1; }
  bool operator()(const network::Split&) const { return operand == 1; }
  bool operator()(const network::Slice&) const { return operand >= 1; }
  bool operator()(const network::Pad&) const { return operand == 1 || operand == 3; }
  bool operator()(const network::Resize&) const { return operand == 1; }
  bool operator()(const network::OneHot&) const { return operand == 1; }
  bool operator()(const network::Fill&) const { return operand == 0; }
  bool operator()(const network::Range&) const { return true; }
  bool operator()(const network::BroadcastTo&) const { return operand == 1; }
  bool operator()(const network::Tile&) const { return operand == 1; }
  bool operator()(const network::SpaceAndBatch&) const { return operand >= 1; }
  template <class Other>
  bool operator()(const Other&) const {
    return false;
  }
};

// Kernels that touch each element by itself, or none.
struct InPlace {
  bool same_shape;

  bool operator()(const network::Unary&) const { return true; }
  bool operator()(const network::Cast&) const { return true; }
  bool operator()(const network::BatchNormalization&) const { return true; }
  bool operator()(const network::Reshape&) const { return true; }
  bool operator()(const network::MergeAxes&) const { return true; }
  bool operator()(const network::InsertAxes&) const { return true; }
  bool operator()(const network::DropAxes&) const { return true; }
  bool operator()(const network::Binary&) const { return same_shape; }
  template <class Other>
  bool operator()(const Other&) const {
    return false;
  }
};

Status RefuseUnknown(const network::Unknown& unknown) {
  std::string message = '"' + unknown.what + "\" is not understood";
  if (!unknown.why.empty()) message += ": " + unknown.why;
  return Fail(ErrorCode::kUnsupported, std::move(message));
}

// Every alternative has its kernel, or this does not compile.
struct Kernel {
  const Call& call;

  template <class Operation>
  Status operator()(const Operation& operation) const {
    return Compute(operation, call);
  }
  Status operator()(const network::Unknown& unknown) const { return RefuseUnknown(unknown); }
};

OperandShape ShapeOfOperand(const Computation& computation, std::size_t i, const Array* array) {
  if (array == nullptr) return {false, {}, {}, {}};
  OperandShape shape{true, array->shape, {}, array->kind};
  if (DecidesShape(computation, i)) shape.elements = array->elements;
  return shape;
}

}  // namespace

bool DecidesShape(const Computation& computation, std::size_t operand) {
  return std::visit(Deciding{operand}, computation);
}

bool RunsInPlace(const Computation& computation, const network::Sizes& operand,
                 const network::Sizes& result) {
  return CountOf(operand) == CountOf(result) && std::visit(InPlace{operand == result}, computation);
}

void RoundToFloat(Array& array) {
  if (array.kind != network::ElementKind::kReal) return;
  for (double& element : array.elements) element = static_cast<float>(element);
}

Result<Outline> OutlineOf(const Computation& computation, std::span<const OperandShape> operands,
                          std::size_t results) {
  if (const auto* unknown = std::get_if<network::Unknown>(&computation)) {
    return Fail(RefuseUnknown(*unknown));
  }
  const network::OperationRow& row = network::RowOf(computation);
  const bool too_many =
      row.most_operands != network::kAnyNumber && operands.size() > row.most_operands;
  const bool too_many_results = row.results != network::kAnyNumber && results > row.results;
  bool lacks = operands.size() < row.least_operands;
  for (std::size_t i = 0; i < row.least_operands && !lacks; ++i) lacks = !operands[i].given;
  if (lacks || too_many || too_many_results || results == 0) {
    return Contradicts(std::to_string(operands.size()) + " operands and " +
                       std::to_string(results) + " results");
  }
  const bool any = row.most_operands == network::kAnyNumber;
  if (any && std::any_of(operands.begin(), operands.end(),
                         [](const OperandShape& operand) { return !operand.given; })) {
    return Contradicts("an operand that is left out");
  }
  CKPT_ASSIGN_OR_RETURN(const auto found, network::ResultShapes(computation, operands, results));
  Outline outline;
  for (std::size_t i = 0; i < results; ++i) {
    if (!found[i] || !network::AllKnown(*found[i])) {
      return Fail(ErrorCode::kUnsupported, "the shape of its result depends on what it computes");
    }
    outline.shapes.push_back(*found[i]);
    outline.kinds.push_back(network::ResultKind(computation, operands, i));
  }
  std::vector<network::Sizes> shapes;
  for (const OperandShape& operand : operands) {
    shapes.push_back(operand.given && operand.shape ? *operand.shape : network::Sizes{});
  }
  outline.multiply_adds = MultiplyAdds(computation, {shapes, outline.shapes});
  outline.scratch_bytes = ScratchBytes(computation, {shapes, outline.shapes});
  return outline;
}

Result<std::vector<Array>> ComputeResults(const Computation& computation,
                                          std::span<const Array* const> operands,
                                          const Outline& outline, Precision precision,
                                          Array* dying) {
  std::vector<Array> results(outline.shapes.size());
  std::vector<const Array*> read(operands.begin(), operands.end());
  for (std::size_t i = 0; i < results.size(); ++i) {
    results[i].kind = outline.kinds[i];
    results[i].shape = outline.shapes[i];
    if (i == 0 && dying != nullptr) {
      results[0].elements = std::move(dying->elements);
      read[0] = &results[0];
    } else {
      results[i].elements.assign(Index(CountOf(results[i].shape)), 0.0);
    }
  }
  const bool single = precision == Precision::kFloat32;
  CKPT_RETURN_IF_ERROR(std::visit(Kernel{Call{read, results, single}}, computation));
  if (single) {
    for (Array& result : results) RoundToFloat(result);
  }
  return results;
}

Result<std::vector<Array>> Evaluate(const Computation& computation,
                                    std::span<const Array* const> operands, std::size_t results,
                                    const Budget& budget, Precision precision) {
  std::vector<OperandShape> shapes;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const Array* array = operands[i];
    if (array != nullptr) {
      CKPT_ASSIGN_OR_RETURN(const std::int64_t count, network::ProductOf(array->shape));
      if (array->streamed) {
        if (!TakesStreamed(computation, i)) {
          return Fail(ErrorCode::kInternal, "a streamed operand of another operation");
        }
      } else if (count != Length(*array)) {
        return Contradicts("an operand whose shape is not its own");
      }
    }
    shapes.push_back(ShapeOfOperand(computation, i, array));
  }
  CKPT_ASSIGN_OR_RETURN(const Outline outline, OutlineOf(computation, shapes, results));
  const bool streamed = std::any_of(operands.begin(), operands.end(), [](const Array* array) {
    return array != nullptr && array->streamed;
  });
  std::uint64_t bytes = streamed ? kProductScratchBytes + kStreamedBytes : outline.scratch_bytes;
  for (const network::Sizes& shape : outline.shapes) {
    bytes = SaturatingPlus(bytes, BytesOf(shape));
  }
  if (bytes > budget.memory_bytes) {
    return Fail(ErrorCode::kLimitExceeded, std::string(network::Name(computation)) + " takes " +
                                               std::to_string(bytes) + " bytes of " +
                                               std::to_string(budget.memory_bytes));
  }
  if (outline.multiply_adds > budget.operations) {
    return Fail(ErrorCode::kLimitExceeded, std::string(network::Name(computation)) + " takes " +
                                               std::to_string(outline.multiply_adds) +
                                               " multiplications and additions of " +
                                               std::to_string(budget.operations));
  }
  return ComputeResults(computation, operands, outline, precision, nullptr);
}

}  // namespace ckpt::execution
