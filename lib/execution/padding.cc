// Elements around a value.
#include <algorithm>

#include "execution/kernels.h"
#include "execution/strided.h"

namespace ckpt::execution {
namespace {

using network::Pad;

// Amounts for each axis of x, as the shape rule read them.
struct Amounts {
  Sizes before, after;
};

Amounts AmountsOf(const Pad& pad, const Call& call) {
  const Array& x = call[0];
  Amounts amounts{Sizes(x.shape.size(), 0), Sizes(x.shape.size(), 0)};
  Sizes listed = pad.axes, before = pad.before, after = pad.after;
  if (const Array* axes = call.Given(3)) {
    listed.clear();
    for (const double axis : axes->elements) listed.push_back(static_cast<std::int64_t>(axis));
  }
  if (const Array* both = call.Given(1)) {
    const std::size_t count = both->elements.size() / 2;
    before.clear();
    after.clear();
    for (std::size_t i = 0; i < count; ++i) {
      before.push_back(static_cast<std::int64_t>(both->elements[i]));
      after.push_back(static_cast<std::int64_t>(both->elements[count + i]));
    }
  }
  for (std::size_t i = 0; i < before.size(); ++i) {
    const std::int64_t named = listed.empty() ? static_cast<std::int64_t>(i) : listed[i];
    const std::size_t at = Index(named < 0 ? named + Rank(x) : named);
    amounts.before[at] = before[i];
    amounts.after[at] = after[i];
  }
  return amounts;
}

// The element of x, along an axis of `size`, that stands at place `at`; -1: the value.
std::int64_t SourceOf(Pad::Mode mode, std::int64_t at, std::int64_t size) {
  if (at >= 0 && at < size) return at;
  switch (mode) {
    case Pad::Mode::kConstant:
      return -1;
    case Pad::Mode::kEdge:
      return std::clamp<std::int64_t>(at, 0, size - 1);
    case Pad::Mode::kWrap:
      return ((at % size) + size) % size;
    case Pad::Mode::kReflect: {
      if (size == 1) return 0;
      const std::int64_t period = 2 * (size - 1);
      const std::int64_t within = ((at % period) + period) % period;
      return within < size ? within : period - within;
    }
    case Pad::Mode::kSymmetric: {
      const std::int64_t period = 2 * size;
      const std::int64_t within = ((at % period) + period) % period;
      return within < size ? within : period - 1 - within;
    }
  }
  return -1;
}

}  // namespace

Status Compute(const Pad& pad, const Call& call) {
  const Array& x = call[0];
  Array& y = call.result();
  if (y.elements.empty()) return {};
  const Amounts amounts = AmountsOf(pad, call);
  const Array* given = call.Given(2);
  if (given != nullptr && given->elements.size() != 1)
    return Contradicts("several values to pad with");
  const double value = given == nullptr ? pad.value : given->elements[0];
  if (x.elements.empty() && pad.mode != Pad::Mode::kConstant) {
    return Contradicts("nothing to pad with");
  }
  const Sizes strides = StridesOf(x.shape);
  // For each axis, the offset in x of each place of y; -1: the value.
  std::vector<Sizes> offsets(y.shape.size());
  for (std::size_t axis = 0; axis < y.shape.size(); ++axis) {
    for (std::int64_t i = 0; i < y.shape[axis]; ++i) {
      const std::int64_t source = SourceOf(pad.mode, i - amounts.before[axis], x.shape[axis]);
      offsets[axis].push_back(source < 0 ? -1 : source * strides[axis]);
    }
  }
  Counter counter(y.shape);
  for (double& element : y.elements) {
    std::int64_t offset = 0;
    for (std::size_t axis = 0; axis < offsets.size() && offset >= 0; ++axis) {
      const std::int64_t part = offsets[axis][Index(counter.index()[axis])];
      offset = part < 0 ? -1 : offset + part;
    }
    element = offset < 0 ? value : x.elements[Index(offset)];
    counter.Next();
  }
  return {};
}

}  // namespace ckpt::execution
