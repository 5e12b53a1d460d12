#include "verification/absolute_operands.h"

#include <algorithm>
#include <cmath>

#include "execution/streamed_constants.h"

namespace ckpt {

using execution::Array;

Array Absolute(const Array& array) {
  if (array.streamed) return execution::AbsoluteOfStreamed(array);
  if (array.kind != network::ElementKind::kReal) return array;
  Array result = array;
  for (double& element : result.elements) element = std::abs(element);
  return result;
}

AbsoluteOperands::AbsoluteOperands(std::span<const BoundedOperand> operands) {
  const auto is_negative = [](double element) { return element < 0; };
  for (const BoundedOperand& operand : operands) {
    const Array* value = operand.value;
    const bool as_it_is =
        value == nullptr || (!value->streamed && std::none_of(value->elements.begin(),
                                                              value->elements.end(), is_negative));
    if (!as_it_is) made_.push_back(Absolute(*value));
    operands_.push_back(as_it_is ? value : &made_.back());
  }
}

}  // namespace ckpt
