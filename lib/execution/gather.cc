// Elements looked up by integers. Every index is checked: it may come from a file.
#include <algorithm>

#include "execution/kernels.h"
#include "execution/strided.h"

namespace ckpt::execution {
namespace {

// Counted from the front; kCorrupt where it is not there.
Result<std::int64_t> Counted(double index, std::int64_t size) {
  const double counted = index < 0 ? index + static_cast<double>(size) : index;
  if (!(counted >= 0 && counted < static_cast<double>(size))) {
    return Contradicts("an index of " + std::to_string(index) + " into " + std::to_string(size) +
                       " elements");
  }
  return static_cast<std::int64_t>(counted);
}

// The product of sizes[begin, end).
std::int64_t Between(const Sizes& sizes, std::size_t begin, std::size_t end) {
  return CountOf(std::span(sizes).subspan(begin, end - begin));
}

// The place of the slice that the last axis of `indices` names, row `row`, in data whose first
// `skipped` axes are counted elsewhere.
Result<std::int64_t> SliceOf(const Array& indices, std::int64_t row, const Array& data,
                             std::size_t skipped) {
  const std::int64_t depth = indices.shape.back();
  std::int64_t place = 0;
  for (std::int64_t k = 0; k < depth; ++k) {
    const std::int64_t size = data.shape[skipped + Index(k)];
    CKPT_ASSIGN_OR_RETURN(const std::int64_t index,
                          Counted(indices.elements[Index(row * depth + k)], size));
    place = place * size + index;
  }
  return place;
}

}  // namespace

Status Compute(const network::Gather& gather, const Call& call) {
  const Array &data = call[0], &indices = call[1];
  const auto axis = Index(gather.axis < 0 ? gather.axis + Rank(data) : gather.axis);
  const auto batch = Index(gather.batch_axes);
  for (std::size_t i = 0; i < batch; ++i) {
    if (data.shape[i] != indices.shape[i]) return Contradicts("batches of a gather that differ");
  }
  const std::int64_t batches = Between(data.shape, 0, batch);
  const std::int64_t outer = Between(data.shape, batch, axis);
  const std::int64_t inner = Between(data.shape, axis + 1, data.shape.size());
  const std::int64_t size = data.shape[axis];
  const std::int64_t count = Between(indices.shape, batch, indices.shape.size());
  double* target = call.result().elements.data();
  for (std::int64_t b = 0; b < batches; ++b) {
    for (std::int64_t o = 0; o < outer; ++o) {
      const double* from = data.elements.data() + (b * outer + o) * size * inner;
      for (std::int64_t i = 0; i < count; ++i) {
        CKPT_ASSIGN_OR_RETURN(const std::int64_t index,
                              Counted(indices.elements[Index(b * count + i)], size));
        target = std::copy_n(from + index * inner, inner, target);
      }
    }
  }
  return {};
}

Status Compute(const network::GatherNd& gather, const Call& call) {
  const Array &data = call[0], &indices = call[1];
  const auto batch = Index(gather.batch_axes);
  const auto depth = Index(indices.shape.back());
  if (batch + 1 > indices.shape.size()) return Contradicts("batches of a gather");
  for (std::size_t i = 0; i < batch; ++i) {
    if (data.shape[i] != indices.shape[i]) return Contradicts("batches of a gather that differ");
  }
  const std::int64_t batches = Between(data.shape, 0, batch);
  const std::int64_t of_batch = Between(data.shape, batch, data.shape.size());
  const std::int64_t inner = Between(data.shape, batch + depth, data.shape.size());
  const std::int64_t rows = Between(indices.shape, batch, indices.shape.size() - 1);
  double* target = call.result().elements.data();
  for (std::int64_t b = 0; b < batches; ++b) {
    for (std::int64_t i = 0; i < rows; ++i) {
      CKPT_ASSIGN_OR_RETURN(const std::int64_t place, SliceOf(indices, b * rows + i, data, batch));
      target = std::copy_n(data.elements.data() + b * of_batch + place * inner, inner, target);
    }
  }
  return {};
}

Status Compute(const network::ScatterNd& scatter, const Call& call) {
  const Array &data = call[0], &indices = call[1], &updates = call[2];
  if (indices.shape.empty() || indices.shape.back() > Rank(data)) {
    return Contradicts("indices of a scatter");
  }
  const auto depth = Index(indices.shape.back());
  const std::int64_t inner = Between(data.shape, depth, data.shape.size());
  const std::int64_t rows = Between(indices.shape, 0, indices.shape.size() - 1);
  if (Length(updates) != rows * inner) return Contradicts("updates of a scatter");
  Array& result = call.result();
  result.elements = data.elements;
  for (std::int64_t i = 0; i < rows; ++i) {
    CKPT_ASSIGN_OR_RETURN(const std::int64_t place, SliceOf(indices, i, data, 0));
    double* target = result.elements.data() + place * inner;
    const double* source = updates.elements.data() + i * inner;
    for (std::int64_t k = 0; k < inner; ++k) {
      target[k] = scatter.add ? target[k] + source[k] : source[k];
    }
  }
  return {};
}

Status Compute(const network::GatherElements& gather, const Call& call) {
  const Array &data = call[0], &indices = call[1];
  if (Rank(data) != Rank(indices)) return Contradicts("indices of another rank than the data");
  const std::int64_t counted = gather.axis < 0 ? gather.axis + Rank(data) : gather.axis;
  if (counted < 0 || counted >= Rank(data)) return Contradicts("no such axis to gather along");
  const auto axis = Index(counted);
  for (std::size_t i = 0; i < data.shape.size(); ++i) {
    if (i != axis && indices.shape[i] > data.shape[i]) return Contradicts("more indices than data");
  }
  const Sizes strides = StridesOf(data.shape);
  Counter counter(indices.shape);
  for (std::size_t i = 0; i < indices.elements.size(); ++i) {
    CKPT_ASSIGN_OR_RETURN(const std::int64_t index, Counted(indices.elements[i], data.shape[axis]));
    Sizes at = counter.index();
    at[axis] = index;
    call.result().elements[i] = data.elements[Index(OffsetOf(at, strides))];
    counter.Next();
  }
  return {};
}

Status Compute(const network::OneHot& one_hot, const Call& call) {
  const Array &indices = call[0], &values = call[2];
  if (Length(values) != 2) return Contradicts("values of a one-hot that are not two");
  Array& result = call.result();
  const std::int64_t counted = one_hot.axis < 0 ? one_hot.axis + Rank(result) : one_hot.axis;
  const AxisView view = ViewOf(result.shape, Index(counted));
  std::fill(result.elements.begin(), result.elements.end(), values.elements[0]);
  for (std::int64_t outer = 0; outer < view.outer; ++outer) {
    for (std::int64_t inner = 0; inner < view.inner; ++inner) {
      double index = indices.elements[Index(outer * view.inner + inner)];
      if (index < 0) index += static_cast<double>(view.size);
      if (!(index >= 0 && index < static_cast<double>(view.size))) continue;
      const auto at = static_cast<std::int64_t>(index);
      result.elements[Index((outer * view.size + at) * view.inner + inner)] = values.elements[1];
    }
  }
  return {};
}

}  // namespace ckpt::execution
