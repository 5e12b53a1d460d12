// Matrix products and Einstein sums.
#include <array>
#include <map>
#include <utility>

#include "formats/onnx/network_step.h"

namespace ckpt::formats::onnx {
namespace {

using network::BinaryFunction;
using network::ValueId;

Outcome MatMul(Step& step) {
  if (!step.Given(0) || !step.Given(1)) return Cannot("it lacks an operand");
  return step.Yield(network::MatrixProduct{}, {step.Input(0), step.Input(1)});
}

// alpha A' B' + beta C
Outcome Gemm(Step& step) {
  if (!step.Given(0) || !step.Given(1)) return Cannot("it lacks an operand");
  network::MatrixProduct product;
  product.transpose_a = step.Int("transA", 0) != 0;
  product.transpose_b = step.Int("transB", 0) != 0;
  product.factor = step.Float("alpha", 1.0F);
  const double beta = step.Float("beta", 1.0F);
  if (!step.Given(2)) return step.OfRank(2, step.Yield(product, {step.Input(0), step.Input(1)}));
  const ValueId y = step.Inner(product, {step.Input(0), step.Input(1)});
  ValueId added = step.Input(2);
  if (beta != 1) added = step.Inner(network::UnaryFunction::kLinear, added, beta, 0);
  return step.OfRank(2, step.Yield(network::Binary{BinaryFunction::kAdd}, {y, added}));
}

// With the result that NumPy gives an equation without one: the letters that stand once, sorted,
// behind the axes of "...".
std::string WithResult(std::string equation) {
  std::erase(equation, ' ');
  if (equation.find("->") != std::string::npos) return equation;
  std::map<char, int> counts;
  for (const char letter : equation) {
    const bool is_letter = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z');
    if (is_letter) ++counts[letter];
  }
  std::string result = equation.find("...") == std::string::npos ? "" : "...";
  for (const auto& [letter, count] : counts) {
    if (count == 1) result += letter;
  }
  return equation + "->" + result;
}

Outcome EinsteinSum(Step& step) {
  const std::string equation = step.Text("equation", "");
  if (equation.empty() || equation.size() > 1024) return Cannot("it has no equation");
  for (std::size_t i = 0; i < step.inputs().size(); ++i) {
    if (!step.Given(i)) return Cannot("it lacks an operand");
  }
  return step.Yield(network::Einsum{WithResult(equation)}, step.inputs());
}

constexpr std::array<OperatorRule, 3> kProductOperators = {{
    {"MatMul", MatMul},
    {"Gemm", Gemm},
    {"Einsum", EinsteinSum},
}};

}  // namespace

std::span<const OperatorRule> ProductOperators() { return kProductOperators; }

}  // namespace ckpt::formats::onnx
