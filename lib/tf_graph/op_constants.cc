#include <span>

#include "ckpt/elements.h"
#include "ckpt/op_bodies.h"

namespace ckpt {

std::optional<std::vector<double>> ConstantValues(const Op& op) {
  if (!op.constant) return std::nullopt;
  const OpConstant& constant = *op.constant;
  if (!IsReal(constant.dtype)) return std::nullopt;
  const std::size_t element_size = BitSize(constant.dtype) / 8;
  const std::uint64_t count = constant.shape.element_count();
  if (element_size == 0 || constant.bytes.size() % element_size != 0 ||
      constant.bytes.size() / element_size != count) {
    return std::nullopt;
  }
  std::vector<double> values(count);
  DecodeToDouble(constant.dtype, constant.bytes, values);
  return values;
}

std::optional<double> ScalarConstant(const Op& op) {
  if (!op.constant || op.constant->shape.element_count() != 1) return std::nullopt;
  const auto values = ConstantValues(op);
  return values ? std::optional(values->front()) : std::nullopt;
}

}  // namespace ckpt
