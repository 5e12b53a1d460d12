#include "ckpt/drift.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "calibration/grouped_moments.h"
#include "calibration/measured_norms.h"
#include "calibration/staged_run.h"
#include "core/median.h"

namespace ckpt {

using execution::Array;
using execution::Statistics;
using network::BatchNormalization;
using network::Network;
using network::OperationId;

namespace {

ChannelDistance Summarise(const std::vector<double>& distances, std::vector<double> errors) {
  ChannelDistance summary;
  const auto largest = std::max_element(distances.begin(), distances.end());
  summary.largest = *largest;
  summary.channel = static_cast<std::size_t>(largest - distances.begin());
  summary.typical = MedianOf(distances);
  summary.noise = MedianOf(std::move(errors));
  return summary;
}

Drift DriftOf(const std::vector<EstimatedMoments>& data, const MeasuredNorm& norm) {
  std::vector<double> shifts, shift_errors, spreads, spread_errors, effective;
  for (std::size_t i = 0; i < data.size(); ++i) {
    const double variance = norm.stored.variance[i] + norm.epsilon;
    shifts.push_back(std::abs(data[i].mean - norm.stored.mean[i]) / std::sqrt(variance));
    shift_errors.push_back(data[i].mean_error / std::sqrt(variance));
    // A channel that the data leave constant, without an epsilon, is infinitely far.
    spreads.push_back(std::abs(std::log2((data[i].variance + norm.epsilon) / variance)));
    spread_errors.push_back(data[i].log2_variance_error);
    const double error = data[i].mean_error * data[i].mean_error;
    if (error > 0) effective.push_back(data[i].variance / error);
  }
  Drift drift{Summarise(shifts, std::move(shift_errors)),
              Summarise(spreads, std::move(spread_errors))};
  if (!effective.empty()) drift.effective_elements = MedianOf(std::move(effective));
  return drift;
}

class Measurement {
 public:
  Measurement(const Network& net, const Checkpoint& weights, const ExampleSource& examples,
              const execution::Budget& budget, MeasuredNorms norms)
      : net_(net),
        weights_(weights),
        examples_(examples),
        budget_(budget),
        norms_(std::move(norms)) {
    for (const MeasuredNorm& norm : norms_.norms) by_operation_[norm.operation] = &norm;
  }

  Result<DataDrift> Run() {
    DataDrift drift;
    drift.examples = examples_.count();
    drift.left_out = norms_.left_out;
    CKPT_RETURN_IF_ERROR(AsServed());
    for (const MeasuredNorm& norm : norms_.norms) {
      LayerDrift layer;
      layer.layer = norm.layer;
      layer.elements = moments_.at(norm.operation).elements();
      layer.first = norm.first;
      CKPT_ASSIGN_OR_RETURN(const auto estimate, EstimateOf(norm));
      layer.as_served = DriftOf(estimate, norm);
      drift.layers.push_back(std::move(layer));
    }
    moments_.clear();
    CKPT_RETURN_IF_ERROR(Alone());
    for (std::size_t i = 0; i < norms_.norms.size(); ++i) {
      CKPT_ASSIGN_OR_RETURN(const auto estimate, EstimateOf(norms_.norms[i]));
      drift.layers[i].alone = DriftOf(estimate, norms_.norms[i]);
    }
    return drift;
  }

 private:
  Error Unfit(const MeasuredNorm& norm, const std::string& why) const {
    return {ErrorCode::kUnfit,
            "\"" + net_.layers[net_.operation(norm.operation).layer].name + "\": " + why};
  }

  Status Gather(const MeasuredNorm& norm, const Array& data) {
    auto found = moments_.find(norm.operation);
    if (found == moments_.end()) {
      const auto rank = static_cast<std::int64_t>(data.shape.size());
      std::int64_t axis =
          std::get<BatchNormalization>(net_.operation(norm.operation).computation).axis;
      if (axis < 0) axis += rank;
      if (axis < 1 || axis >= rank ||
          data.shape[static_cast<std::size_t>(axis)] !=
              static_cast<std::int64_t>(norm.stored.mean.size())) {
        return Fail(Unfit(norm, "what it reads does not have a channel for each statistic"));
      }
      const auto channels = static_cast<std::int64_t>(norm.stored.mean.size());
      found =
          moments_.emplace(norm.operation, GroupedMoments(examples_.count(), channels, axis)).first;
    }
    found->second.Add(data);
    return {};
  }

  Status AsServed() {
    CKPT_ASSIGN_OR_RETURN(const std::uint64_t batch,
                          ExamplesAtATime(net_, weights_, examples_, norms_.last, budget_, 0));
    execution::RunOptions options;
    options.budget = budget_;
    options.wanted = norms_.last;
    options.statistics = [this](OperationId id,
                                const Array& data) -> Result<std::optional<Statistics>> {
      const auto norm = by_operation_.find(id);
      if (norm != by_operation_.end()) CKPT_RETURN_IF_ERROR(Gather(*norm->second, data));
      return std::optional<Statistics>{};
    };
    for (std::uint64_t begin = 0; begin < examples_.count(); begin += batch) {
      const std::uint64_t count = std::min(batch, examples_.count() - begin);
      CKPT_ASSIGN_OR_RETURN(const std::vector<Array> inputs, examples_.Read(begin, count));
      CKPT_RETURN_IF_ERROR(execution::Run(net_, weights_, inputs, options));
    }
    return {};
  }

  // Earlier layers use the data's statistics, which are known when their stage is done.
  Status Alone() {
    std::vector<MeasuredValue> measured;
    for (const MeasuredNorm& norm : norms_.norms) {
      const auto& operands = net_.operation(norm.operation).operands;
      measured.push_back({norm.InputIn(net_), {operands[3], operands[4]}});
    }
    CKPT_ASSIGN_OR_RETURN(NetworkStages stages, NetworkStages::Divide(net_, std::move(measured)));
    CKPT_ASSIGN_OR_RETURN(StagedRun run,
                          StagedRun::Start(std::move(stages), weights_, examples_, budget_, 0));
    std::map<OperationId, Statistics> known;
    const auto statistics = [&](OperationId id, const Array&) -> Result<std::optional<Statistics>> {
      const auto found = known.find(id);
      return found == known.end() ? std::nullopt : std::optional(found->second);
    };
    for (std::size_t stage = 0; stage < run.stages().count(); ++stage) {
      CKPT_RETURN_IF_ERROR(run.RunNext(weights_, statistics, [&](std::size_t i, const Array& data) {
        return Gather(norms_.norms[i], data);
      }));
      for (std::size_t i = 0; i < norms_.norms.size(); ++i) {
        if (run.stages().StageOf(i) != stage) continue;
        CKPT_ASSIGN_OR_RETURN(known[norms_.norms[i].operation], StatisticsOf(norms_.norms[i]));
      }
    }
    return {};
  }

  Result<Statistics> StatisticsOf(const MeasuredNorm& norm) const {
    CKPT_ASSIGN_OR_RETURN(const auto estimate, EstimateOf(norm));
    Statistics statistics;
    for (const EstimatedMoments& moments : estimate) {
      statistics.mean.push_back(moments.mean);
      statistics.variance.push_back(moments.variance);
    }
    return statistics;
  }

  Result<std::vector<EstimatedMoments>> EstimateOf(const MeasuredNorm& norm) const {
    const GroupedMoments& moments = moments_.at(norm.operation);
    if (moments.elements() < 2) {
      return Fail(Unfit(norm, "the data hold fewer than two elements of each channel"));
    }
    std::vector<EstimatedMoments> estimate = moments.Estimate(norm.epsilon);
    for (std::size_t i = 0; i < estimate.size(); ++i) {
      if (std::isfinite(estimate[i].mean) && std::isfinite(estimate[i].variance)) continue;
      return Fail(Unfit(norm, "what it reads is not finite in channel " + std::to_string(i)));
    }
    return estimate;
  }

  const Network& net_;
  const Checkpoint& weights_;
  const ExampleSource& examples_;
  const execution::Budget& budget_;
  const MeasuredNorms norms_;
  std::map<OperationId, const MeasuredNorm*> by_operation_;
  std::map<OperationId, GroupedMoments> moments_;
};

}  // namespace

Result<DataDrift> MeasureDrift(const Network& network, const Checkpoint& weights,
                               const Analysis& analysis, const ExampleSource& examples,
                               const execution::Budget& budget) {
  CKPT_ASSIGN_OR_RETURN(MeasuredNorms norms, FindMeasuredNorms(network, weights, analysis));
  if (norms.norms.empty()) {
    return Fail(ErrorCode::kUnfit,
                "the network has no batch norm whose stored statistics data could be held against" +
                    (norms.left_out.empty() ? "" : ": " + norms.left_out.front().why));
  }
  return Measurement(network, weights, examples, budget, std::move(norms)).Run();
}

}  // namespace ckpt
