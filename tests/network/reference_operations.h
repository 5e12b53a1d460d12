// What every operation of the vocabulary yields, from its definition, in double.
//
// Nothing here is shared with the library's kernels or its shape rules: places and sizes are worked
// out anew for every element. Made for small data; operands are taken to fit the operation.
#pragma once

#include <vector>

#include "tests/execution/reference_kernels.h"

namespace ckpt::network::reference {

using execution::Array;
using execution::reference::At;
using execution::reference::CountOf;
using execution::reference::ForEach;
using execution::reference::Place;
using execution::reference::Zeros;

// An operand that is left out is a null pointer, or not there.
using Operands = std::vector<const Array*>;

// Result `result` of the operation. Does not compile without every alternative of Computation.
Array Evaluated(const Computation& computation, const Operands& operands, std::size_t result = 0);

double Evaluated(const Unary& unary, double x);
double Evaluated(BinaryFunction function, double a, double b);

// Of the single operations, those of one family in one file.
Array Products(const Convolution& c, const Operands& x);
Array Products(const TransposedConvolution& c, const Operands& x);
Array Products(const MatrixProduct& c, const Operands& x);
Array Products(const Einsum& c, const Operands& x);
Array Products(const Recurrent& c, const Operands& x);
Array Pooled(const Pool& c, const Array& x);
Array Resized(const Resize& c, const Operands& x);
Array Padded(const Pad& c, const Operands& x);

inline std::size_t Front(std::int64_t axis, std::size_t rank) {
  return static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int64_t>(rank) : axis);
}
inline std::int64_t Value(const Sizes& list, std::size_t i, std::int64_t neutral) {
  return list.empty() ? neutral : list.at(i);
}
inline const Array* Given(const Operands& x, std::size_t i) {
  return i < x.size() ? x[i] : nullptr;
}
inline Sizes IntegersOf(const Array& array) {
  Sizes integers;
  for (const double element : array.elements)
    integers.push_back(static_cast<std::int64_t>(element));
  return integers;
}
// Of an operand where it is given, else of the attribute.
inline Sizes Integers(const Operands& x, std::size_t i, const Sizes& attribute) {
  return Given(x, i) != nullptr ? IntegersOf(*x[i]) : attribute;
}
// Fills y by what each of its places holds.
template <class Function>
Array Filled(const Sizes& shape, const Function& element) {
  Array y = Zeros(shape);
  ForEach(shape, [&](const Sizes& at) { At(y, at) = element(at); });
  return y;
}

}  // namespace ckpt::network::reference
