#include "ckpt/calibrate.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "calibration/channel_moments.h"
#include "ckpt/elements.h"

namespace ckpt {

using execution::Array;
using execution::Statistics;
using network::Network;
using network::OperationId;

namespace {

std::vector<double> Rounded(const std::vector<double>& values, Dtype dtype) {
  std::vector<double> rounded(values.size());
  DecodeToDouble(dtype, Encoded(dtype, values), rounded);
  return rounded;
}

class Calibration {
 public:
  Calibration(const Network& net, const Checkpoint& weights, const ExampleSource& examples,
              const CalibrateOptions& options)
      : net_(net),
        weights_(weights),
        examples_(examples),
        options_(options),
        layers_(options.layers) {
    std::sort(layers_.begin(), layers_.end(),
              [](const NormPlace& a, const NormPlace& b) { return a.operation < b.operation; });
  }

  Result<std::vector<CalibratedLayer>> Run() {
    if (layers_.empty()) return std::vector<CalibratedLayer>{};
    CKPT_ASSIGN_OR_RETURN(const std::uint64_t batch, BatchOf());
    // Statistics that are written out are constants, which are read before the data are there.
    const bool written_out = std::any_of(layers_.begin(), layers_.end(),
                                         [](const NormPlace& layer) { return layer.written_out; });
    if (batch >= examples_.count() && !written_out) {
      CKPT_RETURN_IF_ERROR(AllAtOnce());
    } else {
      for (const NormPlace& layer : layers_) CKPT_RETURN_IF_ERROR(LayerByLayer(layer, batch));
    }
    return std::move(done_);
  }

 private:
  static Error Unfit(const NormPlace& layer, const std::string& why) {
    return {ErrorCode::kUnfit, "\"" + layer.layer + "\" cannot be calibrated: " + why};
  }

  execution::RunOptions RunFor(const std::vector<network::ValueId>& wanted) const {
    execution::RunOptions options;
    options.budget = options_.budget;
    options.wanted = wanted;
    return options;
  }
  std::vector<network::ValueId> AllWanted() const {
    std::vector<network::ValueId> wanted;
    for (const NormPlace& layer : layers_) {
      wanted.push_back(layer.written_out ? layer.input
                                         : net_.operation(layer.operation).results[0]);
    }
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

  static Result<ChannelMoments> MomentsFor(const NormPlace& layer, const Array& data) {
    const auto rank = static_cast<std::int64_t>(data.shape.size());
    const std::int64_t axis = layer.axis < 0 ? layer.axis + rank : layer.axis;
    if (axis < 1 || axis >= rank)
      return Fail(Unfit(layer, "its channel axis is that of the examples"));
    return ChannelMoments(data.shape[static_cast<std::size_t>(axis)], axis);
  }

  // One run over the whole set: each layer's statistics as soon as its data are there.
  Status AllAtOnce() {
    CKPT_ASSIGN_OR_RETURN(const std::vector<Array> inputs, examples_.Read(0, examples_.count()));
    execution::RunOptions options = RunFor(AllWanted());
    options.statistics = [this](OperationId id,
                                const Array& data) -> Result<std::optional<Statistics>> {
      const auto layer = std::find_if(layers_.begin(), layers_.end(),
                                      [id](const NormPlace& one) { return one.operation == id; });
      if (layer == layers_.end()) return std::optional<Statistics>{};
      CKPT_ASSIGN_OR_RETURN(ChannelMoments moments, MomentsFor(*layer, data));
      moments.Add(data);
      CKPT_RETURN_IF_ERROR(Settle(*layer, moments));
      return std::optional(done_.back().stored);
    };
    CKPT_RETURN_IF_ERROR(execution::Run(net_, weights_, inputs, options));
    return {};
  }

  // The part of the network before the layer, over all examples.
  Status LayerByLayer(const NormPlace& layer, std::uint64_t batch) {
    std::optional<ChannelMoments> moments;
    const auto settled = WithStatistics(weights_, done_);
    const execution::RunOptions options = RunFor({layer.input});
    for (std::uint64_t begin = 0; begin < examples_.count(); begin += batch) {
      const std::uint64_t count = std::min(batch, examples_.count() - begin);
      CKPT_ASSIGN_OR_RETURN(const std::vector<Array> inputs, examples_.Read(begin, count));
      CKPT_ASSIGN_OR_RETURN(const auto values, execution::Run(net_, *settled, inputs, options));
      if (!moments) {
        CKPT_ASSIGN_OR_RETURN(moments, MomentsFor(layer, values[0]));
      }
      moments->Add(values[0]);
    }
    return Settle(layer, *moments);
  }

  Status Settle(const NormPlace& place, const ChannelMoments& moments) {
    CalibratedLayer layer;
    layer.layer = place.layer;
    layer.mean = place.mean;
    layer.variance = place.variance;
    layer.rule = place.rule;
    layer.examples = examples_.count();
    layer.elements = moments.elements();
    if (layer.elements < 2) {
      return Fail(Unfit(place, "the data hold " + std::to_string(layer.elements) +
                                   " element of each channel, and a variance needs two"));
    }
    std::vector<double> variance = moments.Variance();
    for (std::size_t i = 0; i < variance.size(); ++i) {
      if (!std::isfinite(variance[i]) || !std::isfinite(moments.mean()[i])) {
        return Fail(Unfit(place, "what it reads is not finite in channel " + std::to_string(i)));
      }
    }
    if (place.rule == VarianceRule::kUnbiased) {
      const double n = static_cast<double>(layer.elements);
      for (double& element : variance) element *= n / (n - 1);
    }
    CKPT_RETURN_IF_ERROR(Store(place, layer, moments.mean(), variance));
    done_.push_back(std::move(layer));
    return {};
  }

  // As the tensors will hold them, and how far the means move.
  Status Store(const NormPlace& place, CalibratedLayer& layer, const std::vector<double>& mean,
               const std::vector<double>& variance) const {
    const auto& tensors = weights_.manifest().tensors;
    const TensorInfo &of_mean = tensors[layer.mean.index],
                     &of_variance = tensors[layer.variance.index];
    for (const TensorInfo* info : {&of_mean, &of_variance}) {
      if (!IsFloat(info->dtype) || BitSize(info->dtype) % 8 != 0 ||
          info->shape.element_count() != mean.size()) {
        return Fail(Unfit(place, "the tensor \"" + info->name + "\" does not hold " +
                                     std::to_string(mean.size()) + " floating numbers"));
      }
    }
    layer.stored = {Rounded(mean, of_mean.dtype), Rounded(variance, of_variance.dtype)};
    layer.constant_channels =
        static_cast<std::uint64_t>(std::count(variance.begin(), variance.end(), 0.0));
    if (!of_mean.data_present) return {};
    const auto old = ReadDoubles(weights_, layer.mean, mean.size());
    if (!old && old.error().code == ErrorCode::kIo) return Fail(old);
    if (!old) return {};  // what is damaged is what is written anew
    for (std::size_t i = 0; i < mean.size(); ++i) {
      const double shift = std::abs(mean[i] - (*old)[i]);
      if (variance[i] > 0) {
        layer.mean_shift = std::max(layer.mean_shift, shift / std::sqrt(variance[i]));
      }
    }
    return {};
  }

  const Network& net_;
  const Checkpoint& weights_;
  const ExampleSource& examples_;
  const CalibrateOptions& options_;
  std::vector<NormPlace> layers_;  // in the network's order
  std::vector<CalibratedLayer> done_;
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

}  // namespace ckpt
