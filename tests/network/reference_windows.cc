// Windows, products and recurrent layers.
#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>

#include "tests/network/reference_operations.h"

namespace ckpt::network::reference {

using execution::reference::DataIndex;
using execution::reference::KernelAt;
using execution::reference::SpanOf;

namespace {

// Data of a convolution or a pooling: [N, spatial..., C] or [N, C, spatial...].
struct Data {
  explicit Data(const Array& array, std::int64_t channel_axis)
      : first(channel_axis == 1), examples(array.shape[0]) {
    Sizes rest(array.shape.begin() + 1, array.shape.end());
    channels = first ? rest.front() : rest.back();
    rest.erase(first ? rest.begin() : rest.end() - 1);
    sizes = rest;
  }
  bool first;
  std::int64_t examples, channels = 0;
  Sizes sizes;
};

struct KernelShape {
  KernelShape(const Array& kernel, KernelLayout layout, std::int64_t ins, std::int64_t of_groups)
      : groups(of_groups) {
    const bool last = layout == KernelLayout::kSpatialInOut ||
                      layout == KernelLayout::kSpatialOutIn ||
                      layout == KernelLayout::kSpatialInMultiplier;
    const auto& s = kernel.shape;
    sizes = last ? Sizes(s.begin(), s.end() - 2) : Sizes(s.begin() + 2, s.end());
    const std::int64_t a = last ? s[s.size() - 2] : s[0], b = last ? s[s.size() - 1] : s[1];
    switch (layout) {
      case KernelLayout::kSpatialInOut:
        outs = b;
        break;
      case KernelLayout::kSpatialOutIn:
        outs = a * groups;
        break;
      case KernelLayout::kSpatialInMultiplier:
        groups = ins;
        outs = a * b;
        break;
      case KernelLayout::kOutInSpatial:
        outs = a;
        break;
      case KernelLayout::kInOutSpatial:
        outs = b * groups;
        break;
    }
  }
  Sizes sizes;
  std::int64_t groups, outs = 0;
};

double BiasAt(const Array* bias, std::int64_t out) {
  return bias == nullptr ? 0 : bias->elements[static_cast<std::size_t>(out)];
}

}  // namespace

Array Products(const Convolution& c, const Operands& x) {
  const Data data(*x[0], c.channel_axis);
  const KernelShape kernel(*x[1], c.layout, data.channels, c.groups);
  Sizes out, before;
  for (std::size_t i = 0; i < data.sizes.size(); ++i) {
    const auto span = SpanOf(data.sizes[i], kernel.sizes[i], Value(c.stride, i, 1),
                             Value(c.dilation, i, 1), c.padding, i, false);
    out.push_back(span.windows);
    before.push_back(span.before);
  }
  const std::int64_t ins = data.channels / kernel.groups;
  Array y = Zeros(DataIndex(data.examples, kernel.outs, out, data.first));
  ForEach({data.examples, kernel.outs}, [&](const Sizes& no) {
    const std::int64_t group = no[1] / (kernel.outs / kernel.groups);
    ForEach(out, [&](const Sizes& at) {
      double sum = BiasAt(Given(x, 2), no[1]);
      ForEach(kernel.sizes, [&](const Sizes& tap) {
        Sizes place = at;
        for (std::size_t i = 0; i < at.size(); ++i) {
          place[i] = at[i] * Value(c.stride, i, 1) + tap[i] * Value(c.dilation, i, 1) - before[i];
          if (place[i] < 0 || place[i] >= data.sizes[i]) return;
        }
        for (std::int64_t in = 0; in < ins; ++in) {
          sum += At(*x[0], DataIndex(no[0], group * ins + in, place, data.first)) *
                 KernelAt(*x[1], c.layout, tap, in, no[1], kernel.groups, kernel.outs, c.flipped,
                          kernel.sizes, ins);
        }
      });
      At(y, DataIndex(no[0], no[1], at, data.first)) = sum;
    });
  });
  return y;
}

// Of the lengths only kFromPadding, which decides no channel more than the others.
Array Products(const TransposedConvolution& c, const Operands& x) {
  const Data data(*x[0], c.channel_axis);
  const KernelShape kernel(*x[1], c.layout, data.channels, c.groups);
  Sizes out;
  for (std::size_t i = 0; i < data.sizes.size(); ++i) {
    const std::int64_t reach = (kernel.sizes[i] - 1) * Value(c.dilation, i, 1) + 1;
    out.push_back((data.sizes[i] - 1) * Value(c.stride, i, 1) + reach -
                  Value(c.padding.before, i, 0) - Value(c.padding.after, i, 0) +
                  Value(c.more, i, 0));
  }
  const std::int64_t ins = data.channels / kernel.groups, outs = kernel.outs / kernel.groups;
  Array y = Zeros(DataIndex(data.examples, kernel.outs, out, data.first));
  ForEach(y.shape, [&](const Sizes& at) {
    At(y, at) = BiasAt(Given(x, 2), data.first ? at[1] : at.back());
  });
  ForEach({data.examples, data.channels, outs}, [&](const Sizes& nio) {
    const std::int64_t o = nio[1] / ins * outs + nio[2];
    ForEach(data.sizes, [&](const Sizes& at) {
      ForEach(kernel.sizes, [&](const Sizes& tap) {
        Sizes place = at;
        for (std::size_t i = 0; i < at.size(); ++i) {
          place[i] = at[i] * Value(c.stride, i, 1) + tap[i] * Value(c.dilation, i, 1) -
                     Value(c.padding.before, i, 0);
          if (place[i] < 0 || place[i] >= out[i]) return;
        }
        At(y, DataIndex(nio[0], o, place, data.first)) +=
            At(*x[0], DataIndex(nio[0], nio[1], at, data.first)) *
            KernelAt(*x[1], c.layout, tap, nio[1] % ins, o, kernel.groups, kernel.outs, c.flipped,
                     kernel.sizes, ins);
      });
    });
  });
  return y;
}

namespace {

// [..., rows, columns], as the product takes it.
Array Matrix(const Array& x, bool transpose, bool left) {
  Array y = x;
  if (y.shape.size() == 1) {
    y.shape.insert(left ? y.shape.begin() : y.shape.end(), 1);
    return y;
  }
  if (!transpose) return y;
  const std::size_t last = y.shape.size() - 1;
  std::swap(y.shape[last], y.shape[last - 1]);
  return Filled(y.shape, [&](Sizes at) {
    std::swap(at[last], at[last - 1]);
    return At(x, at);
  });
}

}  // namespace

Array Products(const MatrixProduct& c, const Operands& x) {
  const Array a = Matrix(*x[0], c.transpose_a, true), b = Matrix(*x[1], c.transpose_b, false);
  const std::size_t rank = std::max(a.shape.size(), b.shape.size());
  Sizes shape(rank, 1);
  const auto batches = [&](const Array& one) {
    for (std::size_t i = 0; i + 2 < one.shape.size(); ++i) {
      std::int64_t& size = shape[rank - one.shape.size() + i];
      size = std::max(size, one.shape[i]);
    }
  };
  batches(a);
  batches(b);
  shape[rank - 2] = a.shape[a.shape.size() - 2];
  shape[rank - 1] = b.shape.back();
  const auto index = [&](const Array& one, const Sizes& at, std::int64_t row, std::int64_t column) {
    Sizes own(at.end() - static_cast<std::ptrdiff_t>(one.shape.size()), at.end());
    for (std::size_t i = 0; i < own.size(); ++i) own[i] = one.shape[i] == 1 ? 0 : own[i];
    own[own.size() - 2] = row;
    own[own.size() - 1] = column;
    return own;
  };
  Array y = Filled(shape, [&](const Sizes& at) {
    double sum = 0;
    for (std::int64_t k = 0; k < a.shape.back(); ++k) {
      sum += At(a, index(a, at, at[rank - 2], k)) * At(b, index(b, at, k, at[rank - 1]));
    }
    return c.factor * sum;
  });
  if (x[1]->shape.size() == 1) y.shape.pop_back();
  if (x[0]->shape.size() == 1) {
    y.shape.erase(y.shape.end() - (x[1]->shape.size() == 1 ? 1 : 2));
  }
  return y;
}

Array Products(const Einsum& c, const Operands& x) {
  std::vector<std::string> terms(1);
  const std::size_t arrow = c.equation.find("->");
  for (const char letter : c.equation.substr(0, arrow)) {
    if (letter == ',') {
      terms.emplace_back();
    } else {
      terms.back() += letter;
    }
  }
  const std::string result = c.equation.substr(arrow + 2);
  std::map<char, std::int64_t> sizes;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    for (std::size_t k = 0; k < terms[i].size(); ++k) sizes[terms[i][k]] = x[i]->shape[k];
  }
  std::string letters;
  Sizes all, shape;
  for (const auto& [letter, size] : sizes) {
    letters += letter;
    all.push_back(size);
  }
  const auto index = [&](const std::string& term, const Sizes& at) {
    Sizes own;
    for (const char letter : term) own.push_back(at[letters.find(letter)]);
    return own;
  };
  for (const char letter : result) shape.push_back(sizes.at(letter));
  Array y = Zeros(shape);
  ForEach(all, [&](const Sizes& at) {
    double product = 1;
    for (std::size_t i = 0; i < terms.size(); ++i) product *= At(*x[i], index(terms[i], at));
    At(y, index(result, at)) += product;
  });
  return y;
}

namespace {

double Gate(const Array& vector, const Array& kernel, const Array* bias, bool transposed,
            std::int64_t column) {
  double sum = BiasAt(bias, column);
  for (std::int64_t i = 0; i < CountOf(vector.shape); ++i) {
    sum += vector.elements[static_cast<std::size_t>(i)] *
           At(kernel, transposed ? Sizes{column, i} : Sizes{i, column});
  }
  return sum;
}

}  // namespace

Array Products(const Recurrent& c, const Operands& x) {
  const std::int64_t time = x[0]->shape[c.time_first ? 0 : 1], units = c.units;
  const std::int64_t examples = x[0]->shape[c.time_first ? 1 : 0];
  Array y = Zeros({x[0]->shape[0], x[0]->shape[1], units});
  for (std::int64_t n = 0; n < examples; ++n) {
    Array h = Zeros({units}), cell = Zeros({units});
    for (std::int64_t step = 0; step < time; ++step) {
      const std::int64_t t = c.backward ? time - 1 - step : step;
      const Array in = Filled({x[0]->shape[2]}, [&](const Sizes& at) {
        return At(*x[0], c.time_first ? Sizes{t, n, at[0]} : Sizes{n, t, at[0]});
      });
      Array next = h;
      for (std::int64_t u = 0; u < units; ++u) {
        const auto own = [&](std::size_t gate) {
          return Gate(in, *x[1], Given(x, 3), c.transposed, c.gates[gate] * units + u);
        };
        const auto recurrent = [&](std::size_t gate, const Array& state) {
          return Gate(state, *x[2], Given(x, 4), c.transposed, c.gates[gate] * units + u);
        };
        const auto sigma = [&](double z) { return Evaluated(c.gate_activation, z); };
        const auto phi = [&](double z) { return Evaluated(c.activation, z); };
        const auto at = static_cast<std::size_t>(u);
        if (c.cell == Recurrent::Cell::kSimple) {
          next.elements[at] = phi(own(0) + recurrent(0, h));
        } else if (c.cell == Recurrent::Cell::kLstm) {
          const double i = sigma(own(0) + recurrent(0, h)), f = sigma(own(1) + recurrent(1, h));
          cell.elements[at] = f * cell.elements[at] + i * phi(own(2) + recurrent(2, h));
          next.elements[at] = sigma(own(3) + recurrent(3, h)) * phi(cell.elements[at]);
        } else {
          // With the reset gate behind the product, as in cuDNN.
          const double z = sigma(own(0) + recurrent(0, h)), r = sigma(own(1) + recurrent(1, h));
          const double candidate = phi(own(2) + r * recurrent(2, h));
          next.elements[at] = z * h.elements[at] + (1 - z) * candidate;
        }
      }
      h = next;
      ForEach({units}, [&](const Sizes& u) {
        At(y, c.time_first ? Sizes{t, n, u[0]} : Sizes{n, t, u[0]}) = At(h, u);
      });
    }
  }
  return y;
}

Array Pooled(const Pool& c, const Array& x) {
  const Data data(x, c.channel_axis);
  Sizes out, before, end;
  for (std::size_t i = 0; i < data.sizes.size(); ++i) {
    const auto span = SpanOf(data.sizes[i], c.size[i], Value(c.stride, i, 1),
                             Value(c.dilation, i, 1), c.padding, i, c.ceil);
    out.push_back(span.windows);
    before.push_back(span.before);
    end.push_back(data.sizes[i] + span.after);
  }
  Array y = Zeros(DataIndex(data.examples, data.channels, out, data.first));
  ForEach({data.examples, data.channels}, [&](const Sizes& nc) {
    ForEach(out, [&](const Sizes& at) {
      std::vector<double> seen;
      double counted = 0, sum = 0, squares = 0;
      ForEach(c.size, [&](const Sizes& tap) {
        Sizes place = at;
        bool inside = true, padded = true;
        for (std::size_t i = 0; i < at.size(); ++i) {
          place[i] = at[i] * Value(c.stride, i, 1) + tap[i] * Value(c.dilation, i, 1) - before[i];
          inside = inside && place[i] >= 0 && place[i] < data.sizes[i];
          padded = padded && place[i] < end[i];
        }
        counted += padded ? 1 : 0;
        if (inside) seen.push_back(At(x, DataIndex(nc[0], nc[1], place, data.first)));
      });
      for (const double one : seen) {
        sum += one;
        squares += one * one;
      }
      if (!c.count_padding) counted = static_cast<double>(seen.size());
      At(y, DataIndex(nc[0], nc[1], at, data.first)) =
          c.kind == Pool::Kind::kMaximum   ? *std::max_element(seen.begin(), seen.end())
          : c.kind == Pool::Kind::kAverage ? sum / counted
                                           : std::sqrt(squares);
    });
  });
  return y;
}

}  // namespace ckpt::network::reference
