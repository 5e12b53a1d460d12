#include "ckpt/replicas.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "ckpt/sha256.h"
#include "core/median.h"

namespace ckpt {
namespace {

enum class Kind : std::uint8_t { kWeight, kStatistic, kOther };

Kind PartKindOf(Role role) {
  switch (role) {
    case Role::kKernel:
    case Role::kBias:
    case Role::kGamma:
    case Role::kBeta:
      return Kind::kWeight;
    case Role::kMovingMean:
    case Role::kMovingVariance:
      return Kind::kStatistic;
    case Role::kBnExtra:
    case Role::kBatchCounter:
    case Role::kOptimizerSlot:
    case Role::kEmaShadow:
    case Role::kStep:
    case Role::kOther:
      break;
  }
  return Kind::kOther;
}

template <typename Counts>
std::uint64_t& CountOf(Counts& counts, Kind kind) {
  return kind == Kind::kWeight      ? counts.weights
         : kind == Kind::kStatistic ? counts.statistics
                                    : counts.others;
}

// Of type, shape and bytes.
Result<std::string> DigestOf(const Checkpoint& checkpoint, TensorId id) {
  const TensorInfo& info = checkpoint.manifest().tensors[id.index];
  Sha256Digest digest;
  digest.Update(std::string(Name(info.dtype)) + ToString(info.shape));
  CKPT_ASSIGN_OR_RETURN(const auto stream, checkpoint.Open(id));
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const auto chunk, stream->Next());
    if (chunk.empty()) break;
    digest.Update(chunk);
  }
  std::string finished = std::move(digest).Finish();
  if (finished.empty()) return Fail(ErrorCode::kInternal, "a digest could not be taken");
  return finished;
}

struct Statistics {
  std::vector<double> mean, variance;
};

// Channel by channel, of those that have the layer.
std::vector<double> Medians(const std::vector<std::optional<Statistics>>& all,
                            std::vector<double> Statistics::*part, std::size_t channels) {
  std::vector<double> medians(channels), values;
  for (std::size_t c = 0; c < channels; ++c) {
    values.clear();
    for (const auto& one : all) {
      if (one && std::isfinite(((*one).*part)[c])) values.push_back(((*one).*part)[c]);
    }
    medians[c] = values.empty() ? std::nan("") : MedianOf(values);
  }
  return medians;
}

ReplicaNorm::Distance DistanceOf(const Statistics& own, const Statistics& medians) {
  double squares = 0, logarithms = 0;
  std::size_t shifts = 0, ratios = 0;
  for (std::size_t c = 0; c < own.mean.size(); ++c) {
    const double shift = (own.mean[c] - medians.mean[c]) / std::sqrt(medians.variance[c]);
    if (std::isfinite(shift)) squares += shift * shift, ++shifts;
    const double logarithm = std::log(own.variance[c]) - std::log(medians.variance[c]);
    if (std::isfinite(logarithm)) logarithms += logarithm, ++ratios;
  }
  ReplicaNorm::Distance distance;
  if (shifts > 0) distance.mean_shift = std::sqrt(squares / static_cast<double>(shifts));
  if (ratios > 0) distance.variance_ratio = std::exp(logarithms / static_cast<double>(ratios));
  return distance;
}

// -1 where there is nothing to compare.
double Length(const ReplicaNorm::Distance& distance) {
  if (!distance.mean_shift && !distance.variance_ratio) return -1;
  return std::hypot(distance.mean_shift.value_or(0),
                    std::log(distance.variance_ratio.value_or(1)) / 2);
}

}  // namespace

class ReplicaBuilder::All {
 public:
  Status Add(const Checkpoint& checkpoint, const Analysis& analysis) {
    const Manifest& manifest = checkpoint.manifest();
    std::vector<std::string> digests;
    for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
      CKPT_ASSIGN_OR_RETURN(std::string digest, DigestOf(checkpoint, TensorId{i}));
      digests.push_back(std::move(digest));
    }
    std::vector<std::pair<std::string, Statistics>> norms;
    for (const BatchNorm& layer : analysis.batch_norms) {
      if (!layer.moving_mean || !layer.moving_variance || !layer.channels) continue;
      Statistics statistics;
      CKPT_ASSIGN_OR_RETURN(statistics.mean,
                            ReadDoubles(checkpoint, *layer.moving_mean, *layer.channels));
      CKPT_ASSIGN_OR_RETURN(statistics.variance,
                            ReadDoubles(checkpoint, *layer.moving_variance, *layer.channels));
      norms.emplace_back(layer.scope, std::move(statistics));
    }
    for (std::size_t i = 0; i < digests.size(); ++i) {
      Tensor& tensor = tensors_[manifest.tensors[i].name];
      tensor.kind = PartKindOf(analysis.roles[i].role);
      tensor.digests.resize(count_);
      tensor.digests.push_back(std::move(digests[i]));
    }
    for (auto& [scope, statistics] : norms) {
      const auto [found, is_new] = place_of_.try_emplace(scope, norms_.size());
      if (is_new) norms_.push_back({scope, {}});
      norms_[found->second].second.resize(count_);
      norms_[found->second].second.emplace_back(std::move(statistics));
    }
    ++count_;
    return {};
  }

  ReplicaReport Finish() {
    ReplicaReport report;
    report.replicas.resize(count_);
    std::vector<std::string> whole(count_);
    for (auto& [name, tensor] : tensors_) {
      tensor.digests.resize(count_);
      CountUnlike(tensor, report);
      for (std::size_t i = 0; i < count_; ++i) whole[i] += tensor.digests[i] + "\n";
    }
    SetGroups(whole, report);
    for (auto& [scope, statistics] : norms_) {
      statistics.resize(count_);
      if (auto norm = NormOf(scope, statistics)) report.norms.push_back(*std::move(norm));
    }
    return report;
  }

 private:
  struct Tensor {
    Kind kind = Kind::kOther;
    std::vector<std::string> digests = {};  // empty: that replica lacks it
  };

  static void CountUnlike(const Tensor& tensor, ReplicaReport& report) {
    std::map<std::string_view, std::size_t> votes;
    for (const std::string& digest : tensor.digests) ++votes[digest];
    if (votes.size() == 1) return;
    ++CountOf(report, tensor.kind);
    std::size_t most = 0;
    for (const auto& [digest, count] : votes) most = std::max(most, count);
    // Where as many have one thing as another, nobody is like most.
    const auto winners = std::count_if(votes.begin(), votes.end(),
                                       [&](const auto& vote) { return vote.second == most; });
    for (std::size_t i = 0; i < tensor.digests.size(); ++i) {
      if (votes[tensor.digests[i]] < most || winners > 1)
        ++CountOf(report.replicas[i], tensor.kind);
    }
  }

  static void SetGroups(const std::vector<std::string>& whole, ReplicaReport& report) {
    std::map<std::string, std::size_t> groups;
    for (std::size_t i = 0; i < whole.size(); ++i) {
      report.replicas[i].group = groups.try_emplace(Sha256(whole[i]), groups.size()).first->second;
    }
    report.groups = groups.size();
  }

  static std::optional<ReplicaNorm> NormOf(const std::string& scope,
                                           const std::vector<std::optional<Statistics>>& all) {
    const auto first = std::find_if(all.begin(), all.end(), [](const auto& one) { return !!one; });
    const std::size_t channels = (*first)->mean.size();
    for (const auto& one : all) {
      if (one && (one->mean.size() != channels || one->variance.size() != channels))
        return std::nullopt;
    }
    if (std::all_of(all.begin(), all.end(), [&](const auto& one) {
          return one && one->mean == (*first)->mean && one->variance == (*first)->variance;
        })) {
      return std::nullopt;
    }
    const Statistics medians{Medians(all, &Statistics::mean, channels),
                             Medians(all, &Statistics::variance, channels)};
    ReplicaNorm norm{scope, {}, {}};
    double most = -1;
    for (std::size_t i = 0; i < all.size(); ++i) {
      norm.replicas.push_back(all[i] ? DistanceOf(*all[i], medians) : ReplicaNorm::Distance{});
      const double distance = Length(norm.replicas[i]);
      if (distance <= most) continue;
      most = distance;
      norm.farthest = i;
    }
    return norm;
  }

  std::size_t count_ = 0;
  std::map<std::string, Tensor> tensors_;
  std::vector<std::pair<std::string, std::vector<std::optional<Statistics>>>> norms_;
  std::map<std::string, std::size_t> place_of_;
};

ReplicaBuilder::ReplicaBuilder() : all_(std::make_unique<All>()) {}
ReplicaBuilder::~ReplicaBuilder() = default;
ReplicaBuilder::ReplicaBuilder(ReplicaBuilder&&) noexcept = default;
ReplicaBuilder& ReplicaBuilder::operator=(ReplicaBuilder&&) noexcept = default;

Status ReplicaBuilder::Add(const Checkpoint& checkpoint, const Analysis& analysis) {
  return all_->Add(checkpoint, analysis);
}
ReplicaReport ReplicaBuilder::Finish() && { return all_->Finish(); }

}  // namespace ckpt
