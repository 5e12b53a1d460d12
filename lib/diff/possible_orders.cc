#include "diff/possible_orders.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <string>

namespace ckpt {
namespace {

using Dims = std::vector<std::int64_t>;

constexpr std::size_t kMaxAxes = 5;
constexpr std::int64_t kMaxFlattenedChannels = 1 << 16;

class Orders {
 public:
  explicit Orders(const Shape& target) : target_(target) {}

  // Keeps the order if it fits and none before it does the same.
  void Add(Result<AxisOrder> order) {
    if (!order || order->result != target_) return;
    const bool seen = std::any_of(orders_.begin(), orders_.end(), [&](const AxisOrder& other) {
      return (IsIdentity(other) && IsIdentity(*order)) ||
             (other.split == order->split && other.axes == order->axes);
    });
    if (!seen) orders_.push_back(*std::move(order));
  }

  std::vector<AxisOrder> Take() { return std::move(orders_); }

 private:
  const Shape& target_;
  std::vector<AxisOrder> orders_;
};

Dims LongAxes(const Shape& shape) {
  Dims dims;
  for (const std::int64_t dim : shape.dims()) {
    if (dim != 1) dims.push_back(dim);
  }
  return dims;
}

bool Speaks(const TensorInfo& info, std::string_view word) {
  return info.name.find(word) != std::string::npos;
}

void AddConventional(const TensorInfo& a, const TensorInfo& b, bool to_last, Orders& orders) {
  using enum KernelLayout;
  if (b.shape.rank() < 2) return;
  const TensorInfo& last = to_last ? a : b;  // whose channels are last
  const auto depthwise = [&] {
    if (a.shape.rank() < 3) return;
    orders.Add(to_last ? OrderBetween(b.shape, kOutInSpatial, kSpatialInMultiplier,
                                      a.shape[a.shape.rank() - 1])
                       : OrderBetween(b.shape, kSpatialInMultiplier, kOutInSpatial));
  };
  if (Speaks(last, "depthwise")) depthwise();
  const bool transposed = b.shape.rank() > 2 && (Speaks(last, "transpose") || Speaks(a, "deconv"));
  if (transposed) {
    orders.Add(to_last ? OrderBetween(b.shape, kInOutSpatial, kSpatialOutIn)
                       : OrderBetween(b.shape, kSpatialOutIn, kInOutSpatial));
  }
  orders.Add(to_last ? OrderBetween(b.shape, kOutInSpatial, kSpatialInOut)
                     : OrderBetween(b.shape, kSpatialInOut, kOutInSpatial));
  depthwise();
}

void AddAsItIs(const TensorInfo& a, const TensorInfo& b, Orders& orders) {
  const Dims dims = LongAxes(b.shape);
  if (dims != LongAxes(a.shape)) return;
  AxisOrder order{dims, std::vector<std::size_t>(dims.size()), a.shape};
  std::iota(order.axes.begin(), order.axes.end(), std::size_t{0});
  if (a.shape != b.shape) order.name = ToString(b.shape) + " as " + ToString(a.shape);
  orders.Add(std::move(order));
}

void AddPermuted(const TensorInfo& a, const TensorInfo& b, Orders& orders) {
  const Dims from = LongAxes(b.shape), to = LongAxes(a.shape);
  if (from.size() > kMaxAxes || from.size() != to.size()) return;
  std::vector<std::size_t> axes(from.size());
  std::iota(axes.begin(), axes.end(), std::size_t{0});
  do {
    bool fits = true;
    std::string name;
    for (std::size_t k = 0; k < axes.size(); ++k) {
      fits = fits && from[axes[k]] == to[k];
      name += (k == 0 ? "" : ", ") + std::to_string(axes[k]);
    }
    if (fits) {
      orders.Add(AxisOrder{from, axes, a.shape, "axes longer than one in the order " + name});
    }
  } while (std::next_permutation(axes.begin(), axes.end()));
}

void AddBehindFlatten(const TensorInfo& a, const TensorInfo& b, bool to_last, Orders& orders) {
  if (a.shape.rank() != 2 || b.shape.rank() != 2) return;
  const std::int64_t inputs = b.shape[to_last ? 1 : 0];
  for (std::int64_t channels = 2; channels < inputs && channels <= kMaxFlattenedChannels;
       ++channels) {
    if (inputs % channels != 0) continue;
    orders.Add(OrderBehindFlatten(
        b.shape, to_last ? KernelLayout::kOutInSpatial : KernelLayout::kSpatialInOut, channels));
  }
}

}  // namespace

Direction DirectionOf(std::optional<Framework> from_b, std::optional<Framework> to_a) noexcept {
  if (!from_b || !to_a) return Direction::kUnknown;
  const bool first_b = IsChannelsFirst(*from_b), first_a = IsChannelsFirst(*to_a);
  if (first_a == first_b) return Direction::kUnknown;
  return first_b ? Direction::kToChannelsLast : Direction::kToChannelsFirst;
}

ShapeEvidence EvidenceOfShapes(const TensorInfo& a, const TensorInfo& b) {
  if (a.shape.rank() != b.shape.rank() || a.shape.rank() < 2) return ShapeEvidence::kUnclear;
  const auto fits = [&](bool to_last) {
    Orders orders(a.shape);
    AddConventional(a, b, to_last, orders);
    return !orders.Take().empty();
  };
  const bool same = a.shape == b.shape, to_last = fits(true), to_first = fits(false);
  if (same) return to_last || to_first ? ShapeEvidence::kUnclear : ShapeEvidence::kSame;
  if (to_last && to_first && a.shape.rank() == 2) return ShapeEvidence::kOther;
  if (to_last == to_first) return ShapeEvidence::kUnclear;
  return to_last ? ShapeEvidence::kToLast : ShapeEvidence::kToFirst;
}

namespace {

void AddConventions(const TensorInfo& a, const TensorInfo& b, Role role, Direction direction,
                    Orders& orders) {
  const bool kernel = role == Role::kKernel || role == Role::kOther;
  const bool conventional = kernel && direction != Direction::kUnknown;
  const bool to_last = direction == Direction::kToChannelsLast;
  if (conventional) AddConventional(a, b, to_last, orders);
  AddAsItIs(a, b, orders);
  if (kernel && !conventional) {
    AddConventional(a, b, true, orders);
    AddConventional(a, b, false, orders);
  }
  if (conventional) AddBehindFlatten(a, b, to_last, orders);
  if (kernel && !conventional) {
    AddBehindFlatten(a, b, true, orders);
    AddBehindFlatten(a, b, false, orders);
  }
}

}  // namespace

std::vector<AxisOrder> ConventionalOrders(const TensorInfo& a, const TensorInfo& b, Role role,
                                          Direction direction) {
  Orders orders(a.shape);
  if (a.shape.element_count() != b.shape.element_count()) return {};
  AddConventions(a, b, role, direction, orders);
  return orders.Take();
}

std::vector<AxisOrder> PossibleOrders(const TensorInfo& a, const TensorInfo& b, Role role,
                                      Direction direction) {
  Orders orders(a.shape);
  if (a.shape.element_count() != b.shape.element_count()) return {};
  AddConventions(a, b, role, direction, orders);
  AddPermuted(a, b, orders);
  return orders.Take();
}

}  // namespace ckpt
