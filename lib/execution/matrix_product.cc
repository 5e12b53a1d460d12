#include <algorithm>

#include "execution/kernels.h"
#include "execution/products.h"
#include "execution/strided.h"

namespace ckpt::execution {
namespace {

// One operand as matrices [lines, depth], the axes before them broadcast.
struct Factor {
  Sizes batch_strides;
  std::int64_t lines = 1, depth = 1, line_stride = 0, depth_stride = 0;
};

Factor FactorOf(const Array& array, bool transposed, bool is_right, const Sizes& batch) {
  const Sizes strides = StridesOf(array.shape);
  const std::size_t rank = array.shape.size();
  Factor factor;
  if (rank == 1) {
    factor.depth = array.shape[0];
    factor.depth_stride = strides[0];
    factor.batch_strides = Sizes(batch.size(), 0);
    return factor;
  }
  const bool depth_last = is_right == transposed;
  const std::size_t depth = depth_last ? rank - 1 : rank - 2;
  const std::size_t line = depth_last ? rank - 2 : rank - 1;
  factor.lines = array.shape[line];
  factor.line_stride = strides[line];
  factor.depth = array.shape[depth];
  factor.depth_stride = strides[depth];
  factor.batch_strides = Sizes(batch.size(), 0);
  for (std::size_t i = 0; i + 2 < rank; ++i) {
    if (array.shape[i] != 1) factor.batch_strides[batch.size() - (rank - 2) + i] = strides[i];
  }
  return factor;
}

template <class T>
void Multiply(const network::MatrixProduct& product, const Call& call) {
  const Array &a = call[0], &b = call[1];
  Array& result = call.result();
  Sizes batch = result.shape;
  if (a.shape.size() > 1) batch.pop_back();
  if (b.shape.size() > 1) batch.pop_back();
  Factor left = FactorOf(a, product.transpose_a, false, batch);
  const Factor right = FactorOf(b, product.transpose_b, true, batch);
  // A lone matrix on the right sees all rows on the left at once.
  const bool is_one = std::all_of(right.batch_strides.begin(), right.batch_strides.end(),
                                  [](std::int64_t stride) { return stride == 0; });
  if (is_one && !product.transpose_a && a.shape.size() > 1 &&
      CountOf(batch) * left.lines * left.depth == Length(a)) {
    left.lines *= CountOf(batch);
    batch.assign(batch.size(), 1);
  }
  const Target target{result.elements.data(), right.lines, 1};
  const std::int64_t step = left.lines * right.lines;
  Counter counter(batch);
  std::int64_t done = 0;
  do {
    const StridedPanels<T> rows(a.elements.data() + OffsetOf(counter.index(), left.batch_strides),
                                left.line_stride, left.depth_stride);
    const StridedPanels<T> columns(
        b.elements.data() + OffsetOf(counter.index(), right.batch_strides), right.line_stride,
        right.depth_stride);
    AddProduct<T>(left.lines, right.lines, left.depth, rows, columns,
                  {target.base + done * step, target.row_stride, 1}, product.factor);
    ++done;
  } while (counter.Next());
}

// The matrix on the right comes in blocks of its stored rows: parts of the depth, or of the columns
// of the result. REQUIRES: the left one is not transposed.
template <class T>
Status MultiplyStreamed(const network::MatrixProduct& product, const Call& call) {
  const Array& a = call[0];
  const StreamedMatrix& b = *call[1].streamed;
  const bool rows_are_depth = product.transpose_b == b.is_transposed();
  const std::int64_t depth = rows_are_depth ? b.rows() : b.columns();
  const std::int64_t columns = rows_are_depth ? b.columns() : b.rows();
  const std::int64_t lines = depth == 0 ? 0 : Length(a) / depth;
  double* const result = call.result().elements.data();
  return b.Read(b.columns(), [&](std::int64_t first, std::int64_t rows,
                                 std::span<const double> block) {
    const double* base = a.elements.data() + (rows_are_depth ? first : 0);
    const StridedPanels<T> left(base, depth, 1);
    if (rows_are_depth) {
      const StridedPanels<T> right(block.data(), 1, columns);
      AddProduct<T>(lines, columns, rows, left, right, {result, columns, 1}, product.factor);
    } else {
      const StridedPanels<T> right(block.data(), depth, 1);
      AddProduct<T>(lines, rows, depth, left, right, {result + first, columns, 1}, product.factor);
    }
    return Status{};
  });
}

}  // namespace

Status Compute(const network::MatrixProduct& product, const Call& call) {
  if (call.result().elements.empty()) return {};
  if (call[1].streamed) {
    return call.single ? MultiplyStreamed<float>(product, call)
                       : MultiplyStreamed<double>(product, call);
  }
  call.single ? Multiply<float>(product, call) : Multiply<double>(product, call);
  return {};
}

}  // namespace ckpt::execution
