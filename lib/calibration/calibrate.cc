#include "ckpt/calibrate.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "calibration/channel_moments.h"
#include "ckpt/elements.h"

namespace ckpt {

using execution::Array;
using execution::Statistics;
using network::BatchNormalization;
using network::Network;
using network::Operation;
using network::OperationId;

namespace {

constexpr std::size_t kMean = 3, kVariance = 4;  // operands of a batch norm

std::vector<double> Rounded(const std::vector<double>& values, Dtype dtype) {
  std::vector<std::byte> bytes(values.size() * BitSize(dtype) / 8);
  EncodeFromDouble(dtype, values, bytes);
  std::vector<double> rounded(values.size());
  DecodeToDouble(dtype, bytes, rounded);
  return rounded;
}

class Calibration {
 public:
  Calibration(const Network& net, const Checkpoint& weights, const ExampleSource& examples,
              const CalibrateOptions& options)
      : net_(net), weights_(weights), examples_(examples), options_(options) {}

  Result<std::vector<CalibratedLayer>> Run() {
    CKPT_RETURN_IF_ERROR(CheckLayers());
    if (options_.layers.empty()) return std::vector<CalibratedLayer>{};
    CKPT_ASSIGN_OR_RETURN(const std::uint64_t batch, BatchOf());
    if (batch >= examples_.count()) {
      CKPT_RETURN_IF_ERROR(AllAtOnce());
    } else {
      for (const OperationId id : options_.layers) CKPT_RETURN_IF_ERROR(LayerByLayer(id, batch));
    }
    return std::move(done_);
  }

 private:
  const std::string& LayerOf(OperationId id) const {
    return net_.layers[net_.operation(id).layer].name;
  }
  Error Unfit(OperationId id, const std::string& why) const {
    return {ErrorCode::kUnfit, "\"" + LayerOf(id) + "\" cannot be calibrated: " + why};
  }
  static const network::StoredConstant* StoredIn(const network::Value& value) {
    return value.constant ? std::get_if<network::StoredConstant>(&*value.constant) : nullptr;
  }

  Status CheckLayers() {
    std::map<TensorId, OperationId> users;
    for (std::uint32_t i = 0; i < net_.operations.size(); ++i) {
      const OperationId id{i};
      const auto* norm = std::get_if<BatchNormalization>(&net_.operation(id).computation);
      if (norm == nullptr) continue;
      const Operation& op = net_.operation(id);
      const bool wanted = options_.layers.contains(id);
      if (wanted && norm->of_batch) {
        return Fail(Unfit(id, "it uses the statistics of its batch, also at serving"));
      }
      if (op.operands.size() <= kVariance) {
        if (wanted) return Fail(Unfit(id, "it reads no statistics"));
        continue;
      }
      for (const std::size_t operand : {kMean, kVariance}) {
        const auto* stored = op.operands[operand] == network::kNoValue
                                 ? nullptr
                                 : StoredIn(net_.value(op.operands[operand]));
        if (stored == nullptr) {
          if (wanted) return Fail(Unfit(id, "its statistics are no tensors of the file"));
          continue;
        }
        const auto [known, is_new] = users.emplace(stored->tensor, id);
        if (!is_new && (wanted || options_.layers.contains(known->second))) {
          return Fail(Unfit(id, "its statistics are those of \"" + LayerOf(known->second) +
                                    "\" as well: a layer that is called several times"));
        }
      }
    }
    return {};
  }

  network::ValueId InputOf(OperationId id) const { return net_.operation(id).operands[0]; }

  execution::RunOptions RunFor(const std::vector<network::ValueId>& wanted) const {
    execution::RunOptions options;
    options.budget = options_.budget;
    options.wanted = wanted;
    options.statistics = [this](OperationId id, const Array&) -> Result<std::optional<Statistics>> {
      const auto known = statistics_.find(id);
      if (known == statistics_.end()) return std::optional<Statistics>{};
      return std::optional(known->second);
    };
    return options;
  }
  std::vector<network::ValueId> AllWanted() const {
    std::vector<network::ValueId> wanted;
    for (const OperationId id : options_.layers) wanted.push_back(net_.operation(id).results[0]);
    return wanted;
  }

  // How many examples can be run at a time: all of them where the budget allows it.
  Result<std::uint64_t> BatchOf() const {
    if (examples_.count() == 0) return Fail(ErrorCode::kUnfit, "the data hold no example");
    std::uint64_t batch =
        options_.batch == 0 ? examples_.count() : std::min(options_.batch, examples_.count());
    CKPT_ASSIGN_OR_RETURN(const std::vector<Array> one, examples_.Read(0, 1));
    while (true) {
      std::vector<network::Sizes> shapes;
      for (const Array& array : one) {
        shapes.push_back(array.shape);
        if (!shapes.back().empty()) shapes.back()[0] = static_cast<std::int64_t>(batch);
      }
      auto options = RunFor(AllWanted());
      // The operations are the same however they are divided.
      options.budget.operations = UINT64_MAX;
      const auto plan =
          execution::PlanRun(net_, weights_, std::span<const network::Sizes>(shapes), options);
      if (plan) return batch;
      if (plan.error().code != ErrorCode::kLimitExceeded || batch == 1) return Fail(plan);
      batch = (batch + 1) / 2;
    }
  }

  Result<ChannelMoments> MomentsFor(OperationId id, const Array& data) const {
    const auto& norm = std::get<BatchNormalization>(net_.operation(id).computation);
    const auto rank = static_cast<std::int64_t>(data.shape.size());
    const std::int64_t axis = norm.axis < 0 ? norm.axis + rank : norm.axis;
    if (axis < 1 || axis >= rank)
      return Fail(Unfit(id, "its channel axis is that of the examples"));
    return ChannelMoments(data.shape[static_cast<std::size_t>(axis)], axis);
  }

  // One run over the whole set: each layer's statistics as soon as its data are there.
  Status AllAtOnce() {
    CKPT_ASSIGN_OR_RETURN(const std::vector<Array> inputs, examples_.Read(0, examples_.count()));
    execution::RunOptions options = RunFor(AllWanted());
    options.statistics = [this](OperationId id,
                                const Array& data) -> Result<std::optional<Statistics>> {
      if (!options_.layers.contains(id)) return std::optional<Statistics>{};
      CKPT_ASSIGN_OR_RETURN(ChannelMoments moments, MomentsFor(id, data));
      moments.Add(data);
      CKPT_RETURN_IF_ERROR(Settle(id, moments));
      return std::optional(statistics_.at(id));
    };
    CKPT_RETURN_IF_ERROR(execution::Run(net_, weights_, inputs, options));
    return {};
  }

  // The part of the network before the layer, over all examples.
  Status LayerByLayer(OperationId id, std::uint64_t batch) {
    std::optional<ChannelMoments> moments;
    const execution::RunOptions options = RunFor({InputOf(id)});
    for (std::uint64_t begin = 0; begin < examples_.count(); begin += batch) {
      const std::uint64_t count = std::min(batch, examples_.count() - begin);
      CKPT_ASSIGN_OR_RETURN(const std::vector<Array> inputs, examples_.Read(begin, count));
      CKPT_ASSIGN_OR_RETURN(const auto values, execution::Run(net_, weights_, inputs, options));
      if (!moments) {
        CKPT_ASSIGN_OR_RETURN(moments, MomentsFor(id, values[0]));
      }
      moments->Add(values[0]);
    }
    return Settle(id, *moments);
  }

  Status Settle(OperationId id, const ChannelMoments& moments) {
    const Operation& op = net_.operation(id);
    CalibratedLayer layer;
    layer.operation = id;
    layer.layer = LayerOf(id);
    layer.mean = StoredIn(net_.value(op.operands[kMean]))->tensor;
    layer.variance = StoredIn(net_.value(op.operands[kVariance]))->tensor;
    layer.examples = examples_.count();
    layer.elements = moments.elements();
    if (layer.elements < 2) {
      return Fail(Unfit(id, "the data hold " + std::to_string(layer.elements) +
                                " element of each channel, and a variance needs two"));
    }
    std::vector<double> variance = moments.Variance();
    for (std::size_t i = 0; i < variance.size(); ++i) {
      if (!std::isfinite(variance[i]) || !std::isfinite(moments.mean()[i])) {
        return Fail(Unfit(id, "what it reads is not finite in channel " + std::to_string(i)));
      }
    }
    if (options_.variance == VarianceRule::kUnbiased) {
      const double n = static_cast<double>(layer.elements);
      for (double& element : variance) element *= n / (n - 1);
    }
    CKPT_RETURN_IF_ERROR(Store(layer, moments.mean(), variance));
    statistics_[id] = layer.stored;
    done_.push_back(std::move(layer));
    return {};
  }

  // As the tensors will hold them, and how far the means move.
  Status Store(CalibratedLayer& layer, const std::vector<double>& mean,
               const std::vector<double>& variance) const {
    const auto& tensors = weights_.manifest().tensors;
    const TensorInfo &of_mean = tensors[layer.mean.index],
                     &of_variance = tensors[layer.variance.index];
    for (const TensorInfo* info : {&of_mean, &of_variance}) {
      if (!IsFloat(info->dtype) || BitSize(info->dtype) % 8 != 0 ||
          info->shape.element_count() != mean.size()) {
        return Fail(Unfit(layer.operation, "the tensor \"" + info->name + "\" does not hold " +
                                               std::to_string(mean.size()) + " floating numbers"));
      }
    }
    layer.stored = {Rounded(mean, of_mean.dtype), Rounded(variance, of_variance.dtype)};
    if (!of_mean.data_present) return {};
    const auto old = ReadDoubles(weights_, layer.mean, mean.size());
    if (!old && old.error().code == ErrorCode::kIo) return Fail(old);
    if (!old) return {};  // what is damaged is what is written anew
    for (std::size_t i = 0; i < mean.size(); ++i) {
      const double shift = std::abs(mean[i] - (*old)[i]);
      if (shift > 0) layer.mean_shift = std::max(layer.mean_shift, shift / std::sqrt(variance[i]));
    }
    return {};
  }

  const Network& net_;
  const Checkpoint& weights_;
  const ExampleSource& examples_;
  const CalibrateOptions& options_;
  std::map<OperationId, Statistics> statistics_;
  std::vector<CalibratedLayer> done_;
};

// The bytes of one tensor, held.
class HeldBytes : public TensorStream {
 public:
  explicit HeldBytes(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
  Result<std::span<const std::byte>> Next() override {
    if (std::exchange(given_, true)) return std::span<const std::byte>{};
    return std::span<const std::byte>(bytes_);
  }

 private:
  std::vector<std::byte> bytes_;
  bool given_ = false;
};

class Recalibrated : public Checkpoint {
 public:
  Recalibrated(const Checkpoint& checkpoint, const std::vector<CalibratedLayer>& layers)
      : checkpoint_(checkpoint), manifest_(checkpoint.manifest()) {
    set_input_name(checkpoint.input_name());
    for (const CalibratedLayer& layer : layers) {
      Replace(layer.mean, layer.stored.mean);
      Replace(layer.variance, layer.stored.variance);
    }
  }

  std::string_view format() const noexcept override { return checkpoint_.format(); }
  const Manifest& manifest() const noexcept override { return manifest_; }
  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override {
    const auto replaced = bytes_.find(id);
    if (replaced == bytes_.end()) return checkpoint_.Open(id);
    return std::unique_ptr<TensorStream>(std::make_unique<HeldBytes>(replaced->second));
  }
  Result<network::Network> MakeNetwork() const override { return checkpoint_.MakeNetwork(); }

 private:
  // Tensors that share the bytes get the new ones, too.
  void Replace(TensorId id, const std::vector<double>& values) {
    TensorInfo& info = manifest_.tensors[id.index];
    std::vector<std::byte> bytes(values.size() * BitSize(info.dtype) / 8);
    EncodeFromDouble(info.dtype, values, bytes);
    const TensorId first = info.alias_of.value_or(id);
    for (std::uint32_t i = 0; i < manifest_.tensors.size(); ++i) {
      TensorInfo& other = manifest_.tensors[i];
      if (TensorId{i} != id && TensorId{i} != first && other.alias_of != first) continue;
      other.checksum.reset();
      bytes_[TensorId{i}] = bytes;
    }
  }

  const Checkpoint& checkpoint_;
  Manifest manifest_;
  std::map<TensorId, std::vector<std::byte>> bytes_;
};

}  // namespace

std::string_view Name(VarianceRule rule) noexcept {
  return rule == VarianceRule::kBiased ? "biased" : "unbiased";
}

Result<std::vector<CalibratedLayer>> CalibrateStatistics(const Network& network,
                                                         const Checkpoint& weights,
                                                         const ExampleSource& examples,
                                                         const CalibrateOptions& options) {
  return Calibration(network, weights, examples, options).Run();
}

std::unique_ptr<Checkpoint> WithStatistics(const Checkpoint& checkpoint,
                                           const std::vector<CalibratedLayer>& layers) {
  return std::make_unique<Recalibrated>(checkpoint, layers);
}

}  // namespace ckpt
