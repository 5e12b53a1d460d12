#include "ckpt/calibrate.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "calibration/channel_moments.h"
#include "calibration/staged_run.h"
#include "ckpt/elements.h"

namespace ckpt {

using execution::Array;
using network::Network;

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
    CKPT_ASSIGN_OR_RETURN(NetworkStages stages, NetworkStages::Divide(net_, Measured()));
    CKPT_ASSIGN_OR_RETURN(StagedRun run, StagedRun::Start(std::move(stages), weights_, examples_,
                                                          options_.budget, options_.batch));
    for (std::size_t stage = 0; stage < run.stages().count(); ++stage) {
      std::map<std::size_t, ChannelMoments> moments;
      const auto settled = WithStatistics(weights_, done_);
      CKPT_RETURN_IF_ERROR(run.RunNext(*settled, {}, [&](std::size_t i, const Array& data) {
        return Gather(i, data, moments);
      }));
      for (const auto& [i, of_layer] : moments) {
        CKPT_RETURN_IF_ERROR(Settle(layers_[i], of_layer));
      }
    }
    std::sort(done_.begin(), done_.end(),
              [&](const auto& a, const auto& b) { return PlaceOf(a) < PlaceOf(b); });
    return std::move(done_);
  }

 private:
  static Error Unfit(const NormPlace& layer, const std::string& why) {
    return {ErrorCode::kUnfit, "\"" + layer.layer + "\" cannot be calibrated: " + why};
  }

  TensorId Same(TensorId id) const {
    return weights_.manifest().tensors[id.index].alias_of.value_or(id);
  }

  std::vector<MeasuredValue> Measured() const {
    std::map<TensorId, std::vector<network::ValueId>> readers;
    for (std::uint32_t i = 0; i < net_.values.size(); ++i) {
      const auto& constant = net_.values[i].constant;
      const auto* stored = constant ? std::get_if<network::StoredConstant>(&*constant) : nullptr;
      if (stored != nullptr) readers[Same(stored->tensor)].push_back(network::ValueId{i});
    }
    std::vector<MeasuredValue> measured;
    for (const NormPlace& layer : layers_) {
      MeasuredValue& one = measured.emplace_back(MeasuredValue{layer.input});
      for (const TensorId id : {layer.mean, layer.variance}) {
        const auto& its = readers[Same(id)];
        one.statistics.insert(one.statistics.end(), its.begin(), its.end());
      }
    }
    return measured;
  }
  network::OperationId PlaceOf(const CalibratedLayer& layer) const {
    const auto place = std::find_if(layers_.begin(), layers_.end(),
                                    [&](const NormPlace& one) { return one.mean == layer.mean; });
    return place->operation;
  }

  static Result<ChannelMoments> MomentsFor(const NormPlace& layer, const Array& data) {
    const auto rank = static_cast<std::int64_t>(data.shape.size());
    const std::int64_t axis = layer.axis < 0 ? layer.axis + rank : layer.axis;
    if (axis < 1 || axis >= rank)
      return Fail(Unfit(layer, "its channel axis is that of the examples"));
    return ChannelMoments(data.shape[static_cast<std::size_t>(axis)], axis);
  }

  Status Gather(std::size_t i, const Array& data,
                std::map<std::size_t, ChannelMoments>& moments) const {
    auto found = moments.find(i);
    if (found == moments.end()) {
      CKPT_ASSIGN_OR_RETURN(ChannelMoments fresh, MomentsFor(layers_[i], data));
      found = moments.emplace(i, std::move(fresh)).first;
    }
    found->second.Add(data);
    return {};
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
