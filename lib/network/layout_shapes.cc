// Operations that move elements or copy them, and compute none.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "network/operand_shapes.h"

namespace ckpt::network {
namespace {

// How many integers an operand holds, where that is known.
std::optional<std::size_t> CountOf(const OperandShapes& operands, std::size_t i) {
  const PartialShape& shape = operands[i];
  if (!shape || shape->size() != 1 || !IsKnown((*shape)[0])) return std::nullopt;
  constexpr std::int64_t kMostAxes = 254;
  if ((*shape)[0] < 0 || (*shape)[0] > kMostAxes) return std::nullopt;
  return static_cast<std::size_t>((*shape)[0]);
}

// Sorted axes counted from the front, none twice.
Result<Sizes> SortedAxes(const Sizes& axes, std::int64_t rank) {
  Sizes sorted;
  for (const std::int64_t axis : axes) {
    CKPT_ASSIGN_OR_RETURN(const std::int64_t counted, AxisIn(axis, rank));
    sorted.push_back(counted);
  }
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
    return Fail(Contradiction("an axis is listed twice in " + ToText(axes)));
  }
  return sorted;
}

// The wanted sizes with kRest and copied ones filled in, as far as they are known.
Result<Sizes> FillShape(const Reshape& reshape, const Sizes& wanted, const PartialShape& data) {
  Sizes result = wanted;
  std::optional<std::size_t> rest;
  const std::size_t skipped = reshape.of_example ? 1 : 0;
  for (std::size_t i = skipped; i < result.size(); ++i) {
    if (result[i] == Reshape::kRest) {
      if (rest) return Fail(Contradiction("two sizes of -1 in " + ToText(wanted)));
      rest = i;
    } else if (result[i] == Reshape::kCopy && reshape.zero_copies) {
      if (data && i >= data->size()) return Fail(Contradiction("no axis to copy a size from"));
      result[i] = data ? (*data)[i] : kUnknownSize;
    } else if (result[i] < 0) {
      return Fail(Contradiction("a size of " + std::to_string(result[i])));
    }
  }
  if (!data) return result;
  CKPT_ASSIGN_OR_RETURN(const std::int64_t elements, ProductOf(*data));
  Sizes others = result;
  if (rest) others.erase(others.begin() + static_cast<std::ptrdiff_t>(*rest));
  CKPT_ASSIGN_OR_RETURN(const std::int64_t product, ProductOf(others));
  if (!IsKnown(elements) || !IsKnown(product)) {
    // Axis 0 is often unknown on both sides, and the same: its examples.
    if (rest && !data->empty() && !others.empty() && data->front() == kUnknownSize &&
        others.front() == kUnknownSize && (reshape.of_example || wanted[0] == Reshape::kCopy)) {
      CKPT_ASSIGN_OR_RETURN(const std::int64_t of_data, ProductOf(std::span(*data).subspan(1)));
      CKPT_ASSIGN_OR_RETURN(const std::int64_t of_rest, ProductOf(std::span(others).subspan(1)));
      if (IsKnown(of_data) && IsKnown(of_rest) && of_rest > 0 && of_data % of_rest == 0) {
        result[*rest] = of_data / of_rest;
      }
    }
    return result;
  }
  if (rest ? product == 0 || elements % product != 0 : product != elements) {
    if (!(rest && product == 0 && elements == 0)) {
      return Fail(Contradiction(ToText(*data) + " cannot have the shape " + ToText(wanted)));
    }
  }
  if (rest) result[*rest] = product == 0 ? 0 : elements / product;
  return result;
}

}  // namespace

Result<Shapes> ShapeOfReshape(const Reshape& reshape, const OperandShapes& operands) {
  CKPT_ASSIGN_OR_RETURN(std::optional<Sizes> wanted, ByOperand(operands, 1, reshape.shape));
  const PartialShape& data = operands[0];
  if (!wanted) {
    const auto count = CountOf(operands, 1);
    if (!count) return Shapes{PartialShape{}};
    return Shapes{OfRank(*count + (reshape.of_example ? 1 : 0))};
  }
  if (reshape.of_example) {
    const bool has_examples = data && !data->empty();
    if (data && data->empty()) return Fail(Contradiction("a scalar holds no examples"));
    wanted->insert(wanted->begin(), has_examples ? data->front() : kUnknownSize);
  }
  CKPT_ASSIGN_OR_RETURN(Sizes result, FillShape(reshape, *wanted, data));
  // A size that is still to be found out is unknown, as a size of -1 is.
  return Shapes{std::move(result)};
}

Result<Shapes> ShapeOfMerge(const MergeAxes& merge, const OperandShapes& operands) {
  if (!operands[0]) return Shapes{PartialShape{}};
  const Sizes& data = *operands[0];
  const auto rank = static_cast<std::int64_t>(data.size());
  const auto counted = [&](std::int64_t axis) { return axis < 0 ? axis + rank : axis; };
  const std::int64_t first = counted(merge.first), last = counted(merge.last);
  if (first < 0 || first > rank || last >= rank || last < first - 1) {
    return Fail(Contradiction("no axes " + std::to_string(merge.first) + " to " +
                              std::to_string(merge.last) + " in " + ToText(data)));
  }
  const auto begin = data.begin() + static_cast<std::ptrdiff_t>(first);
  const auto end = data.begin() + static_cast<std::ptrdiff_t>(last) + 1;
  Sizes result(data.begin(), begin);
  CKPT_ASSIGN_OR_RETURN(const std::int64_t product, ProductOf(Sizes(begin, end)));
  result.push_back(product);
  result.insert(result.end(), end, data.end());
  return Shapes{std::move(result)};
}

Result<Shapes> ShapeOfInsert(const InsertAxes& insert, const OperandShapes& operands) {
  CKPT_ASSIGN_OR_RETURN(const std::optional<Sizes> axes, ByOperand(operands, 1, insert.axes));
  if (!operands[0]) return Shapes{PartialShape{}};
  const Sizes& data = *operands[0];
  if (!axes) {
    const auto count = CountOf(operands, 1);
    return Shapes{count ? OfRank(data.size() + *count) : PartialShape{}};
  }
  const auto rank = static_cast<std::int64_t>(data.size() + axes->size());
  CKPT_ASSIGN_OR_RETURN(const Sizes sorted, SortedAxes(*axes, rank));
  Sizes result = data;
  for (const std::int64_t axis : sorted) {
    result.insert(result.begin() + static_cast<std::ptrdiff_t>(axis), 1);
  }
  return Shapes{std::move(result)};
}

Result<Shapes> ShapeOfDrop(const DropAxes& drop, const OperandShapes& operands) {
  CKPT_ASSIGN_OR_RETURN(const std::optional<Sizes> axes, ByOperand(operands, 1, drop.axes));
  if (!operands[0]) return Shapes{PartialShape{}};
  const Sizes& data = *operands[0];
  if (!axes) {
    const auto count = CountOf(operands, 1);
    return Shapes{count && *count <= data.size() ? OfRank(data.size() - *count) : PartialShape{}};
  }
  Sizes result;
  if (axes->empty()) {
    if (!AllKnown(data)) return Shapes{PartialShape{}};
    std::copy_if(data.begin(), data.end(), std::back_inserter(result),
                 [](std::int64_t size) { return size != 1; });
    return Shapes{std::move(result)};
  }
  CKPT_ASSIGN_OR_RETURN(const Sizes sorted,
                        SortedAxes(*axes, static_cast<std::int64_t>(data.size())));
  for (std::size_t i = 0; i < data.size(); ++i) {
    if (!std::binary_search(sorted.begin(), sorted.end(), static_cast<std::int64_t>(i))) {
      result.push_back(data[i]);
    } else if (IsKnown(data[i]) && data[i] != 1) {
      return Fail(Contradiction("axis " + std::to_string(i) + " of " + ToText(data) +
                                " is dropped and not of size 1"));
    }
  }
  return Shapes{std::move(result)};
}

Result<Shapes> ShapeOfTranspose(const Transpose& transpose, const OperandShapes& operands) {
  if (!operands[0]) {
    return Shapes{transpose.order.empty() ? PartialShape{} : OfRank(transpose.order.size())};
  }
  const Sizes& data = *operands[0];
  if (transpose.order.empty()) return Shapes{Sizes(data.rbegin(), data.rend())};
  CKPT_ASSIGN_OR_RETURN(const Sizes sorted,
                        SortedAxes(transpose.order, static_cast<std::int64_t>(data.size())));
  if (sorted.size() != data.size()) {
    return Fail(Contradiction("the order " + ToText(transpose.order) + " for " + ToText(data)));
  }
  Sizes result;
  for (const std::int64_t axis : transpose.order) {
    result.push_back(data[static_cast<std::size_t>(
        axis < 0 ? axis + static_cast<std::int64_t>(data.size()) : axis)]);
  }
  return Shapes{std::move(result)};
}

Result<Shapes> ShapeOfConcatenation(const Concatenate& concatenate, const OperandShapes& operands) {
  PartialShape result;
  bool all_known = true;
  std::int64_t length = 0;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const PartialShape& shape = operands[i];
    if (!shape) {
      all_known = false;
      continue;
    }
    CKPT_ASSIGN_OR_RETURN(const std::int64_t axis,
                          AxisIn(concatenate.axis, static_cast<std::int64_t>(shape->size())));
    const auto at = static_cast<std::size_t>(axis);
    if (!IsKnown((*shape)[at])) {
      all_known = false;
    } else {
      CKPT_ASSIGN_OR_RETURN(length, Plus(length, (*shape)[at]));
    }
    if (!result) {
      result = shape;
      continue;
    }
    if (result->size() != shape->size()) {
      return Fail(Contradiction(ToText(*result) + " and " + ToText(*shape) + " are joined"));
    }
    for (std::size_t k = 0; k < shape->size(); ++k) {
      if (k == at || !IsKnown((*shape)[k])) continue;
      if (!IsKnown((*result)[k])) (*result)[k] = (*shape)[k];
      if ((*result)[k] != (*shape)[k]) {
        return Fail(Contradiction(ToText(*result) + " and " + ToText(*shape) + " are joined"));
      }
    }
  }
  if (!result) return Shapes{PartialShape{}};
  CKPT_ASSIGN_OR_RETURN(const std::int64_t axis,
                        AxisIn(concatenate.axis, static_cast<std::int64_t>(result->size())));
  (*result)[static_cast<std::size_t>(axis)] = all_known ? length : kUnknownSize;
  return Shapes{std::move(result)};
}

Result<Shapes> ShapeOfSplit(const Split& split, const OperandShapes& operands,
                            std::size_t results) {
  if (!operands[0]) return Shapes(results);
  const Sizes& data = *operands[0];
  CKPT_ASSIGN_OR_RETURN(const std::int64_t axis,
                        AxisIn(split.axis, static_cast<std::int64_t>(data.size())));
  const auto at = static_cast<std::size_t>(axis);
  CKPT_ASSIGN_OR_RETURN(const std::optional<Sizes> sizes, ByOperand(operands, 1, split.sizes));
  Sizes parts(results, kUnknownSize);
  if (sizes && !sizes->empty()) {
    if (sizes->size() != results) {
      return Fail(Contradiction(std::to_string(sizes->size()) + " sizes for " +
                                std::to_string(results) + " parts"));
    }
    parts = *sizes;
  } else if (sizes && IsKnown(data[at])) {
    const auto count = static_cast<std::int64_t>(results);
    const std::int64_t part = count == 0 ? 0 : (data[at] + count - 1) / count;
    for (std::int64_t i = 0; i < count; ++i) {
      parts[static_cast<std::size_t>(i)] = std::clamp<std::int64_t>(data[at] - i * part, 0, part);
    }
  }
  // One part may be what is left over.
  CKPT_ASSIGN_OR_RETURN(const std::int64_t total, ProductOf(std::span(&data[at], 1)));
  std::int64_t sum = 0;
  std::optional<std::size_t> rest;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i] == kUnknownSize) {
      rest = i;
    } else if (parts[i] < 0) {
      return Fail(Contradiction("a part of " + std::to_string(parts[i]) + " elements"));
    } else {
      CKPT_ASSIGN_OR_RETURN(sum, Plus(sum, parts[i]));
    }
  }
  if (IsKnown(total) && sizes && (rest ? sum > total : sum != total)) {
    return Fail(Contradiction("parts of " + ToText(parts) + " of " + ToText(data)));
  }
  if (rest && IsKnown(total) && sizes &&
      std::count(parts.begin(), parts.end(), kUnknownSize) == 1) {
    parts[*rest] = total - sum;
  }
  Shapes shapes;
  for (const std::int64_t part : parts) {
    Sizes one = data;
    one[at] = part;
    shapes.emplace_back(std::move(one));
  }
  return shapes;
}

Stretch StretchOf(std::int64_t size, std::int64_t begin, std::int64_t end, std::int64_t step) {
  const std::int64_t lowest = step > 0 ? 0 : -1, highest = step > 0 ? size : size - 1;
  const auto place = [&](std::int64_t at) {
    if (at == Slice::kToEnd) return step > 0 ? highest : lowest;
    if (at < 0) at = at < -size ? lowest : at + size;
    return std::clamp(at, lowest, highest);
  };
  Stretch stretch;
  stretch.begin = begin == Slice::kToEnd && step < 0 ? highest : place(begin);
  const std::int64_t stop = place(end);
  const std::int64_t distance = step > 0 ? stop - stretch.begin : stretch.begin - stop;
  const std::int64_t pace = step > 0                                           ? step
                            : step == std::numeric_limits<std::int64_t>::min() ? kLargestSize
                                                                               : -step;
  stretch.count = distance <= 0 ? 0 : (distance - 1) / pace + 1;
  return stretch;
}

Result<Shapes> ShapeOfSlice(const Slice& slice, const OperandShapes& operands) {
  if (!operands[0]) return Shapes{PartialShape{}};
  Sizes result = *operands[0];
  CKPT_ASSIGN_OR_RETURN(const auto begin, ByOperand(operands, 1, slice.begin));
  CKPT_ASSIGN_OR_RETURN(const auto end, ByOperand(operands, 2, slice.end));
  CKPT_ASSIGN_OR_RETURN(const auto axes, ByOperand(operands, 3, slice.axes));
  CKPT_ASSIGN_OR_RETURN(const auto step, ByOperand(operands, 4, slice.step));
  if (!axes) return Shapes{OfRank(result.size())};
  const std::size_t count = !axes->empty() ? axes->size()
                            : begin        ? begin->size()
                            : end          ? end->size()
                                           : result.size();
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t named = axes->empty() ? static_cast<std::int64_t>(i) : (*axes)[i];
    CKPT_ASSIGN_OR_RETURN(const std::int64_t axis,
                          AxisIn(named, static_cast<std::int64_t>(result.size())));
    std::int64_t& size = result[static_cast<std::size_t>(axis)];
    const bool known = begin && end && step && IsKnown(size);
    if (!known) {
      size = kUnknownSize;
      continue;
    }
    if (i >= begin->size() || i >= end->size() || (!step->empty() && i >= step->size())) {
      return Fail(Contradiction("a slice of " + std::to_string(count) + " axes lacks bounds"));
    }
    const std::int64_t pace = step->empty() ? 1 : (*step)[i];
    if (pace == 0) return Fail(Contradiction("a slice with a step of 0"));
    size = StretchOf(size, (*begin)[i], (*end)[i], pace).count;
  }
  return Shapes{std::move(result)};
}

Result<Shapes> ShapeOfPad(const Pad& pad, const OperandShapes& operands) {
  if (!operands[0]) return Shapes{PartialShape{}};
  Sizes result = *operands[0];
  Sizes both = pad.before;
  both.insert(both.end(), pad.after.begin(), pad.after.end());
  CKPT_ASSIGN_OR_RETURN(const auto amounts, ByOperand(operands, 1, both));
  CKPT_ASSIGN_OR_RETURN(const auto axes, ByOperand(operands, 3, pad.axes));
  if (!amounts || !axes) return Shapes{OfRank(result.size())};
  const std::size_t count = axes->empty() ? result.size() : axes->size();
  if (amounts->size() != 2 * count) {
    return Fail(Contradiction(std::to_string(amounts->size()) + " amounts of padding for " +
                              ToText(result)));
  }
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t named = axes->empty() ? static_cast<std::int64_t>(i) : (*axes)[i];
    CKPT_ASSIGN_OR_RETURN(const std::int64_t axis,
                          AxisIn(named, static_cast<std::int64_t>(result.size())));
    std::int64_t& size = result[static_cast<std::size_t>(axis)];
    if (!IsKnown(size)) continue;
    CKPT_ASSIGN_OR_RETURN(size, Plus(size, (*amounts)[i]));
    CKPT_ASSIGN_OR_RETURN(size, Plus(size, (*amounts)[count + i]));
    if (size < 0) return Fail(Contradiction("more is cut off than there is"));
  }
  return Shapes{std::move(result)};
}

Result<Shapes> ShapeOfResize(const Resize& resize, const OperandShapes& operands) {
  if (!operands[0]) return Shapes{PartialShape{}};
  Sizes result = *operands[0];
  std::optional<Sizes> sizes = resize.sizes;
  std::optional<std::vector<double>> scales = resize.scales;
  if (operands.Given(1)) {
    sizes = Sizes{};
    scales = std::vector<double>{};
    if (operands.IsInteger(1)) {
      CKPT_ASSIGN_OR_RETURN(sizes, operands.Integers(1));
    } else {
      scales = operands.Elements(1);
    }
  }
  const bool all = resize.axes.empty();
  const std::size_t count = all ? result.size() : resize.axes.size();
  const std::size_t told = sizes && !sizes->empty()     ? sizes->size()
                           : scales && !scales->empty() ? scales->size()
                                                        : count;
  if (told != count) return Fail(Contradiction("a resize of " + ToText(result)));
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t named = all ? static_cast<std::int64_t>(i) : resize.axes[i];
    CKPT_ASSIGN_OR_RETURN(const std::int64_t axis,
                          AxisIn(named, static_cast<std::int64_t>(result.size())));
    std::int64_t& size = result[static_cast<std::size_t>(axis)];
    if (sizes && !sizes->empty()) {
      size = (*sizes)[i];
      if (size < 0) return Fail(Contradiction("a resize to " + std::to_string(size)));
    } else if (!scales || scales->empty() || !IsKnown(size)) {
      size = kUnknownSize;
    } else {
      const double length = std::floor(static_cast<double>(size) * (*scales)[i]);
      if (!(length >= 0 && length <= static_cast<double>(kLargestSize))) {
        return Fail(ErrorCode::kLimitExceeded, "a resize passes 2^62");
      }
      size = static_cast<std::int64_t>(length);
    }
  }
  return Shapes{std::move(result)};
}

Result<Shapes> ShapeOfTile(const Tile& tile, const OperandShapes& operands) {
  if (!operands[0]) return Shapes{PartialShape{}};
  Sizes result = *operands[0];
  CKPT_ASSIGN_OR_RETURN(const auto counts, ByOperand(operands, 1, tile.counts));
  if (!counts) return Shapes{OfRank(result.size())};
  if (counts->size() != result.size()) {
    return Fail(Contradiction("counts " + ToText(*counts) + " for " + ToText(result)));
  }
  for (std::size_t i = 0; i < result.size(); ++i) {
    if ((*counts)[i] < 0) return Fail(Contradiction("counts " + ToText(*counts)));
    if (!IsKnown(result[i])) continue;
    CKPT_ASSIGN_OR_RETURN(result[i], Times(result[i], (*counts)[i]));
  }
  return Shapes{std::move(result)};
}

Result<Shapes> ShapeOfBroadcastTo(const BroadcastTo& to, const OperandShapes& operands) {
  CKPT_ASSIGN_OR_RETURN(const auto shape, ByOperand(operands, 1, to.shape));
  if (!shape) {
    const auto count = CountOf(operands, 1);
    if (!count || !operands[0]) return Shapes{PartialShape{}};
    return Shapes{OfRank(std::max(*count, operands[0]->size()))};
  }
  if (std::any_of(shape->begin(), shape->end(), [](std::int64_t size) { return size < 0; })) {
    return Fail(Contradiction("a shape of " + ToText(*shape)));
  }
  const PartialShape both[] = {operands[0], *shape};
  CKPT_ASSIGN_OR_RETURN(PartialShape result, BroadcastOf(both));
  return Shapes{std::move(result)};
}

Result<Shapes> ShapeOfSpaceAndDepth(const SpaceAndDepth& blocks, const OperandShapes& operands) {
  if (!operands[0]) return Shapes{OfRank(4)};
  Sizes result = *operands[0];
  if (result.size() != 4 || blocks.block < 1 || blocks.block > kLargestSize) {
    return Fail(
        Contradiction("blocks of " + std::to_string(blocks.block) + " in " + ToText(result)));
  }
  const std::size_t channel = blocks.channel_axis == 1 ? 1 : 3;
  CKPT_ASSIGN_OR_RETURN(const std::int64_t area, Times(blocks.block, blocks.block));
  for (std::size_t i = 1; i < 4; ++i) {
    if (!IsKnown(result[i])) continue;
    const std::int64_t factor = i == channel ? area : blocks.block;
    if ((i == channel) != blocks.to_space) {
      CKPT_ASSIGN_OR_RETURN(result[i], Times(result[i], factor));
    } else if (result[i] % factor != 0) {
      return Fail(Contradiction("blocks of " + std::to_string(blocks.block) + " in " +
                                ToText(*operands[0])));
    } else {
      result[i] /= factor;
    }
  }
  return Shapes{std::move(result)};
}

Result<Shapes> ShapeOfSpaceAndBatch(const SpaceAndBatch& blocks, const OperandShapes& operands) {
  if (!operands[0]) return Shapes{PartialShape{}};
  Sizes result = *operands[0];
  CKPT_ASSIGN_OR_RETURN(const auto block, ByOperand(operands, 1, blocks.block));
  Sizes both;
  for (std::size_t i = 0; i < blocks.before.size() && i < blocks.after.size(); ++i) {
    both.push_back(blocks.before[i]);
    both.push_back(blocks.after[i]);
  }
  CKPT_ASSIGN_OR_RETURN(const auto around, ByOperand(operands, 2, both));
  if (!block || !around) return Shapes{OfRank(result.size())};
  if (block->size() + 1 > result.size() || around->size() != 2 * block->size()) {
    return Fail(Contradiction("blocks " + ToText(*block) + " in " + ToText(result)));
  }
  std::int64_t total = 1;
  for (std::size_t i = 0; i < block->size(); ++i) {
    const std::int64_t factor = (*block)[i];
    if (factor < 1) return Fail(Contradiction("blocks " + ToText(*block)));
    CKPT_ASSIGN_OR_RETURN(total, Times(total, factor));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t amount, Plus((*around)[2 * i], (*around)[2 * i + 1]));
    std::int64_t& size = result[i + 1];
    if (!IsKnown(size)) continue;
    if (blocks.to_space) {
      CKPT_ASSIGN_OR_RETURN(size, Times(size, factor));
      CKPT_ASSIGN_OR_RETURN(size, Minus(size, amount));
    } else {
      CKPT_ASSIGN_OR_RETURN(size, Plus(size, amount));
      if (size % factor != 0) return Fail(Contradiction("blocks " + ToText(*block)));
      size /= factor;
    }
    if (size < 0) return Fail(Contradiction("more is cut off than there is"));
  }
  if (!IsKnown(result[0])) return Shapes{std::move(result)};
  if (!blocks.to_space) {
    CKPT_ASSIGN_OR_RETURN(result[0], Times(result[0], total));
  } else if (result[0] % total != 0) {
    return Fail(Contradiction("blocks " + ToText(*block) + " in " + ToText(*operands[0])));
  } else {
    result[0] /= total;
  }
  return Shapes{std::move(result)};
}

}  // namespace ckpt::network
