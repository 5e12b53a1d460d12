#include "verification/ports.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>
#include <utility>

#include "network/size_arithmetic.h"
#include "verification/axis_orders.h"
#include "verification/network_reading.h"

namespace ckpt {

using execution::Array;
using network::ElementKind;
using network::kUnknownSize;
using network::Network;
using network::Port;
using network::Sizes;

namespace {

// SplitMix64: the same numbers on every machine.
class Drawing {
 public:
  explicit Drawing(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u) {}
  std::uint64_t Bits() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  double Uniform() { return static_cast<double>(Bits() >> 11) * 0x1p-53; }
  // Of a normal distribution, rounded to float32, which is what a user would give.
  double Normal() {
    const double radius = std::sqrt(-2 * std::log(1 - Uniform()));
    return static_cast<float>(radius * std::cos(2 * std::numbers::pi * Uniform()));
  }

 private:
  std::uint64_t state_;
};

// How many rows the smallest table has that is looked up with the integers of this input.
std::int64_t RowsLookedUp(const Network& net, network::ValueId input) {
  std::set<network::ValueId> same = {input};
  std::int64_t rows = 10;
  bool found = false;
  for (const network::Operation& op : net.operations) {
    const auto* gather = std::get_if<network::Gather>(&op.computation);
    const auto* unary = std::get_if<network::Unary>(&op.computation);
    const bool passes = std::holds_alternative<network::Cast>(op.computation) ||
                        std::holds_alternative<network::Reshape>(op.computation) ||
                        std::holds_alternative<network::MergeAxes>(op.computation) ||
                        (unary != nullptr && unary->function == network::UnaryFunction::kIdentity);
    if (passes && same.contains(op.operands[0])) same.insert(op.results[0]);
    if (gather == nullptr || !same.contains(op.operands[1])) continue;
    const auto& table = net.value(op.operands[0]).shape;
    if (!table || table->empty()) continue;
    const auto rank = static_cast<std::int64_t>(table->size());
    const std::int64_t axis = gather->axis < 0 ? gather->axis + rank : gather->axis;
    if (axis < 0 || axis >= rank || (*table)[static_cast<std::size_t>(axis)] < 1) continue;
    const std::int64_t size = (*table)[static_cast<std::size_t>(axis)];
    rows = found ? std::min(rows, size) : size;
    found = true;
  }
  return rows;
}

// Is the input fed as the variance of a batch norm?
bool IsVariance(const Network& net, network::ValueId input) {
  return std::any_of(net.operations.begin(), net.operations.end(), [&](const auto& op) {
    return std::holds_alternative<network::BatchNormalization>(op.computation) &&
           op.operands.size() > 4 && op.operands[4] == input;
  });
}

Array Draw(const Network& net, const Port& port, const Sizes& shape, Drawing& drawing) {
  const ElementKind kind = net.value(port.value).kind.value_or(ElementKind::kReal);
  Array array{shape, {}, kind};
  std::size_t count = 1;
  for (const std::int64_t size : shape) count *= static_cast<std::size_t>(size);
  array.elements.resize(count);
  const std::int64_t rows = RowsLookedUp(net, port.value);
  const bool positive = IsVariance(net, port.value);
  const bool looked_up = kind == ElementKind::kInteger || rows != 10;
  for (double& element : array.elements) {
    if (kind == ElementKind::kBoolean) {
      element = static_cast<double>(drawing.Bits() & 1);
    } else if (looked_up) {
      element = static_cast<double>(drawing.Bits() % static_cast<std::uint64_t>(rows));
    } else {
      element = drawing.Normal();
      if (positive) element = std::abs(element);
    }
  }
  return array;
}

// Channels first or last, by the first operation behind the value that says so.
std::optional<std::int64_t> ChannelAxisBehind(const Network& net, network::ValueId input) {
  std::set<network::ValueId> reached = {input};
  for (const network::Operation& op : net.operations) {
    if (op.operands.empty() || !reached.contains(op.operands[0])) continue;
    if (const auto* conv = std::get_if<network::Convolution>(&op.computation)) {
      return conv->channel_axis;
    }
    if (const auto* pool = std::get_if<network::Pool>(&op.computation)) return pool->channel_axis;
    if (std::holds_alternative<network::Transpose>(op.computation)) continue;
    for (const network::ValueId result : op.results) {
      if (result != network::kNoValue && net.value(result).shape &&
          net.value(result).shape->size() == net.value(input).shape.value_or(Sizes{}).size()) {
        reached.insert(result);
      }
    }
  }
  return std::nullopt;
}

// The sizes that both know, A's axes; nothing where they contradict one another.
std::optional<Sizes> Unified(const Sizes& a, const Sizes& b, const Sizes& order) {
  if (a.size() != b.size()) return std::nullopt;
  Sizes both = a;
  for (std::size_t i = 0; i < b.size(); ++i) {
    std::int64_t& mine = both[order.empty() ? i : static_cast<std::size_t>(order[i])];
    if (b[i] == kUnknownSize) continue;
    if (mine != kUnknownSize && mine != b[i]) return std::nullopt;
    mine = b[i];
  }
  return both;
}

Error Usage(std::string message) { return {ErrorCode::kInvalidArgument, std::move(message)}; }

std::string Listed(const std::vector<Port>& ports) {
  std::string text;
  for (const Port& port : ports) text += (text.empty() ? "\"" : ", \"") + port.name + "\"";
  return text;
}

std::optional<std::size_t> FindPort(const std::vector<Port>& ports, const std::string& name) {
  for (std::size_t i = 0; i < ports.size(); ++i) {
    if (ports[i].name == name) return i;
  }
  return std::nullopt;
}

// By the map, by name, by order.
Result<std::vector<PortPair>> PairByNames(const std::vector<Port>& a, const std::vector<Port>& b,
                                          const std::map<std::string, std::string>& map,
                                          std::string_view what) {
  for (const auto& [name_a, name_b] : map) {
    if (!FindPort(a, name_a))
      return Fail(Usage("A has no " + std::string(what) + " \"" + name_a + "\": " + Listed(a)));
    if (!FindPort(b, name_b))
      return Fail(Usage("B has no " + std::string(what) + " \"" + name_b + "\": " + Listed(b)));
  }
  std::vector<PortPair> pairs;
  std::set<std::size_t> taken;
  const auto wanted = [&](const Port& port) {
    const auto mapped = map.find(port.name);
    return FindPort(b, mapped == map.end() ? port.name : mapped->second);
  };
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (const auto found = wanted(a[i]); found && taken.insert(*found).second) {
      pairs.push_back({i, *found, {}});
    }
  }
  std::size_t next = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::any_of(pairs.begin(), pairs.end(), [&](const PortPair& p) { return p.a == i; }))
      continue;
    while (next < b.size() && taken.contains(next)) ++next;
    if (next == b.size()) break;
    taken.insert(next);
    pairs.push_back({i, next, {}});
  }
  std::sort(pairs.begin(), pairs.end(), [](const auto& x, const auto& y) { return x.a < y.a; });
  return pairs;
}

class Giver {
 public:
  Giver(const Runnable& a, const Runnable& b, const VerifyOptions& options)
      : a_(*a.network), b_(*b.network), options_(options), drawing_(options.seed) {}

  Result<GivenInputs> Give() {
    // Inputs that nothing reads need no counterpart.
    std::vector<Port> of_a = a_.inputs, of_b = b_.inputs;
    if (of_a.size() != of_b.size()) {
      of_a = TakeRead(a_, false);
      of_b = TakeRead(b_, true);
    }
    if (of_a.size() != of_b.size()) {
      return Fail(ErrorCode::kUnfit,
                  "A has the inputs " + Listed(a_.inputs) + ", and B has " + Listed(b_.inputs));
    }
    for (const auto& [name, array] : options_.inputs) {
      if (!FindPort(a_.inputs, name)) {
        return Fail(Usage("A has no input \"" + name + "\": " + Listed(a_.inputs)));
      }
    }
    for (const auto& [name, shape] : options_.shapes) {
      if (!FindPort(a_.inputs, name) && !FindPort(b_.inputs, name)) {
        return Fail(Usage("no input is called \"" + name + "\": " + Listed(a_.inputs)));
      }
    }
    CKPT_ASSIGN_OR_RETURN(given_.pairs, PairByNames(of_a, of_b, options_.input_map, "input"));
    given_.a.resize(a_.inputs.size());
    given_.b.resize(b_.inputs.size());
    for (PortPair& pair : given_.pairs) {
      pair.a = *FindPort(a_.inputs, of_a[pair.a].name);
      pair.b = *FindPort(b_.inputs, of_b[pair.b].name);
      CKPT_RETURN_IF_ERROR(GiveOne(pair));
    }
    return std::move(given_);
  }

 private:
  // The inputs that its outputs need; notes the others.
  std::vector<Port> TakeRead(const Network& net, bool in_b) {
    std::vector<bool> read(net.values.size(), false);
    std::vector<network::ValueId> outputs;
    for (const Port& output : net.outputs) outputs.push_back(output.value);
    for (const network::ValueId id : outputs) read[id.index] = true;
    const std::vector<bool> needed = NeededFor(net, outputs);
    for (std::size_t i = 0; i < net.operations.size(); ++i) {
      for (const network::ValueId id : net.operations[i].operands) {
        if (needed[i] && id != network::kNoValue) read[id.index] = true;
      }
    }
    std::vector<Port> ports;
    for (const Port& port : net.inputs) {
      if (read[port.value.index]) ports.push_back(port);
      if (!read[port.value.index]) given_.unread.push_back({in_b, port.name});
    }
    return ports;
  }

  Status GiveOne(PortPair& pair) {
    const Port &port_a = a_.inputs[pair.a], &port_b = b_.inputs[pair.b];
    const auto given = options_.inputs.find(port_a.name);
    CKPT_ASSIGN_OR_RETURN(
        Sizes shape,
        ShapeOf(pair, given == options_.inputs.end() ? nullptr : &given->second.shape));
    Array array;
    if (given != options_.inputs.end()) {
      array = given->second;
      array.kind = a_.value(port_a.value).kind.value_or(array.kind);
    } else {
      CKPT_RETURN_IF_ERROR(CheckSize(shape, port_a));
      array = Draw(a_, port_a, shape, drawing_);
    }
    given_.used.push_back({port_a.name, port_b.name, array.shape, given == options_.inputs.end(),
                           !pair.order.empty()});
    given_.b[pair.b] = Ordered(array, pair.order);
    given_.a[pair.a] = std::move(array);
    return {};
  }

  Status CheckSize(const Sizes& shape, const Port& port) const {
    std::uint64_t count = 1;
    for (const std::int64_t size : shape) {
      if (size < 0)
        return Fail(Usage("the size of an axis of the input \"" + port.name + "\" is below 0"));
      if (__builtin_mul_overflow(count, static_cast<std::uint64_t>(size), &count))
        count = UINT64_MAX;
      if (count > options_.budget.memory_bytes / sizeof(double)) {
        return Fail(ErrorCode::kLimitExceeded,
                    "the input \"" + port.name + "\" takes more memory than is allowed");
      }
    }
    return {};
  }

  // A's shape of the pair, all sizes settled; sets the pair's order.
  Result<Sizes> ShapeOf(PortPair& pair, const Sizes* given) {
    const Port &port_a = a_.inputs[pair.a], &port_b = b_.inputs[pair.b];
    network::PartialShape a = a_.value(port_a.value).shape, b = b_.value(port_b.value).shape;
    CKPT_RETURN_IF_ERROR(Settle(port_a, a));
    CKPT_RETURN_IF_ERROR(Settle(port_b, b));
    if (given != nullptr) {
      const Sizes mine = a.value_or(Sizes(given->size(), kUnknownSize));
      if (!Unified(mine, *given, {})) {
        return Fail(Usage("the input \"" + port_a.name + "\" is of shape " + network::ToText(mine) +
                          ", and the values given for it of " + network::ToText(*given)));
      }
      a = *given;
    }
    if (!a && b) a = Sizes(b->size(), kUnknownSize);
    if (!a)
      return Fail(Usage("the shape of the input \"" + port_a.name + "\" is not known: give it"));
    if (!b) b = Sizes(a->size(), kUnknownSize);
    for (const Sizes& order : OrdersOf(port_a.value, port_b.value, a->size())) {
      if (auto both = Unified(*a, *b, order)) {
        pair.order = order;
        return Filled(*std::move(both), port_a);
      }
    }
    return Fail(ErrorCode::kUnfit, "the inputs \"" + port_a.name + "\" of A and \"" + port_b.name +
                                       "\" of B have shapes that do not agree: " +
                                       network::ToText(*a) + " and " + network::ToText(*b));
  }

  // By --shape.
  Status Settle(const Port& port, network::PartialShape& shape) const {
    const auto told = options_.shapes.find(port.name);
    if (told == options_.shapes.end()) return {};
    const auto both = shape ? Unified(*shape, told->second, {}) : std::optional(told->second);
    if (!both)
      return Fail(Usage("the input \"" + port.name + "\" is of shape " + network::ToText(*shape) +
                        ", and cannot have " + network::ToText(told->second)));
    shape = both;
    return {};
  }

  // The likeliest first.
  std::vector<Sizes> OrdersOf(network::ValueId in_a, network::ValueId in_b,
                              std::size_t rank) const {
    std::vector<Sizes> orders = LikelyOrders(rank);
    const auto a = ChannelAxisBehind(a_, in_a), b = ChannelAxisBehind(b_, in_b);
    if (rank < 3 || !a || !b || *a == *b) return orders;
    // [N, C, ...] in A becomes [N, ..., C] in B, or the reverse.
    const std::size_t first = *a == 1 ? 1 : orders.size() - 1;
    std::swap(orders[0], orders[first]);
    return orders;
  }

  Result<Sizes> Filled(Sizes shape, const Port& port) const {
    if (!shape.empty() && shape[0] == kUnknownSize) shape[0] = options_.batch;
    if (std::find(shape.begin(), shape.end(), kUnknownSize) != shape.end()) {
      return Fail(
          Usage("the file leaves sizes of the input \"" + port.name + "\" open: give its shape"));
    }
    return shape;
  }

  const Network &a_, &b_;
  const VerifyOptions& options_;
  Drawing drawing_;
  GivenInputs given_;
};

}  // namespace

Result<GivenInputs> GiveInputs(const Runnable& a, const Runnable& b, const VerifyOptions& options) {
  return Giver(a, b, options).Give();
}

Result<std::vector<PortPair>> PairOutputs(const Network& a, const Network& b,
                                          const VerifyOptions& options) {
  if (a.outputs.size() != b.outputs.size()) {
    return Fail(ErrorCode::kUnfit,
                "A has the outputs " + Listed(a.outputs) + ", and B has " + Listed(b.outputs));
  }
  return PairByNames(a.outputs, b.outputs, options.output_map, "output");
}

}  // namespace ckpt
