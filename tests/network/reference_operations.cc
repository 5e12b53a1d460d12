#include "tests/network/reference_operations.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

namespace ckpt::network::reference {
namespace {

// The element of x that stands at a place of what it broadcasts to.
double Broadcast(const Array& x, const Sizes& at) {
  Sizes own(at.end() - static_cast<std::ptrdiff_t>(x.shape.size()), at.end());
  for (std::size_t i = 0; i < own.size(); ++i) own[i] = x.shape[i] == 1 ? 0 : own[i];
  return At(x, own);
}
Sizes BroadcastShape(const Operands& x) {
  Sizes shape;
  for (const Array* one : x) {
    if (one->shape.size() > shape.size())
      shape.insert(shape.begin(), one->shape.size() - shape.size(), 1);
    const std::size_t skipped = shape.size() - one->shape.size();
    for (std::size_t i = 0; i < one->shape.size(); ++i) {
      shape[skipped + i] = std::max(shape[skipped + i], one->shape[i]);
    }
  }
  return shape;
}
double Parameter(const Array* vector, std::int64_t at, double neutral) {
  return vector == nullptr ? neutral : vector->elements[static_cast<std::size_t>(at)];
}
Array Reshaped(const Array& x, Sizes shape) {
  Array y = x;
  for (std::int64_t& size : shape) {
    if (size != Reshape::kRest) continue;
    size = 1;
    size = CountOf(x.shape) / std::abs(CountOf(shape));
  }
  y.shape = std::move(shape);
  return y;
}
bool Contains(const Sizes& list, std::int64_t value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

struct Moments {
  double mean = 0, variance = 0, squares = 0;
};
Moments MomentsOf(const std::vector<double>& values) {
  Moments moments;
  const auto count = static_cast<double>(values.size());
  for (const double one : values) {
    moments.mean += one / count;
    moments.squares += one * one / count;
  }
  for (const double one : values) {
    moments.variance += (one - moments.mean) * (one - moments.mean) / count;
  }
  return moments;
}
// The elements of x for which the predicate of their place holds.
template <class Predicate>
std::vector<double> Those(const Array& x, const Predicate& predicate) {
  std::vector<double> values;
  ForEach(x.shape, [&](const Sizes& at) {
    if (predicate(at)) values.push_back(At(x, at));
  });
  return values;
}

class Evaluation {
 public:
  Evaluation(const Operands& x, std::size_t result) : x_(x), result_(result) {}

  Array operator()(const Convolution& c) const { return Products(c, x_); }
  Array operator()(const TransposedConvolution& c) const { return Products(c, x_); }
  Array operator()(const MatrixProduct& c) const { return Products(c, x_); }
  Array operator()(const Einsum& c) const { return Products(c, x_); }
  Array operator()(const Recurrent& c) const { return Products(c, x_); }
  Array operator()(const Pool& c) const { return Pooled(c, data()); }
  Array operator()(const Resize& c) const { return Resized(c, x_); }
  Array operator()(const Pad& c) const { return Padded(c, x_); }
  Array operator()(const BatchNormalization& c) const;
  Array operator()(const LayerNormalization& c) const;
  Array operator()(const GroupNormalization& c) const;
  Array operator()(const LocalResponseNormalization& c) const;
  Array operator()(const Unary& c) const {
    return Filled(shape(), [&](const Sizes& at) { return Evaluated(c, At(data(), at)); });
  }
  Array operator()(const Binary& c) const;
  Array operator()(const Select&) const {
    return Filled(BroadcastShape(x_), [&](const Sizes& at) {
      return Broadcast(*x_[0], at) != 0 ? Broadcast(*x_[1], at) : Broadcast(*x_[2], at);
    });
  }
  Array operator()(const Reduction& c) const;
  Array operator()(const ArgExtreme& c) const;
  Array operator()(const Softmax& c) const;
  Array operator()(const CumulativeSum& c) const;
  Array operator()(const Reshape& c) const;
  Array operator()(const MergeAxes& c) const;
  Array operator()(const InsertAxes& c) const;
  Array operator()(const DropAxes& c) const;
  Array operator()(const Transpose& c) const;
  Array operator()(const Concatenate& c) const;
  Array operator()(const Split& c) const;
  Array operator()(const Slice& c) const;
  Array operator()(const Gather& c) const;
  Array operator()(const GatherNd& c) const;
  Array operator()(const ScatterNd& c) const;
  Array operator()(const GatherElements& c) const;
  Array operator()(const OneHot& c) const;
  Array operator()(const Cast& c) const {
    return Filled(shape(), [&](const Sizes& at) {
      const double x = At(data(), at);
      return c.to == ElementKind::kReal      ? x
             : c.to == ElementKind::kInteger ? std::trunc(x)
                                             : x != 0;
    });
  }
  Array operator()(const network::ShapeOf&) const {
    Array y = Zeros({static_cast<std::int64_t>(shape().size())});
    y.elements.assign(shape().begin(), shape().end());
    return y;
  }
  Array operator()(const Fill& c) const {
    const double value = Given(x_, 1) != nullptr ? x_[1]->elements[0] : c.value;
    return Filled(IntegersOf(data()), [&](const Sizes&) { return value; });
  }
  Array operator()(const Range&) const {
    Array y = Zeros({0});
    for (double at = x_[0]->elements[0]; at < x_[1]->elements[0]; at += x_[2]->elements[0]) {
      y.elements.push_back(at);
      ++y.shape[0];
    }
    return y;
  }
  Array operator()(const BroadcastTo& c) const {
    const Array like = Zeros(Integers(x_, 1, c.shape));
    return Filled(BroadcastShape({&data(), &like}),
                  [&](const Sizes& at) { return Broadcast(data(), at); });
  }
  Array operator()(const Tile& c) const {
    const Sizes counts = Integers(x_, 1, c.counts);
    Sizes to = shape();
    for (std::size_t i = 0; i < to.size(); ++i) to[i] *= counts[i];
    return Filled(to, [&](Sizes at) {
      for (std::size_t i = 0; i < at.size(); ++i) at[i] %= shape()[i];
      return At(data(), at);
    });
  }
  Array operator()(const SpaceAndDepth& c) const;
  Array operator()(const SpaceAndBatch& c) const;
  Array operator()(const Quantize& c) const {
    return Filled(shape(), [&](const Sizes& at) {
      return Quantized(At(data(), at), c.axis, c.low, c.high, at);
    });
  }
  Array operator()(const Dequantize& c) const {
    return Filled(shape(), [&](const Sizes& at) {
      return (At(data(), at) - Zero(c.axis, at)) * Scale(c.axis, at);
    });
  }
  Array operator()(const Unknown&) const { throw std::logic_error("nobody knows"); }

 private:
  const Array& data() const { return *x_[0]; }
  const Sizes& shape() const { return x_[0]->shape; }
  std::size_t Axis(std::int64_t axis) const { return Front(axis, shape().size()); }
  double Scale(std::int64_t axis, const Sizes& at) const {
    return Parameter(x_[1], at[Axis(axis)], 1);
  }
  double Zero(std::int64_t axis, const Sizes& at) const {
    return Parameter(Given(x_, 2), at[Axis(axis)], 0);
  }
  double Quantized(double x, std::int64_t axis, double low, double high, const Sizes& at) const {
    return std::clamp(std::nearbyint(x / Scale(axis, at) + Zero(axis, at)), low, high);
  }

  const Operands& x_;
  std::size_t result_;
};

Array Evaluation::operator()(const BatchNormalization& c) const {
  const std::size_t axis = Axis(c.axis);
  return Filled(shape(), [&](const Sizes& at) {
    const std::int64_t channel = at[axis];
    Moments moments = {Parameter(Given(x_, 3), channel, 0), Parameter(Given(x_, 4), channel, 1), 0};
    if (c.of_batch) {
      moments =
          MomentsOf(Those(data(), [&](const Sizes& other) { return other[axis] == channel; }));
    }
    return Parameter(Given(x_, 1), channel, 1) * (At(data(), at) - moments.mean) /
               std::sqrt(moments.variance + c.epsilon) +
           Parameter(Given(x_, 2), channel, 0);
  });
}

Array Evaluation::operator()(const LayerNormalization& c) const {
  Sizes axes;
  for (const std::int64_t axis : c.axes) axes.push_back(static_cast<std::int64_t>(Axis(axis)));
  return Filled(shape(), [&](const Sizes& at) {
    const Moments moments = MomentsOf(Those(data(), [&](const Sizes& other) {
      for (std::size_t i = 0; i < at.size(); ++i) {
        if (other[i] != at[i] && !Contains(axes, static_cast<std::int64_t>(i))) return false;
      }
      return true;
    }));
    std::int64_t place = 0;
    for (const std::int64_t axis : axes) {
      place = place * shape()[static_cast<std::size_t>(axis)] + at[static_cast<std::size_t>(axis)];
    }
    const double centred = At(data(), at) - (c.root_mean_square ? 0 : moments.mean);
    const double spread = c.root_mean_square ? moments.squares : moments.variance;
    return Parameter(Given(x_, 1), place, 1) * centred / std::sqrt(spread + c.epsilon) +
           Parameter(Given(x_, 2), place, 0);
  });
}

Array Evaluation::operator()(const GroupNormalization& c) const {
  const std::size_t axis = Axis(c.channel_axis);
  const std::int64_t of_group = c.groups == 0 ? 1 : shape()[axis] / c.groups;
  return Filled(shape(), [&](const Sizes& at) {
    const Moments moments = MomentsOf(Those(data(), [&](const Sizes& other) {
      return other[0] == at[0] && other[axis] / of_group == at[axis] / of_group;
    }));
    return Parameter(Given(x_, 1), at[axis], 1) * (At(data(), at) - moments.mean) /
               std::sqrt(moments.variance + c.epsilon) +
           Parameter(Given(x_, 2), at[axis], 0);
  });
}

Array Evaluation::operator()(const LocalResponseNormalization& c) const {
  const std::size_t axis = Axis(c.channel_axis);
  return Filled(shape(), [&](const Sizes& at) {
    double squares = 0;
    Sizes other = at;
    for (std::int64_t k = 0; k < c.size; ++k) {
      other[axis] = at[axis] - (c.size - 1) / 2 + k;
      if (other[axis] < 0 || other[axis] >= shape()[axis]) continue;
      squares += At(data(), other) * At(data(), other);
    }
    return At(data(), at) / std::pow(c.bias + c.alpha * squares, c.beta);
  });
}

Array Evaluation::operator()(const Binary& c) const {
  return Filled(BroadcastShape(x_), [&](const Sizes& at) {
    double y = Broadcast(*x_[0], at);
    for (std::size_t i = 1; i < x_.size(); ++i) {
      y = Evaluated(c.function, y, Broadcast(*x_[i], at));
    }
    return c.function == BinaryFunction::kMean ? y / static_cast<double>(x_.size()) : y;
  });
}

double Reduced(Reduction::Kind kind, const std::vector<double>& values) {
  double sum = 0, product = 1, norm = 0, squares = 0, exponentials = 0;
  bool all = true, any = false;
  for (const double one : values) {
    sum += one;
    product *= one;
    norm += std::abs(one);
    squares += one * one;
    exponentials += std::exp(one);
    all = all && one != 0;
    any = any || one != 0;
  }
  switch (kind) {
    case Reduction::Kind::kMean:
      return sum / static_cast<double>(values.size());
    case Reduction::Kind::kSum:
      return sum;
    case Reduction::Kind::kMaximum:
      return *std::max_element(values.begin(), values.end());
    case Reduction::Kind::kMinimum:
      return *std::min_element(values.begin(), values.end());
    case Reduction::Kind::kProduct:
      return product;
    case Reduction::Kind::kNorm1:
      return norm;
    case Reduction::Kind::kNorm2:
      return std::sqrt(squares);
    case Reduction::Kind::kSumOfSquares:
      return squares;
    case Reduction::Kind::kLogSum:
      return std::log(sum);
    case Reduction::Kind::kLogSumExp:
      return std::log(exponentials);
    case Reduction::Kind::kVariance:
      return MomentsOf(values).variance;
    case Reduction::Kind::kAll:
      return all ? 1 : 0;
    case Reduction::Kind::kAny:
      return any ? 1 : 0;
  }
  return 0;
}

Array Evaluation::operator()(const Reduction& c) const {
  const auto rank = static_cast<std::int64_t>(shape().size());
  Sizes axes = Integers(x_, 1, c.axes.listed);
  const bool listed = c.axes.which == Axes::Which::kListed || Given(x_, 1) != nullptr;
  if (listed && axes.empty() && c.none_is_identity) return data();
  for (std::int64_t& axis : axes) axis = static_cast<std::int64_t>(Axis(axis));
  const bool all = listed ? axes.empty() : c.axes.which == Axes::Which::kAll;
  for (std::int64_t axis = 0; all && axis < rank; ++axis) axes.push_back(axis);
  for (std::int64_t axis = 1; !listed && !all && axis < rank; ++axis) {
    if (axis != static_cast<std::int64_t>(Axis(c.axes.channel_axis))) axes.push_back(axis);
  }
  Sizes kept = shape();
  for (const std::int64_t axis : axes) kept[static_cast<std::size_t>(axis)] = 1;
  Array y = Filled(kept, [&](const Sizes& at) {
    return Reduced(c.kind, Those(data(), [&](const Sizes& other) {
                     for (std::int64_t i = 0; i < rank; ++i) {
                       const auto k = static_cast<std::size_t>(i);
                       if (other[k] != at[k] && !Contains(axes, i)) return false;
                     }
                     return true;
                   }));
  });
  if (c.keep) return y;
  Sizes left;
  for (std::int64_t i = 0; i < rank; ++i) {
    if (!Contains(axes, i)) left.push_back(shape()[static_cast<std::size_t>(i)]);
  }
  y.shape = left;
  return y;
}

Array Evaluation::operator()(const ArgExtreme& c) const {
  const std::size_t axis = Axis(c.axis);
  Sizes kept = shape();
  kept[axis] = 1;
  Array y = Filled(kept, [&](Sizes at) {
    std::int64_t best = 0;
    double extreme = At(data(), at);
    for (std::int64_t k = 1; k < shape()[axis]; ++k) {
      at[axis] = k;
      const double one = At(data(), at);
      const bool better = c.largest ? one > extreme : one < extreme;
      if (better || (c.last && one == extreme)) best = k;
      if (better) extreme = one;
    }
    return static_cast<double>(best);
  });
  if (!c.keep) y.shape.erase(y.shape.begin() + static_cast<std::ptrdiff_t>(axis));
  return y;
}

Array Evaluation::operator()(const Softmax& c) const {
  const std::size_t axis = Axis(c.axis);
  return Filled(shape(), [&](const Sizes& at) {
    double sum = 0;
    for (const double one : Those(data(), [&](const Sizes& other) {
           for (std::size_t i = 0; i < at.size(); ++i) {
             const bool free = c.merged ? i >= axis : i == axis;
             if (other[i] != at[i] && !free) return false;
           }
           return true;
         })) {
      sum += std::exp(one);
    }
    const double share = std::exp(At(data(), at)) / sum;
    return c.log ? std::log(share) : share;
  });
}

Array Evaluation::operator()(const CumulativeSum& c) const {
  const std::size_t axis = Axis(c.axis);
  return Filled(shape(), [&](Sizes at) {
    const std::int64_t own = at[axis];
    double sum = 0;
    for (at[axis] = 0; at[axis] < shape()[axis]; ++at[axis]) {
      const bool before = c.backward ? at[axis] > own : at[axis] < own;
      if (before || (at[axis] == own && !c.exclusive)) sum += At(data(), at);
    }
    return sum;
  });
}

Array Evaluation::operator()(const Reshape& c) const {
  Sizes to = Integers(x_, 1, c.shape);
  if (c.of_example) to.insert(to.begin(), shape()[0]);
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (to[i] == Reshape::kCopy && c.zero_copies) to[i] = shape()[i];
  }
  return Reshaped(data(), to);
}

Array Evaluation::operator()(const MergeAxes& c) const {
  const std::size_t first = Axis(c.first);
  const std::int64_t last =
      c.last < 0 ? c.last + static_cast<std::int64_t>(shape().size()) : c.last;
  Sizes to(shape().begin(), shape().begin() + static_cast<std::ptrdiff_t>(first));
  to.push_back(1);
  for (std::size_t i = first; i < shape().size(); ++i) {
    if (static_cast<std::int64_t>(i) <= last) {
      to.back() *= shape()[i];
      continue;
    }
    to.insert(to.end(), shape().begin() + static_cast<std::ptrdiff_t>(i), shape().end());
    break;
  }
  return Reshaped(data(), to);
}

Array Evaluation::operator()(const InsertAxes& c) const {
  const Sizes axes = Integers(x_, 1, c.axes);
  const std::size_t rank = shape().size() + axes.size();
  Sizes to(rank, 0);
  for (const std::int64_t axis : axes) to[Front(axis, rank)] = 1;
  std::size_t next = 0;
  for (std::int64_t& size : to) size = size == 1 ? 1 : shape()[next++];
  return Reshaped(data(), to);
}

Array Evaluation::operator()(const DropAxes& c) const {
  Sizes axes = Integers(x_, 1, c.axes), to;
  for (std::int64_t& axis : axes) axis = static_cast<std::int64_t>(Axis(axis));
  for (std::size_t i = 0; i < shape().size(); ++i) {
    const bool drop = axes.empty() ? shape()[i] == 1 : Contains(axes, static_cast<std::int64_t>(i));
    if (!drop) to.push_back(shape()[i]);
  }
  return Reshaped(data(), to);
}

Array Evaluation::operator()(const Transpose& c) const {
  Sizes order = c.order, to;
  if (order.empty()) {
    order.resize(shape().size());
    std::iota(order.rbegin(), order.rend(), 0);
  }
  for (const std::int64_t axis : order) to.push_back(shape()[Axis(axis)]);
  return Filled(to, [&](const Sizes& at) {
    Sizes from(at.size());
    for (std::size_t i = 0; i < at.size(); ++i) from[Axis(order[i])] = at[i];
    return At(data(), from);
  });
}

Array Evaluation::operator()(const Concatenate& c) const {
  const std::size_t axis = Axis(c.axis);
  Sizes to = shape();
  to[axis] = 0;
  for (const Array* one : x_) to[axis] += one->shape[axis];
  return Filled(to, [&](Sizes at) {
    std::size_t i = 0;
    for (; at[axis] >= x_[i]->shape[axis]; ++i) at[axis] -= x_[i]->shape[axis];
    return At(*x_[i], at);
  });
}

Array Evaluation::operator()(const Split& c) const {
  const std::size_t axis = Axis(c.axis);
  const Sizes sizes = Integers(x_, 1, c.sizes);
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < result_; ++i) begin += sizes[i];
  Sizes to = shape();
  to[axis] = sizes[result_];
  return Filled(to, [&](Sizes at) {
    at[axis] += begin;
    return At(data(), at);
  });
}

Array Evaluation::operator()(const Slice& c) const {
  const Sizes begin = Integers(x_, 1, c.begin), end = Integers(x_, 2, c.end);
  const Sizes axes = Integers(x_, 3, c.axes), step = Integers(x_, 4, c.step);
  std::vector<Sizes> taken(shape().size());
  Sizes to;
  for (std::size_t axis = 0; axis < shape().size(); ++axis) {
    std::int64_t from = 0, stop = shape()[axis], pace = 1;
    for (std::size_t i = 0; i < begin.size(); ++i) {
      if ((axes.empty() ? i : Axis(axes[i])) != axis) continue;
      pace = Value(step, i, 1);
      from = begin[i] < 0 ? begin[i] + stop : begin[i];
      const std::int64_t limit = pace > 0 ? shape()[axis] : -1;
      stop = end[i] == Slice::kToEnd ? limit : end[i] < 0 ? end[i] + shape()[axis] : end[i];
    }
    for (std::int64_t at = from; pace > 0 ? at < std::min(stop, shape()[axis]) : at > stop;
         at += pace) {
      taken[axis].push_back(at);
    }
    to.push_back(static_cast<std::int64_t>(taken[axis].size()));
  }
  return Filled(to, [&](Sizes at) {
    for (std::size_t i = 0; i < at.size(); ++i) at[i] = taken[i][static_cast<std::size_t>(at[i])];
    return At(data(), at);
  });
}

// The index that stands at a place of the indices, counted from the front.
std::int64_t IndexAt(const Array& indices, const Sizes& at, std::int64_t size) {
  const auto index = static_cast<std::int64_t>(At(indices, at));
  return index < 0 ? index + size : index;
}

Array Evaluation::operator()(const Gather& c) const {
  const std::size_t axis = Axis(c.axis), batch = static_cast<std::size_t>(c.batch_axes);
  const Sizes& indices = x_[1]->shape;
  Sizes to(shape().begin(), shape().begin() + static_cast<std::ptrdiff_t>(axis));
  to.insert(to.end(), indices.begin() + static_cast<std::ptrdiff_t>(batch), indices.end());
  to.insert(to.end(), shape().begin() + static_cast<std::ptrdiff_t>(axis) + 1, shape().end());
  const std::size_t chosen = indices.size() - batch;
  return Filled(to, [&](const Sizes& at) {
    Sizes from(at.begin(), at.begin() + static_cast<std::ptrdiff_t>(axis));
    Sizes place(at.begin(), at.begin() + static_cast<std::ptrdiff_t>(batch));
    const auto middle = at.begin() + static_cast<std::ptrdiff_t>(axis);
    place.insert(place.end(), middle, middle + static_cast<std::ptrdiff_t>(chosen));
    from.push_back(IndexAt(*x_[1], place, shape()[axis]));
    from.insert(from.end(), middle + static_cast<std::ptrdiff_t>(chosen), at.end());
    return At(data(), from);
  });
}

Array Evaluation::operator()(const GatherNd& c) const {
  const std::size_t batch = static_cast<std::size_t>(c.batch_axes);
  const Sizes& indices = x_[1]->shape;
  const auto count = static_cast<std::size_t>(indices.back());
  Sizes to(indices.begin(), indices.end() - 1);
  to.insert(to.end(), shape().begin() + static_cast<std::ptrdiff_t>(batch + count), shape().end());
  const auto outer = static_cast<std::ptrdiff_t>(indices.size()) - 1;
  return Filled(to, [&](const Sizes& at) {
    Sizes from(at.begin(), at.begin() + static_cast<std::ptrdiff_t>(batch));
    Sizes place(at.begin(), at.begin() + outer);
    for (std::size_t k = 0; k < count; ++k) {
      Sizes one = place;
      one.push_back(static_cast<std::int64_t>(k));
      from.push_back(IndexAt(*x_[1], one, shape()[batch + k]));
    }
    from.insert(from.end(), at.begin() + outer, at.end());
    return At(data(), from);
  });
}

Array Evaluation::operator()(const ScatterNd& c) const {
  Array y = data();
  const Sizes& indices = x_[1]->shape;
  const auto outer = static_cast<std::ptrdiff_t>(indices.size()) - 1;
  ForEach(x_[2]->shape, [&](const Sizes& at) {
    Sizes to;
    for (std::int64_t k = 0; k < indices.back(); ++k) {
      Sizes one(at.begin(), at.begin() + outer);
      one.push_back(k);
      to.push_back(IndexAt(*x_[1], one, shape()[static_cast<std::size_t>(k)]));
    }
    to.insert(to.end(), at.begin() + outer, at.end());
    At(y, to) = At(*x_[2], at) + (c.add ? At(y, to) : 0);
  });
  return y;
}

Array Evaluation::operator()(const GatherElements& c) const {
  const std::size_t axis = Axis(c.axis);
  return Filled(x_[1]->shape, [&](Sizes at) {
    at[axis] = IndexAt(*x_[1], at, shape()[axis]);
    return At(data(), at);
  });
}

Array Evaluation::operator()(const OneHot& c) const {
  const auto depth = static_cast<std::int64_t>(x_[1]->elements[0]);
  const std::size_t axis = Front(c.axis, shape().size() + 1);
  Sizes to = shape();
  to.insert(to.begin() + static_cast<std::ptrdiff_t>(axis), depth);
  return Filled(to, [&](Sizes at) {
    const std::int64_t place = at[axis];
    at.erase(at.begin() + static_cast<std::ptrdiff_t>(axis));
    return x_[2]->elements[IndexAt(data(), at, depth) == place ? 1 : 0];
  });
}

Array Evaluation::operator()(const SpaceAndDepth& c) const {
  const std::size_t channel = Axis(c.channel_axis), row = channel == 1 ? 2 : 1;
  const std::int64_t b = c.block, sign = c.to_space ? 1 : 0;
  Sizes to = shape();
  to[channel] = sign == 1 ? to[channel] / (b * b) : to[channel] * b * b;
  for (const std::size_t axis : {row, row + 1}) to[axis] = sign == 1 ? to[axis] * b : to[axis] / b;
  // The side with the channels of both: their place among the deep ones.
  const auto deep = [&](std::int64_t channel_at, std::int64_t block, std::int64_t channels) {
    return c.order == SpaceAndDepth::Order::kBlockFirst ? block * channels + channel_at
                                                        : channel_at * b * b + block;
  };
  const std::int64_t channels = c.to_space ? to[channel] : shape()[channel];
  Array y = Zeros(to);
  const Sizes& wide = c.to_space ? to : shape();
  ForEach(wide, [&](const Sizes& at) {
    Sizes low = at;
    const std::int64_t block = at[row] % b * b + at[row + 1] % b;
    low[row] /= b;
    low[row + 1] /= b;
    low[channel] = deep(at[channel], block, channels);
    if (c.to_space) {
      At(y, at) = At(data(), low);
    } else {
      At(y, low) = At(data(), at);
    }
  });
  return y;
}

// TensorFlow: SpaceToBatchND; batch b * n + i is that of block place b.
Array Evaluation::operator()(const SpaceAndBatch& c) const {
  const Sizes block = Integers(x_, 1, c.block);
  std::int64_t blocks = 1;
  for (const std::int64_t size : block) blocks *= size;
  Sizes to = shape();
  to[0] = c.to_space ? to[0] / blocks : to[0] * blocks;
  for (std::size_t i = 0; i < block.size(); ++i) {
    const std::int64_t amount = c.before[i] + c.after[i];
    to[i + 1] = c.to_space ? to[i + 1] * block[i] - amount : (to[i + 1] + amount) / block[i];
  }
  Array y = Zeros(to);
  const Sizes &wide = c.to_space ? to : shape(), &narrow = c.to_space ? shape() : to;
  const std::int64_t examples = wide[0];
  ForEach(wide, [&](const Sizes& at) {
    Sizes low = at;
    std::int64_t place = 0;
    for (std::size_t i = 0; i < block.size(); ++i) {
      const std::int64_t padded = at[i + 1] + c.before[i];
      place = place * block[i] + padded % block[i];
      low[i + 1] = padded / block[i];
      if (low[i + 1] >= narrow[i + 1]) return;
    }
    low[0] = place * examples + at[0];
    if (c.to_space) {
      At(y, at) = At(data(), low);
    } else {
      At(y, low) = At(data(), at);
    }
  });
  return y;
}

}  // namespace

Array Evaluated(const Computation& computation, const Operands& operands, std::size_t result) {
  return std::visit(Evaluation(operands, result), computation);
}

}  // namespace ckpt::network::reference
