// Where a network normalises with given statistics.
#include <algorithm>
#include <utility>

#include "ckpt/calibrate.h"

namespace ckpt {

using network::BatchNormalization;
using network::Binary;
using network::BinaryFunction;
using network::kNoValue;
using network::Network;
using network::Operation;
using network::OperationId;

namespace {

constexpr std::size_t kMeanOperand = 3, kVarianceOperand = 4;  // operands of a batch norm

class PlaceSearch {
 public:
  PlaceSearch(const Network& net, TensorId mean, TensorId variance)
      : net_(net), mean_(mean), variance_(variance) {}

  Result<NormPlace> Find() {
    std::vector<OperationId> norms;
    std::optional<OperationId> other;
    for (std::uint32_t i = 0; i < net_.operations.size(); ++i) {
      const OperationId id{i};
      switch (UseIn(net_.operation(id))) {
        case Use::kNone:
          break;
        case Use::kStatistics:
          norms.push_back(id);
          break;
        case Use::kOther:
          other = id;
          break;
      }
    }
    if (norms.empty()) return other ? WrittenOut() : Fail(Unfit("nothing reads its statistics"));
    if (norms.size() > 1) {
      return Fail(Unfit("\"" + LayerOf(norms[0]) + "\" and \"" + LayerOf(norms[1]) +
                        "\" read the same statistics: a layer that is called several times"));
    }
    if (other) {
      return Fail(Unfit("\"" + LayerOf(*other) + "\" reads the tensors of its statistics, too"));
    }
    return OfOperation(norms.front());
  }

 private:
  enum class Use : std::uint8_t { kNone, kStatistics, kOther };

  static Error Unfit(const std::string& why) {
    return {ErrorCode::kUnfit, "cannot be calibrated: " + why};
  }
  const std::string& LayerOf(OperationId id) const {
    return net_.layers[net_.operation(id).layer].name;
  }
  bool Holds(network::ValueId id, TensorId tensor) const {
    if (id == kNoValue || !net_.value(id).constant) return false;
    const auto* stored = std::get_if<network::StoredConstant>(&*net_.value(id).constant);
    return stored != nullptr && stored->tensor == tensor;
  }

  Use UseIn(const Operation& op) const {
    const bool is_norm = std::holds_alternative<BatchNormalization>(op.computation);
    Use use = Use::kNone;
    for (std::size_t i = 0; i < op.operands.size(); ++i) {
      const bool mean = Holds(op.operands[i], mean_), variance = Holds(op.operands[i], variance_);
      if (!mean && !variance) continue;
      const bool in_place = is_norm && (mean ? i == kMeanOperand : i == kVarianceOperand);
      if (!in_place) return Use::kOther;
      use = Use::kStatistics;
    }
    return use;
  }

  Result<NormPlace> OfOperation(OperationId id) const {
    const Operation& op = net_.operation(id);
    const auto& norm = std::get<BatchNormalization>(op.computation);
    if (norm.of_batch) {
      return Fail(Unfit("it uses the statistics of its batch, also at serving"));
    }
    if (!Holds(op.operands[kMeanOperand], mean_) || op.operands.size() <= kVarianceOperand ||
        !Holds(op.operands[kVarianceOperand], variance_)) {
      return Fail(Unfit("\"" + LayerOf(id) + "\" reads one of its statistics from elsewhere"));
    }
    return NormPlace{LayerOf(id), id, false, op.operands[0], norm.axis, mean_, variance_, {}};
  }

  // What is known of a value: whether the network's inputs decide it, and which statistics do.
  struct Trace {
    bool of_data = false;  // else of constants alone
    bool mean = false, variance = false;
    bool normalised = false;  // of data that met a statistic already
  };
  // An operation in which data meet what was made of statistics.
  struct Meeting {
    OperationId id;
    network::ValueId data, constant;
    Trace of_data, of_constant;
  };

  // gamma (x - mean) / sqrt(variance + epsilon) + beta, as it stands or as
  // x inv + (beta - mean inv), inv = gamma / sqrt(variance + epsilon).
  Result<NormPlace> WrittenOut() {
    traces_.assign(net_.values.size(), {});
    for (std::uint32_t i = 0; i < net_.values.size(); ++i) {
      const network::Value& value = net_.values[i];
      traces_[i].of_data = !value.constant && !value.producer;
      traces_[i].mean = Holds(network::ValueId{i}, mean_);
      traces_[i].variance = Holds(network::ValueId{i}, variance_);
    }
    std::vector<Meeting> meetings;
    for (std::uint32_t i = 0; i < net_.operations.size(); ++i) Follow(OperationId{i}, meetings);
    const auto first = [](const Meeting& meeting) { return !meeting.of_data.normalised; };
    const auto found = std::find_if(meetings.begin(), meetings.end(), first);
    if (found == meetings.end()) return Fail(Unfit("no data meet its statistics"));
    if (std::count_if(meetings.begin(), meetings.end(), first) > 1) {
      return Fail(
          Unfit("its statistics are read in several places: a layer that is called several "
                "times"));
    }
    if (!IsNormalisation(*found, meetings)) {
      return Fail(Unfit("\"" + LayerOf(found->id) +
                        "\" does not subtract a mean and divide by a "
                        "deviation in a form that is understood"));
    }
    const auto axis = AxisOf(found->constant);
    if (!axis) return Fail(Unfit("\"" + LayerOf(found->id) + "\" does not say its channel axis"));
    return NormPlace{LayerOf(found->id), found->id, true, found->data, *axis, mean_, variance_, {}};
  }

  void Follow(OperationId id, std::vector<Meeting>& meetings) {
    const Operation& op = net_.operation(id);
    Trace result;
    Meeting meeting{id, kNoValue, kNoValue, {}, {}};
    for (const network::ValueId operand : op.operands) {
      if (operand == kNoValue) continue;
      const Trace& trace = traces_[operand.index];
      result.of_data |= trace.of_data;
      result.mean |= trace.mean;
      result.variance |= trace.variance;
      result.normalised |= trace.normalised;
      if (trace.of_data) {
        meeting.data = operand;
        meeting.of_data = trace;
      } else if (trace.mean || trace.variance) {
        meeting.constant = operand;
        meeting.of_constant = trace;
      }
    }
    if (meeting.data != kNoValue && meeting.constant != kNoValue) {
      meetings.push_back(meeting);
      result.normalised = true;
    }
    if (result.of_data) result.mean = result.variance = false;
    for (const network::ValueId value : op.results) {
      if (value != kNoValue) traces_[value.index] = result;
    }
  }

  std::optional<BinaryFunction> FunctionOf(const Meeting& meeting) const {
    const auto* binary = std::get_if<Binary>(&net_.operation(meeting.id).computation);
    if (binary == nullptr || net_.operation(meeting.id).operands.size() != 2) return std::nullopt;
    return binary->function;
  }

  bool IsNormalisation(const Meeting& first, const std::vector<Meeting>& meetings) const {
    const auto function = FunctionOf(first);
    const auto later = [&](bool mean, std::initializer_list<BinaryFunction> functions) {
      return std::any_of(meetings.begin(), meetings.end(), [&](const Meeting& meeting) {
        const auto its = FunctionOf(meeting);
        return meeting.of_data.normalised && meeting.of_constant.mean == mean &&
               meeting.of_constant.variance && its &&
               std::find(functions.begin(), functions.end(), *its) != functions.end();
      });
    };
    if (function == BinaryFunction::kSubtract) {
      return net_.operation(first.id).operands[0] == first.data && first.of_constant.mean &&
             !first.of_constant.variance &&
             later(false, {BinaryFunction::kMultiply, BinaryFunction::kDivide});
    }
    return function == BinaryFunction::kMultiply && !first.of_constant.mean &&
           first.of_constant.variance &&
           later(true, {BinaryFunction::kAdd, BinaryFunction::kSubtract});
  }

  // By how what is made of the statistics is broadcast over the data, from the end.
  std::optional<std::int64_t> AxisOf(network::ValueId constant) const {
    const network::PartialShape& shape = net_.value(constant).shape;
    if (!shape) return std::nullopt;
    std::optional<std::int64_t> axis;
    for (std::size_t i = 0; i < shape->size(); ++i) {
      if ((*shape)[i] == 1 && shape->size() > 1) continue;
      if ((*shape)[i] < 1 || axis) return std::nullopt;
      axis = static_cast<std::int64_t>(i) - static_cast<std::int64_t>(shape->size());
    }
    return axis;
  }

  const Network& net_;
  const TensorId mean_, variance_;
  std::vector<Trace> traces_;  // by value
};

}  // namespace

Result<NormPlace> FindNorm(const Network& network, TensorId mean, TensorId variance) {
  return PlaceSearch(network, mean, variance).Find();
}

}  // namespace ckpt
