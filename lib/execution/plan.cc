// What a run takes, from shapes alone; small integers are computed on the way, as they decide
// shapes.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "execution/kernels.h"
#include "execution/schedule.h"

namespace ckpt::execution {
namespace {

using network::kNoValue;
using network::Network;
using network::Operation;
using network::ValueId;

// More elements than these decide no shape.
constexpr std::uint64_t kMostKnown = 4096;

std::uint64_t SaturatingTimes(std::uint64_t a, std::uint64_t b) {
  std::uint64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}
std::uint64_t SaturatingPlus(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}
std::uint64_t ElementsOf(const Sizes& shape) {
  std::uint64_t count = 1;
  for (const std::int64_t size : shape) {
    count = SaturatingTimes(count, static_cast<std::uint64_t>(std::max<std::int64_t>(size, 0)));
  }
  return count;
}

// Sums of products: the products; all else: one an element of the result.
class Counting {
 public:
  Counting(const std::vector<Sizes>& operands, const Sizes& result)
      : operands_(operands), result_(result) {}

  std::uint64_t operator()(const network::Convolution& c) const {
    return SaturatingTimes(ElementsOf(result_),
                           ElementsOf(operands_[1]) / ChannelsOf(c.layout, c.groups));
  }
  std::uint64_t operator()(const network::TransposedConvolution& c) const {
    // Each element of x meets the part of the kernel of its channel.
    const Sizes& kernel = operands_[1];
    std::uint64_t in = 1;
    if (c.layout == KernelLayout::kInOutSpatial) in = static_cast<std::uint64_t>(kernel[0]);
    if (c.layout == KernelLayout::kSpatialOutIn) in = static_cast<std::uint64_t>(kernel.back());
    return SaturatingTimes(ElementsOf(operands_[0]),
                           ElementsOf(kernel) / std::max<std::uint64_t>(in, 1));
  }
  std::uint64_t operator()(const network::MatrixProduct& c) const {
    const Sizes& a = operands_[0];
    if (a.empty()) return 1;
    const bool first = c.transpose_a && a.size() > 1;
    const std::int64_t depth = first ? a[a.size() - 2] : a.back();
    return SaturatingTimes(ElementsOf(result_),
                           static_cast<std::uint64_t>(std::max<std::int64_t>(depth, 1)));
  }
  std::uint64_t operator()(const network::Einsum& einsum) const {
    // All letters: those of the first operand times the further ones of the others, at most.
    std::uint64_t count = 1;
    std::set<char> seen;
    std::size_t operand = 0, axis = 0;
    for (const char letter : einsum.equation.substr(0, einsum.equation.find("->"))) {
      if (letter == ',') {
        ++operand;
        axis = 0;
      } else if (letter != ' ' && letter != '.' && operand < operands_.size() &&
                 axis < operands_[operand].size()) {
        const std::int64_t size = operands_[operand][axis++];
        if (seen.insert(letter).second) {
          count =
              SaturatingTimes(count, static_cast<std::uint64_t>(std::max<std::int64_t>(size, 1)));
        }
      } else if (letter == '.') {
        return SaturatingTimes(ElementsOf(operands_[0]), ElementsOf(operands_.back()));
      }
    }
    return count;
  }
  std::uint64_t operator()(const network::Recurrent&) const {
    const Sizes& x = operands_[0];
    const std::uint64_t rows = x.size() == 3 ? ElementsOf({x[0], x[1]}) : 1;
    return SaturatingTimes(rows,
                           SaturatingPlus(ElementsOf(operands_[1]), ElementsOf(operands_[2])));
  }
  std::uint64_t operator()(const network::Pool& pool) const {
    return SaturatingTimes(ElementsOf(result_), ElementsOf(pool.size));
  }
  template <class T>
  std::uint64_t operator()(const T&) const {
    std::uint64_t count = ElementsOf(result_);
    for (const Sizes& operand : operands_) count = std::max(count, ElementsOf(operand));
    return count;
  }

 private:
  std::uint64_t ChannelsOf(KernelLayout layout, std::int64_t) const {
    const Sizes& kernel = operands_[1];
    std::int64_t out = 1;
    if (kernel.size() < 2) return 1;
    if (layout == KernelLayout::kSpatialInOut) out = kernel.back();
    if (layout == KernelLayout::kOutInSpatial) out = kernel[0];
    if (layout == KernelLayout::kSpatialInMultiplier) {
      out = static_cast<std::int64_t>(ElementsOf({kernel[kernel.size() - 2], kernel.back()}));
    }
    return static_cast<std::uint64_t>(std::max<std::int64_t>(out, 1));
  }

  const std::vector<Sizes>& operands_;
  const Sizes& result_;
};

class Planner {
 public:
  Planner(const Network& net, const Checkpoint& weights, const RunOptions& options)
      : net_(net), weights_(weights), options_(options), known_(net.values.size()) {
    plan_.shapes.resize(net.values.size());
    plan_.multiply_adds.assign(net.operations.size(), 0);
  }

  Result<Plan> Make(std::span<const Array> inputs, std::span<const Sizes> shapes) {
    const std::size_t count = std::max(inputs.size(), shapes.size());
    CKPT_ASSIGN_OR_RETURN(const Schedule schedule, Schedule::Of(net_, count, options_.wanted));
    for (std::size_t i = 0; i < count; ++i) {
      CKPT_RETURN_IF_ERROR(AddInput(i, inputs.empty() ? nullptr : &inputs[i],
                                    inputs.empty() ? shapes[i] : inputs[i].shape));
    }
    for (std::size_t place = 0; place < schedule.operations().size(); ++place) {
      const std::uint32_t index = schedule.operations()[place];
      if (Status status = Step(index); !status) return Fail(Within(net_, index, status.error()));
      CKPT_RETURN_IF_ERROR(CheckBudget(index));
      for (const ValueId id : schedule.DyingAt(place)) live_ -= std::min(live_, SizeOf(id));
    }
    for (const ValueId id : schedule.wanted()) {
      if (!plan_.shapes[id.index]) CKPT_RETURN_IF_ERROR(Load(id));
    }
    return std::move(plan_);
  }

 private:
  std::uint64_t SizeOf(ValueId id) const {
    const auto& shape = plan_.shapes[id.index];
    return shape ? SaturatingTimes(ElementsOf(*shape), sizeof(double)) : 0;
  }

  Status AddInput(std::size_t i, const Array* given, const Sizes& shape) {
    const ValueId id = net_.inputs[i].value;
    CKPT_RETURN_IF_ERROR(BytesOf(shape, options_.budget));
    plan_.shapes[id.index] = shape;
    live_ = SaturatingPlus(live_, SizeOf(id));
    const auto kind = net_.value(id).kind.value_or(network::ElementKind::kReal);
    if (ElementsOf(shape) > kMostKnown) return {};
    if (given != nullptr) {
      known_[id.index] = *given;
    } else if (kind == network::ElementKind::kInteger) {
      known_[id.index] = Array{shape, std::vector<double>(ElementsOf(shape), 0.0), kind};
    }
    return {};
  }

  // A constant's shape, and its elements where they are few.
  Status Load(ValueId id) {
    if (plan_.shapes[id.index]) return {};
    const network::Value& value = net_.value(id);
    if (!value.constant) {
      return Fail(ErrorCode::kCorrupt, "a value is read before it is made");
    }
    if (const auto* held = std::get_if<network::InlineConstant>(&*value.constant)) {
      plan_.shapes[id.index] = held->shape;
      if (ElementsOf(held->shape) != held->elements.size()) {
        return Fail(ErrorCode::kCorrupt, "a constant has other elements than its shape says");
      }
      if (held->elements.size() <= kMostKnown) {
        known_[id.index] = Array{held->shape, held->elements, held->kind};
      }
    } else {
      CKPT_RETURN_IF_ERROR(LoadStored(id, std::get<network::StoredConstant>(*value.constant)));
    }
    live_ = SaturatingPlus(live_, SizeOf(id));
    return {};
  }

  Status LoadStored(ValueId id, const network::StoredConstant& stored) {
    const auto& tensors = weights_.manifest().tensors;
    if (stored.tensor.index >= tensors.size()) {
      return Fail(ErrorCode::kInternal, "a constant of the network is no tensor of the checkpoint");
    }
    const TensorInfo& tensor = tensors[stored.tensor.index];
    const auto dims = tensor.shape.dims();
    Sizes shape = stored.shape.value_or(Sizes(dims.begin(), dims.end()));
    Sizes ordered = shape;
    for (std::size_t i = 0; i < stored.order.size(); ++i) {
      const std::int64_t axis = stored.order[i];
      if (axis < 0 || static_cast<std::size_t>(axis) >= shape.size() ||
          stored.order.size() != shape.size()) {
        return Fail(ErrorCode::kCorrupt, "a constant is read in an order of axes that is none");
      }
      ordered[i] = shape[static_cast<std::size_t>(axis)];
    }
    plan_.shapes[id.index] = ordered;
    if (tensor.shape.element_count() <= kMostKnown && !IsFloat(tensor.dtype)) return Read(id);
    return {};
  }

  Status Read(ValueId id) {
    CKPT_ASSIGN_OR_RETURN(known_[id.index],
                          ReadConstant(*net_.value(id).constant, weights_, options_.budget));
    return {};
  }

  Status Step(std::uint32_t index) {
    const Operation& op = net_.operations[index];
    if (const auto* unknown = std::get_if<network::Unknown>(&op.computation)) {
      return Fail(ErrorCode::kUnsupported, unknown->what + " is not understood: " + unknown->why);
    }
    for (const ValueId id : op.operands) {
      if (id != kNoValue) CKPT_RETURN_IF_ERROR(Load(id));
    }
    if (AllKnown(op)) return Compute(index);
    CKPT_ASSIGN_OR_RETURN(auto shapes, ShapesOf(op));
    if (!Settled(shapes)) {
      // A constant that decides a shape is read after all.
      for (const ValueId id : op.operands) {
        if (id == kNoValue || known_[id.index] || !net_.value(id).constant) continue;
        if (ElementsOf(*plan_.shapes[id.index]) <= kMostKnown) CKPT_RETURN_IF_ERROR(Read(id));
      }
      CKPT_ASSIGN_OR_RETURN(shapes, ShapesOf(op));
    }
    for (std::size_t i = 0; i < op.results.size(); ++i) {
      if (op.results[i] == kNoValue) continue;
      if (!shapes[i])
        return Fail(ErrorCode::kUnfit, "a shape depends on values that are not known");
      CKPT_RETURN_IF_ERROR(Keep(op.results[i], *shapes[i]));
    }
    return Count(index);
  }

  static bool Settled(const std::vector<network::PartialShape>& shapes) {
    return std::all_of(shapes.begin(), shapes.end(), [](const network::PartialShape& shape) {
      return shape &&
             std::find(shape->begin(), shape->end(), network::kUnknownSize) == shape->end();
    });
  }

  bool AllKnown(const Operation& op) const {
    if (op.operands.empty()) return false;
    std::uint64_t elements = 0;
    for (const ValueId id : op.operands) {
      if (id == kNoValue) continue;
      if (std::holds_alternative<network::ShapeOf>(op.computation)) return true;
      if (!known_[id.index]) return false;
      elements += known_[id.index]->elements.size();
    }
    return elements <= kMostKnown;
  }

  // Of values that are all known: shapes, or arithmetic on them.
  Status Compute(std::uint32_t index) {
    const Operation& op = net_.operations[index];
    std::vector<const Array*> operands;
    Array shape_only;
    for (const ValueId id : op.operands) {
      if (id == kNoValue) {
        operands.push_back(nullptr);
      } else if (known_[id.index]) {
        operands.push_back(&*known_[id.index]);
      } else {
        shape_only.shape = *plan_.shapes[id.index];
        operands.push_back(&shape_only);
      }
    }
    Budget small = options_.budget;
    CKPT_ASSIGN_OR_RETURN(auto results,
                          Evaluate(op.computation, operands, op.results.size(), small));
    for (std::size_t i = 0; i < results.size(); ++i) {
      const ValueId id = op.results[i];
      if (id == kNoValue) continue;
      CKPT_RETURN_IF_ERROR(Keep(id, results[i].shape));
      if (results[i].elements.size() <= kMostKnown) known_[id.index] = std::move(results[i]);
    }
    return Count(index);
  }

  Result<std::vector<network::PartialShape>> ShapesOf(const Operation& op) const {
    std::vector<network::OperandShape> operands;
    for (const ValueId id : op.operands) {
      if (id == kNoValue) {
        operands.push_back({false, {}, {}, {}});
      } else if (known_[id.index]) {
        operands.push_back(ShapeOfOperand(&*known_[id.index]));
      } else {
        operands.push_back({true, plan_.shapes[id.index], {}, net_.value(id).kind});
      }
    }
    return network::ResultShapes(op.computation, operands, op.results.size());
  }

  Status Keep(ValueId id, const Sizes& shape) {
    CKPT_RETURN_IF_ERROR(BytesOf(shape, options_.budget));
    plan_.shapes[id.index] = shape;
    live_ = SaturatingPlus(live_, SizeOf(id));
    return {};
  }

  Status Count(std::uint32_t index) {
    const Operation& op = net_.operations[index];
    std::vector<Sizes> operands;
    for (const ValueId id : op.operands) {
      operands.push_back(id == kNoValue ? Sizes{} : *plan_.shapes[id.index]);
    }
    if (op.results.empty() || op.results[0] == kNoValue) return {};
    plan_.multiply_adds[index] =
        std::visit(Counting(operands, *plan_.shapes[op.results[0].index]), op.computation);
    return {};
  }

  Status CheckBudget(std::uint32_t index) {
    plan_.total_multiply_adds =
        SaturatingPlus(plan_.total_multiply_adds, plan_.multiply_adds[index]);
    plan_.peak_bytes = std::max(plan_.peak_bytes, live_);
    Error error{ErrorCode::kLimitExceeded, {}};
    if (plan_.peak_bytes > options_.budget.memory_bytes) {
      error.message = "running it takes " + std::to_string(plan_.peak_bytes >> 20) + " MiB, and " +
                      std::to_string(options_.budget.memory_bytes >> 20) + " MiB are allowed";
      error.remedy = Remedy::kMoreMemory;
    } else if (plan_.total_multiply_adds > options_.budget.operations) {
      error.message = "running it takes more than the " +
                      std::to_string(options_.budget.operations) + " operations that are allowed";
    } else {
      return {};
    }
    return Fail(Within(net_, index, std::move(error)));
  }

  const Network& net_;
  const Checkpoint& weights_;
  const RunOptions& options_;
  std::vector<std::optional<Array>> known_;  // by value: those of few elements
  std::uint64_t live_ = 0;                   // bytes
  Plan plan_;
};

}  // namespace

Result<Plan> PlanRun(const Network& network, const Checkpoint& weights,
                     std::span<const Array> inputs, const RunOptions& options) {
  return Planner(network, weights, options).Make(inputs, {});
}

Result<Plan> PlanRun(const Network& network, const Checkpoint& weights,
                     std::span<const Sizes> inputs, const RunOptions& options) {
  return Planner(network, weights, options).Make({}, inputs);
}

}  // namespace ckpt::execution
