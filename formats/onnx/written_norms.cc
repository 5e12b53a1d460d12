#include "formats/onnx/written_norms.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <set>
#include <string_view>
#include <utility>

#include "formats/onnx/node_attributes.h"
#include "formats/onnx/tensor_places.h"

namespace ckpt::formats::onnx {
namespace {

using onnx_proto::NodeProto;

// A variance is at most a few dozen nodes away from the reductions that it is made of.
constexpr std::size_t kMaxSteps = 64;

// Only what stands where an element is, or how it is stored, changes.
constexpr std::array<std::string_view, 9> kPassing = {"Identity", "Cast",      "CastLike",
                                                      "Reshape",  "Squeeze",   "Unsqueeze",
                                                      "Flatten",  "Transpose", "Expand"};
constexpr std::array<std::string_view, 9> kNormArithmetic = {"Add", "Sub", "Mul",  "Div", "Pow",
                                                             "Max", "Sum", "Clip", "Abs"};
// These yield what is normalised already.
constexpr std::array<std::string_view, 3> kNorms = {"InstanceNormalization", "LayerNormalization",
                                                    "GroupNormalization"};

template <std::size_t N>
bool IsOneOf(const std::array<std::string_view, N>& names, const NodeProto& node) {
  return IsOnnxOperator(node) &&
         std::find(names.begin(), names.end(), node.op_type()) != names.end();
}

bool Is(const NodeProto& node, std::string_view type) {
  return IsOnnxOperator(node) && node.op_type() == type;
}

bool IsReduction(const NodeProto& node) {
  if (!IsOnnxOperator(node) || node.op_type() == "ReduceProd") return false;  // a count of elements
  return node.op_type().starts_with("Reduce") || node.op_type() == "GlobalAveragePool";
}

// Counts of elements, as a graph with open dimensions computes them.
constexpr std::array<std::string_view, 4> kOfShapes = {"Shape", "Size", "Gather", "ReduceProd"};

class Finder {
 public:
  explicit Finder(const WrittenNormContext& context)
      : context_(context),
        graph_(context.graph),
        parts_(static_cast<std::size_t>(graph_.node_size()), NormPart::kNone),
        from_constants_(parts_.size(), false) {}

  WrittenNorms Find() {
    FindConstantNodes();
    for (int i = 0; i < graph_.node_size(); ++i) {
      const NodeProto& node = graph_.node(i);
      if (node.output_size() == 0) continue;
      if (IsOneOf(kNorms, node)) {
        pending_.emplace_back(node.output(0), State::kNormalised);
      } else if (IsDeviation(node) && OfOwnStatistics(node)) {
        pending_.emplace_back(node.output(0), State::kDeviation);
      } else if (IsDeviation(node)) {
        FollowBatchNorm(i);
      }
      Follow();
    }
    return {std::move(parts_), std::move(of_batch_)};
  }

 private:
  // Of a value: the deviation or one over it, what was divided by it, and that with its scale.
  enum class State : std::uint8_t { kDeviation, kNormalised, kScaled };

  const NodeProto& NodeAt(int index) const { return graph_.node(index); }

  bool IsConstant(const std::string& value) const {
    return context_.constants.Find(value) != nullptr;
  }
  bool IsFromConstants(const std::string& value) const {
    const auto producer = context_.values.ProducerOf(value);
    return producer && from_constants_[static_cast<std::size_t>(*producer)];
  }
  // One per channel, group or position, not one number.
  bool IsVector(const std::string& value) const {
    const auto* tensor = context_.constants.Find(value);
    return tensor != nullptr &&
           std::any_of(tensor->dims().begin(), tensor->dims().end(), [](auto d) { return d > 1; });
  }

  // Nodes stand behind those that they read.
  void FindConstantNodes() {
    for (int i = 0; i < graph_.node_size(); ++i) {
      const NodeProto& node = graph_.node(i);
      from_constants_[static_cast<std::size_t>(i)] =
          node.input_size() > 0 && IsOnnxOperator(node) &&
          std::all_of(node.input().begin(), node.input().end(), [&](const std::string& input) {
            return input.empty() || IsConstant(input) || IsFromConstants(input);
          });
    }
  }

  bool IsDeviation(const NodeProto& node) const {
    if (Is(node, "Sqrt") || Is(node, "ReduceL2")) return true;
    if (!Is(node, "Pow") || node.input_size() != 2) return false;
    const auto exponent = context_.elements(node.input(1));
    return exponent && exponent->size() == 1 && std::fabs(exponent->front()) == 0.5;
  }

  std::vector<std::int64_t> AxesOf(const NodeProto& reduction) const {
    std::vector<std::int64_t> axes = IntsAttribute(reduction, "axes");
    if (axes.empty() && reduction.input_size() > 1) {
      for (const double axis :
           context_.elements(reduction.input(1)).value_or(std::vector<double>())) {
        axes.push_back(static_cast<std::int64_t>(axis));
      }
    }
    return axes;
  }

  // Does the reduction leave the examples apart?
  bool KeepsBatch(const NodeProto& node) const {
    if (Is(node, "GlobalAveragePool")) return true;
    const std::vector<std::int64_t> axes = AxesOf(node);
    const auto rank = context_.rank(node.input(0));
    return !axes.empty() && std::none_of(axes.begin(), axes.end(), [&](std::int64_t axis) {
      return axis == 0 || (rank && axis == -*rank);
    });
  }

  // Is what the node reads computed by reductions of which each leaves the examples apart? What
  // stored constants add to it are statistics of the same norm, unless the walk left the norm.
  bool OfOwnStatistics(const NodeProto& node) {
    if (node.input_size() == 0) return false;
    if (IsReduction(node)) return KeepsBatch(node);
    std::vector<std::string> pending = {node.input(0)}, stored;
    std::vector<int> readers;  // of stored constants
    std::set<std::string> seen;
    bool reduced = false, beyond = false;
    while (!pending.empty() && seen.size() < kMaxSteps) {
      const std::string value = std::move(pending.back());
      pending.pop_back();
      if (!seen.insert(value).second) continue;
      if (IsConstant(value) || IsFromConstants(value)) {
        stored.push_back(value);
        continue;
      }
      const auto producer = context_.values.ProducerOf(value);
      const NodeProto* const from = producer ? &NodeAt(*producer) : nullptr;
      if (from != nullptr && IsReduction(*from) && from->input_size() > 0) {
        if (!KeepsBatch(*from)) return false;
        reduced = true;
      } else if (from != nullptr && (IsOneOf(kPassing, *from) || IsOneOf(kNormArithmetic, *from))) {
        if (ReadsVector(*from)) readers.push_back(*producer);
        pending.insert(pending.end(), from->input().begin(), from->input().end());
      } else {
        beyond = beyond || from == nullptr || !IsOneOf(kOfShapes, *from);
      }
    }
    if (reduced && !beyond) {
      for (const int reader : readers) SetPart(reader, NormPart::kStatistic);
      for (const std::string& value : stored) MarkStored(value);
    }
    return reduced;
  }

  // Over all axes but the channel's, the second or the last?
  bool KeepsChannels(const NodeProto& node) const {
    if (Is(node, "GlobalAveragePool")) return false;
    const auto rank = context_.rank(node.input(0));
    std::set<std::int64_t> axes;
    for (const std::int64_t axis : AxesOf(node)) {
      if (axis < 0 && !rank) return false;
      axes.insert(axis < 0 ? axis + *rank : axis);
    }
    // Without a rank: all but the second up to one that only an image has.
    const auto count = static_cast<std::int64_t>(axes.size());
    const std::int64_t all = rank ? *rank : count + 1;
    if (all < (rank ? 2 : 3) || count != all - 1 || !axes.contains(0)) return false;
    const std::int64_t last = all - 1;
    const auto only = [&](std::int64_t kept) {
      return !axes.contains(kept) && *axes.begin() >= 0 && *axes.rbegin() <= last;
    };
    return only(1) || (rank && only(last));
  }

  // The reduction that a deviation is made of, where it is the batch's and nothing stored is in
  // it; empty otherwise.
  std::string ReductionOverBatch(const NodeProto& deviation) const {
    std::vector<std::string> pending = {deviation.input(0)};
    std::set<std::string> seen;
    std::string reduction;
    while (!pending.empty() && seen.size() < kMaxSteps) {
      const std::string value = std::move(pending.back());
      pending.pop_back();
      if (IsVector(value)) return {};
      if (IsConstant(value)) continue;
      const auto producer = context_.values.ProducerOf(value);
      if (!seen.insert(value).second || !producer || IsFromConstants(value)) continue;
      const NodeProto& from = NodeAt(*producer);
      if (IsReduction(from) && from.input_size() > 0) {
        if (!KeepsChannels(from)) return {};
        const std::string name = from.name().empty() ? value : from.name();
        reduction = '"' + name + "\" (" + from.op_type() + ")";
      } else if (IsOneOf(kPassing, from) || IsOneOf(kNormArithmetic, from)) {
        pending.insert(pending.end(), from.input().begin(), from.input().end());
      } else {
        return {};
      }
    }
    return reduction;
  }

  void FollowBatchNorm(int index) {
    const NodeProto& node = NodeAt(index);
    if (IsReduction(node) || node.input_size() == 0) return;
    BatchNormOfBatch norm{index, ReductionOverBatch(node)};
    if (norm.reduction.empty()) return;
    found_ = &norm;
    pending_.emplace_back(node.output(0), State::kDeviation);
    Follow();
    found_ = nullptr;
    if (!norm.stored.empty()) of_batch_.push_back(std::move(norm));
  }

  bool ReadsVector(const NodeProto& node) const {
    return std::any_of(node.input().begin(), node.input().end(),
                       [&](const std::string& input) { return IsVector(input); });
  }

  // The node that reads the stored vector which `value` is in another shape; `index` itself where
  // it reads the vector. Absent where it is none.
  std::optional<int> ReaderOfVector(int index, std::string value) const {
    for (std::size_t steps = 0; steps < kMaxSteps; ++steps) {
      if (IsVector(value)) return index;
      const auto producer = context_.values.ProducerOf(value);
      if (!producer || !IsFromConstants(value) || !IsOneOf(kPassing, NodeAt(*producer))) break;
      index = *producer;
      value = NodeAt(index).input(0);
    }
    return std::nullopt;
  }

  // Marks what reads the constants that a value is computed from alone.
  void MarkStored(const std::string& value) {
    std::vector<std::string> pending = {value};
    for (std::size_t steps = 0; !pending.empty() && steps < kMaxSteps; ++steps) {
      const std::string next = std::move(pending.back());
      pending.pop_back();
      const auto producer = context_.values.ProducerOf(next);
      if (!producer || !from_constants_[static_cast<std::size_t>(*producer)]) continue;
      SetPart(*producer, NormPart::kStatistic);
      pending.insert(pending.end(), NodeAt(*producer).input().begin(),
                     NodeAt(*producer).input().end());
    }
  }

  void SetPart(int index, NormPart part) {
    if (found_ != nullptr) {
      for (const std::string& input : NodeAt(index).input()) {
        if (part != NormPart::kStatistic && IsVector(input)) found_->stored.emplace(part, input);
      }
      return;
    }
    NormPart& known = parts_[static_cast<std::size_t>(index)];
    if (known == NormPart::kNone) known = part;
  }

  void Follow() {
    while (!pending_.empty()) {
      const auto [value, state] = std::move(pending_.back());
      pending_.pop_back();
      for (const int reader : context_.values.UseOf(value).readers) {
        if (followed_.emplace(reader, state).second) Step(reader, value, state);
      }
    }
  }

  void Step(int index, const std::string& value, State state) {
    const NodeProto& node = NodeAt(index);
    if (node.output_size() == 0 || node.input_size() == 0) return;
    const std::string& output = node.output(0);
    if (IsOneOf(kPassing, node) || (state == State::kDeviation && Is(node, "Reciprocal"))) {
      if (node.input(0) == value) pending_.emplace_back(output, state);
      return;
    }
    if (!IsOneOf(kNormArithmetic, node) || node.input_size() < 2) return;
    const std::string& other = node.input(0) == value ? node.input(1) : node.input(0);
    if (state == State::kDeviation) {
      StepOfDeviation(index, other, output);
    } else {
      StepOfNormalised(index, other, output, state);
    }
  }

  void StepOfDeviation(int index, const std::string& other, const std::string& output) {
    const NodeProto& node = NodeAt(index);
    if (const auto reader = ReaderOfVector(index, other); reader && Is(node, "Mul")) {
      SetPart(*reader, NormPart::kScale);
      pending_.emplace_back(output, State::kDeviation);
    } else if (Is(node, "Mul") && IsConstant(other)) {
      pending_.emplace_back(output, State::kDeviation);
    } else if (Is(node, "Mul") || Is(node, "Div")) {
      if (IsFromConstants(other)) return;
      MarkStoredMean(other);
      pending_.emplace_back(output, State::kNormalised);
    } else {  // a least value, or a second deviation (EvoNorm)
      MarkStored(other);
      if (IsVector(other)) SetPart(index, NormPart::kStatistic);
      pending_.emplace_back(output, State::kDeviation);
    }
  }

  // x - mean, where a stored mean is a part of a computed one (switchable norm).
  void MarkStoredMean(const std::string& value) {
    const auto producer = context_.values.ProducerOf(value);
    if (!producer || !Is(NodeAt(*producer), "Sub") || NodeAt(*producer).input_size() != 2) return;
    NodeProto mean;
    *mean.add_input() = NodeAt(*producer).input(1);
    OfOwnStatistics(mean);
  }

  void StepOfNormalised(int index, const std::string& other, const std::string& output,
                        State state) {
    const NodeProto& node = NodeAt(index);
    const auto reader = ReaderOfVector(index, other);
    if (Is(node, "Mul") && state == State::kNormalised) {
      if (!reader && !IsConstant(other)) return;
      if (reader) SetPart(*reader, NormPart::kScale);
      pending_.emplace_back(output, reader ? State::kScaled : state);
    } else if (reader && (Is(node, "Add") || (Is(node, "Sub") && node.input(0) == other))) {
      SetPart(*reader, NormPart::kOffset);
    }
  }

  const WrittenNormContext& context_;
  const onnx_proto::GraphProto& graph_;
  std::vector<NormPart> parts_;       // by node
  std::vector<bool> from_constants_;  // by node: computes from stored constants alone
  std::vector<std::pair<std::string, State>> pending_;
  std::vector<BatchNormOfBatch> of_batch_;
  BatchNormOfBatch* found_ = nullptr;  // the one that is followed
  std::set<std::pair<int, State>> followed_;
};

}  // namespace

WrittenNorms FindWrittenNorms(const WrittenNormContext& context) { return Finder(context).Find(); }

}  // namespace ckpt::formats::onnx
