#include <string>
#include <utility>

#include "ckpt/execution/run.h"
#include "ckpt/network/shape_rules.h"
#include "execution/kernels.h"

namespace ckpt::execution {
namespace {

// One overload an alternative: a computation without a kernel does not compile.
struct Kernel {
  const Call& call;
  template <class T>
  Status operator()(const T& computation) const {
    return Compute(computation, call);
  }
  Status operator()(const network::Unknown& unknown) const {
    return Fail(ErrorCode::kUnsupported, unknown.what + " is not understood: " + unknown.why);
  }
};

}  // namespace

network::OperandShape ShapeOfOperand(const Array* array) {
  constexpr std::size_t kMostElements = 4096;
  if (array == nullptr) return {false, {}, {}, {}};
  network::OperandShape operand{true, array->shape, {}, array->kind};
  if (array->elements.size() <= kMostElements) operand.elements = array->elements;
  return operand;
}

Result<std::uint64_t> BytesOf(const Sizes& shape, const Budget& budget) {
  std::uint64_t bytes = sizeof(double);
  bool over = false;
  for (const std::int64_t size : shape) {
    if (size < 0) return Fail(ErrorCode::kUnfit, "a shape depends on values that are not known");
    over = over || __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(size), &bytes);
    if (size == 0) return 0;
  }
  if (!over && bytes <= budget.memory_bytes) return bytes;
  Error error{ErrorCode::kLimitExceeded, "a value takes more memory than is allowed"};
  error.remedy = Remedy::kMoreMemory;
  return Fail(std::move(error));
}

void RoundToFloat(Array& array) {
  if (array.kind != network::ElementKind::kReal) return;
  for (double& element : array.elements) element = static_cast<float>(element);
}

Result<std::vector<Array>> Evaluate(const network::Computation& computation,
                                    std::span<const Array* const> operands, std::size_t results,
                                    const Budget& budget, Precision precision) {
  std::vector<network::OperandShape> shapes;
  for (const Array* operand : operands) shapes.push_back(ShapeOfOperand(operand));
  CKPT_ASSIGN_OR_RETURN(const auto found, network::ResultShapes(computation, shapes, results));
  std::vector<Array> made(results);
  for (std::size_t i = 0; i < results; ++i) {
    if (!found[i]) {
      if (const auto* unknown = std::get_if<network::Unknown>(&computation)) {
        return Fail(ErrorCode::kUnsupported, unknown->what + " is not understood: " + unknown->why);
      }
      return Fail(ErrorCode::kUnfit, "a shape depends on values that are not known");
    }
    CKPT_ASSIGN_OR_RETURN(const std::uint64_t bytes, BytesOf(*found[i], budget));
    made[i].shape = *found[i];
    made[i].kind = network::ResultKind(computation, shapes, i);
    made[i].elements.assign(bytes / sizeof(double), 0.0);
  }
  const Call call{operands, made, precision == Precision::kFloat32};
  CKPT_RETURN_IF_ERROR(std::visit(Kernel{call}, computation));
  if (precision == Precision::kFloat32) {
    for (Array& array : made) RoundToFloat(array);
  }
  return made;
}

}  // namespace ckpt::execution
