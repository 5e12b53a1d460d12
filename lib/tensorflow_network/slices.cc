// Source: tensorflow/core/util/strided_slice_op.cc, core/ops/array_ops.cc.
#include "tensorflow_network/node.h"

namespace ckpt::tf_network {
namespace {

using network::Binary;
using network::BinaryFunction;
using network::Select;
using network::Slice;

Outcome SliceOf(Node& node) {
  const auto begin = node.Integers(1), size = node.Integers(2);
  if (begin && size && begin->size() == size->size()) {
    Slice slice;
    slice.begin = *begin;
    for (std::size_t i = 0; i < size->size(); ++i) {
      const std::int64_t length = (*size)[i];
      std::int64_t end = Slice::kToEnd;
      if (length != -1 && __builtin_add_overflow((*begin)[i], length, &end)) {
        return NotUnderstood("where it ends");
      }
      slice.end.push_back(end);
    }
    return node.Yield(slice, {node.Input(0)});
  }
  // A size of -1 is up to the end.
  NetworkBuilder& builder = node.builder();
  const ValueId to_end = node.Add(Binary{BinaryFunction::kEqual},
                                  {node.Input(2), builder.AddScalar(-1, ElementKind::kInteger)});
  const ValueId sum = node.Add(Binary{BinaryFunction::kAdd}, {node.Input(1), node.Input(2)});
  const ValueId last = builder.AddScalar(static_cast<double>(Slice::kToEnd), ElementKind::kInteger);
  const ValueId end = node.Add(Select{}, {to_end, last, sum});
  return node.Yield(Slice{}, {node.Input(0), node.Input(1), end});
}

bool Has(std::int64_t mask, std::size_t i) { return i < 63 && ((mask >> i) & 1) != 0; }

// What a StridedSlice says of its operand's axes, in its own order: entries that insert an axis
// read none.
struct Strides {
  Slice slice = {};
  Sizes dropped = {};                   // axes of the operand
  Sizes inserted = {};                  // axes of the result
  std::vector<std::size_t> entry = {};  // by entry of `slice`: the one of the operation
};

struct Masks {
  std::int64_t begin, end, ellipsis, new_axis, shrink;
};

// REQUIRES: `count` entries. The rank matters behind an ellipsis alone.
tl::expected<Strides, std::string> ReadMasks(const Masks& masks, std::size_t count,
                                             std::optional<std::int64_t> rank) {
  std::size_t reading = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (!Has(masks.ellipsis, i) && !Has(masks.new_axis, i)) ++reading;
  }
  Strides strides;
  std::int64_t axis = 0, of_result = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (Has(masks.ellipsis, i)) {
      if (!rank) return NotUnderstood("an ellipsis in data of a rank that is not known");
      const std::int64_t covered = *rank - static_cast<std::int64_t>(reading);
      if (covered < 0) return NotUnderstood("more axes than its data has");
      axis += covered;
      of_result += covered;
    } else if (Has(masks.new_axis, i)) {
      strides.inserted.push_back(of_result++);
    } else {
      strides.slice.axes.push_back(axis);
      strides.entry.push_back(i);
      if (Has(masks.shrink, i)) {
        strides.dropped.push_back(axis);
      } else {
        ++of_result;
      }
      ++axis;
    }
  }
  return strides;
}

// Where one entry begins and ends if its numbers are known.
void Bound(const Masks& masks, std::size_t i, std::int64_t begin, std::int64_t end,
           std::int64_t step, Slice& slice) {
  if (Has(masks.shrink, i)) {
    slice.begin.push_back(begin);
    slice.end.push_back(begin == -1 ? Slice::kToEnd : begin + 1);
    slice.step.push_back(1);
    return;
  }
  // The first element that a step meets.
  const std::int64_t first = step > 0 ? 0 : Slice::kToEnd;
  slice.begin.push_back(Has(masks.begin, i) ? first : begin);
  slice.end.push_back(Has(masks.end, i) ? Slice::kToEnd : end);
  slice.step.push_back(step);
}

// A vector of the operand's entries `entry`, in which what a mask makes known stands in.
ValueId Bounds(Node& node, ValueId from, const std::vector<std::size_t>& entry,
               const std::vector<std::optional<std::int64_t>>& masked) {
  NetworkBuilder& builder = node.builder();
  network::InlineConstant holds{
      {static_cast<std::int64_t>(entry.size())}, {}, ElementKind::kBoolean};
  Sizes numbers, places;
  for (std::size_t k = 0; k < entry.size(); ++k) {
    holds.elements.push_back(masked[k] ? 1 : 0);
    numbers.push_back(masked[k].value_or(0));
    places.push_back(static_cast<std::int64_t>(entry[k]));
  }
  const ValueId read = node.Add(network::Gather{}, {from, builder.AddIntegers(places)});
  return node.Add(Select{}, {builder.AddInline(holds), builder.AddIntegers(numbers), read});
}

// Bounds that are computed when the network runs.
ValueId SliceByOperands(Node& node, const Masks& masks, const Strides& strides,
                        const Sizes& steps) {
  NetworkBuilder& builder = node.builder();
  std::vector<std::optional<std::int64_t>> of_begin, of_end;
  network::InlineConstant shrinks{
      {static_cast<std::int64_t>(strides.entry.size())}, {}, ElementKind::kBoolean};
  Sizes step;
  for (const std::size_t i : strides.entry) {
    const bool shrink = Has(masks.shrink, i);
    const std::int64_t first = steps[i] > 0 ? 0 : Slice::kToEnd;
    of_begin.push_back(!shrink && Has(masks.begin, i) ? std::optional(first) : std::nullopt);
    of_end.push_back(!shrink && Has(masks.end, i) ? std::optional(Slice::kToEnd) : std::nullopt);
    shrinks.elements.push_back(shrink ? 1 : 0);
    step.push_back(shrink ? 1 : steps[i]);
  }
  const ValueId begin = Bounds(node, node.Input(1), strides.entry, of_begin);
  const ValueId end = Bounds(node, node.Input(2), strides.entry, of_end);
  // One element: behind the last one nothing follows that could be named.
  const ValueId next =
      node.Add(Binary{BinaryFunction::kAdd}, {begin, builder.AddScalar(1, ElementKind::kInteger)});
  const ValueId is_last = node.Add(Binary{BinaryFunction::kEqual},
                                   {begin, builder.AddScalar(-1, ElementKind::kInteger)});
  const ValueId to_end =
      builder.AddScalar(static_cast<double>(Slice::kToEnd), ElementKind::kInteger);
  const ValueId behind = node.Add(Select{}, {is_last, to_end, next});
  const ValueId stop = node.Add(Select{}, {builder.AddInline(shrinks), behind, end});
  return node.Add(Slice{}, {node.Input(0), begin, stop, builder.AddIntegers(strides.slice.axes),
                            builder.AddIntegers(step)});
}

// The sliced value with the axes of single elements gone and the new ones there.
Outcome Finish(Node& node, ValueId sliced, const Strides& strides) {
  if (!strides.dropped.empty()) {
    if (strides.inserted.empty()) return node.Yield(network::DropAxes{strides.dropped}, {sliced});
    sliced = node.Add(network::DropAxes{strides.dropped}, {sliced});
  }
  if (!strides.inserted.empty()) {
    return node.Yield(network::InsertAxes{strides.inserted}, {sliced});
  }
  return Values{sliced};
}

// How many entries the operands have.
std::optional<std::size_t> EntriesOf(const Node& node) {
  for (std::size_t i = 1; i <= 3; ++i) {
    const PartialShape& shape = node.Shape(i);
    if (shape && shape->size() == 1 && shape->front() >= 0 && shape->front() <= 62) {
      return static_cast<std::size_t>(shape->front());
    }
  }
  return std::nullopt;
}

// The bounds of entries whose numbers are known, all of them; nothing where one is not.
std::optional<Slice> KnownBounds(const Node& node, const Masks& masks, const Strides& strides,
                                 const Sizes& steps) {
  const auto begin = node.Partly(1), end = node.Partly(2);
  const auto at = [](const std::optional<PartialElements>& of, std::size_t i) {
    return of && i < of->elements.size() ? of->elements[i] : std::nullopt;
  };
  Slice slice;
  slice.axes = strides.slice.axes;
  for (const std::size_t i : strides.entry) {
    const bool shrink = Has(masks.shrink, i);
    const auto first = at(begin, i), last = at(end, i);
    if ((!first && (shrink || !Has(masks.begin, i))) || (!last && !shrink && !Has(masks.end, i))) {
      return std::nullopt;
    }
    Bound(masks, i, static_cast<std::int64_t>(first.value_or(0)),
          static_cast<std::int64_t>(last.value_or(0)), steps[i], slice);
  }
  return slice;
}

Outcome StridedSlice(Node& node) {
  const auto count = EntriesOf(node);
  const auto steps = node.Integers(3);
  if (!count || !steps || steps->size() != *count)
    return NotUnderstood("steps that the data decide");
  const Masks masks{node.Int("begin_mask", 0), node.Int("end_mask", 0),
                    node.Int("ellipsis_mask", 0), node.Int("new_axis_mask", 0),
                    node.Int("shrink_axis_mask", 0)};
  const auto strides = ReadMasks(masks, *count, node.Rank(0));
  if (!strides) return NotUnderstood(strides.error());
  for (const std::size_t i : strides->entry) {
    if ((*steps)[i] == 0) return NotUnderstood("a step of 0");
  }
  const auto slice = KnownBounds(node, masks, *strides, *steps);
  if (slice && strides->dropped.empty() && strides->inserted.empty()) {
    return node.Yield(*slice, {node.Input(0)});
  }
  const ValueId sliced =
      slice ? node.Add(*slice, {node.Input(0)}) : SliceByOperands(node, masks, *strides, *steps);
  return Finish(node, sliced, *strides);
}

// Whole axes turned round.
Outcome Reverse(Node& node) {
  const auto axes = node.Integers(1);
  if (!axes) return NotUnderstood("axes that the data decide");
  if (axes->empty()) {
    return node.Yield(network::Unary{network::UnaryFunction::kIdentity}, {node.Input(0)});
  }
  Slice slice;
  slice.axes = *axes;
  slice.begin.assign(axes->size(), Slice::kToEnd);
  slice.end.assign(axes->size(), Slice::kToEnd);
  slice.step.assign(axes->size(), -1);
  return node.Yield(slice, {node.Input(0)});
}

constexpr Row kSliceRows[] = {
    {"Slice", 3, SliceOf},
    {"StridedSlice", 4, StridedSlice},
    {"ReverseV2", 2, Reverse},
};

}  // namespace

std::span<const Row> SliceRows() { return kSliceRows; }

}  // namespace ckpt::tf_network
