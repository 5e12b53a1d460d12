#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "audit/rules.h"
#include "audit/wording.h"
#include "ckpt/elements.h"

namespace ckpt::audit {
namespace {

using Vector = std::optional<std::vector<double>>;

struct NamedVector {
  std::optional<TensorId> id;
  const Vector* values;
  std::string_view name;
};
std::array<NamedVector, 4> VectorsOf(const BatchNorm& layer, const LayerValues& values) {
  return {{{layer.gamma, &values.gamma, "gamma"},
           {layer.beta, &values.beta, "beta"},
           {layer.moving_mean, &values.mean, "moving mean"},
           {layer.moving_variance, &values.spread, "moving variance"}}};
}

// "3 of 64 channels (the first is 5)".
std::string Channels(std::size_t found, std::size_t all, std::size_t first) {
  return std::to_string(found) + " of " + Plural(all, "channel") +
         (all == 1 ? "" : " (the first is " + std::to_string(first) + ")");
}

// Counts the channels of a vector for which `bad` holds.
template <class Predicate>
struct Found {
  std::size_t count = 0, first = 0;
  Found(const std::vector<double>& values, Predicate bad) {
    for (std::size_t c = 0; c < values.size(); ++c) {
      if (!bad(values[c])) continue;
      if (count++ == 0) first = c;
    }
  }
};

std::optional<LayerIssue> NonFinite(const Subject& subject, std::size_t i) {
  LayerIssue issue{i, {}};
  for (const NamedVector& vector : VectorsOf(subject.layers()[i], subject.values[i])) {
    if (!*vector.values) continue;
    const Found nan(**vector.values, [](double v) { return std::isnan(v); });
    const Found infinite(**vector.values, [](double v) { return std::isinf(v); });
    if (nan.count + infinite.count == 0) continue;
    issue.tensors.push_back(*vector.id);
    if (!issue.detail.empty()) issue.detail += "; ";
    issue.detail += std::string(vector.name) + " is ";
    const std::size_t channels = (*vector.values)->size();
    if (nan.count != 0) issue.detail += "NaN in " + Channels(nan.count, channels, nan.first);
    if (nan.count != 0 && infinite.count != 0) issue.detail += " and ";
    if (infinite.count != 0) {
      issue.detail += "infinite in " + Channels(infinite.count, channels, infinite.first);
      const Dtype dtype = subject.manifest().tensors[vector.id->index].dtype;
      if (dtype == Dtype::kF16) issue.detail += ", and float16 ends at 65504";
    }
  }
  if (issue.tensors.empty()) return std::nullopt;
  return issue;
}

// Negative variances: with epsilon known and above each of them, with epsilon not known, and those
// whose function does not exist.
struct NegativeVariances {
  Issue harmless, unknown, no_root;
};

void JudgeSigns(const Subject& subject, std::size_t i, NegativeVariances& found) {
  const BatchNorm& layer = subject.layers()[i];
  const Vector& spread = subject.values[i].spread;
  if (!spread) return;
  const bool known = layer.epsilon.has_value();
  const double epsilon = known ? layer.epsilon->value : 0;
  const Found rootless(*spread, [&](double v) { return known && v + epsilon <= 0; });
  // A denormal below 0 is rounding.
  const Found below(*spread, [&](double v) {
    return v <= -MinNormal(Dtype::kF32) && !(known && v + epsilon <= 0);
  });
  double lowest = 0;
  for (const double v : *spread) {
    if (std::isfinite(v)) lowest = std::min(lowest, v);
  }
  const std::string suffix = ", down to " + Number(lowest) + "; epsilon is " +
                             (known ? Number(epsilon) : std::string("not known"));
  if (rootless.count != 0) {
    found.no_root.layers.push_back(
        {i,
         {*layer.moving_variance},
         Channels(rootless.count, spread->size(), rootless.first) + suffix});
  }
  if (below.count != 0) {
    Issue& issue = known && rootless.count == 0 ? found.harmless : found.unknown;
    issue.layers.push_back(
        {i, {*layer.moving_variance}, Channels(below.count, spread->size(), below.first) + suffix});
  }
}

// A channel whose variance is nothing beside epsilon: its normalised signal is below a thousandth.
std::size_t DeadChannels(const BatchNorm& layer, const std::vector<double>& spread) {
  const double epsilon = layer.epsilon ? std::fmax(layer.epsilon->value, 0) : 0;
  const double share = layer.spread == SpreadKind::kVariance ? 1e-6 : 1e-3;
  const double limit = std::fmax(share * epsilon, MinNormal(Dtype::kF32));
  return Found(spread, [&](double v) { return v > -MinNormal(Dtype::kF32) && v < limit; }).count;
}

void JudgeDead(const Subject& subject, std::size_t i, Issue& some, Issue& most) {
  const BatchNorm& layer = subject.layers()[i];
  const Vector& spread = subject.values[i].spread;
  if (!spread || spread->empty()) return;
  const std::size_t dead = DeadChannels(layer, *spread);
  if (dead == 0) return;
  LayerIssue issue{i, {*layer.moving_variance}};
  issue.detail = std::to_string(dead) + " of " + Plural(spread->size(), "channel");
  const double gain = layer.epsilon ? 1 / Denominator(layer.spread, 0, layer.epsilon->value) : 0;
  if (std::isfinite(gain) && gain > 0) {
    issue.detail += ", gain " + Number(gain) + " with epsilon " + Number(layer.epsilon->value);
  }
  (2 * dead > spread->size() ? most : some).layers.push_back(std::move(issue));
}

// From which amplification on rounding is visible; the same share of each type's precision.
double AmplificationLimit(Dtype dtype) {
  if (dtype == Dtype::kF64) return 1e4 * 0x1p29;
  if (dtype == Dtype::kF32 || !IsFloat(dtype)) return 1e4;
  return dtype == Dtype::kF16 ? 30 : 4;
}

// By layer of the graph: its calls.
using LayerCalls = std::vector<std::vector<NodeId>>;

LayerCalls CallsOfLayers(const std::optional<ModelGraph>& graph) {
  if (!graph) return {};
  LayerCalls calls(graph->layers.size());
  for (NodeId id = 0; id < graph->nodes.size(); ++id) calls[graph->nodes[id].layer].push_back(id);
  return calls;
}

// The bias that is added right before the layer, where the graph shows it.
Vector BiasBefore(const Subject& subject, const LayerCalls& calls_of, const BatchNorm& batch_norm) {
  const std::optional<ModelGraph>& graph = subject.manifest().graph;
  if (!graph || !batch_norm.layer) return std::nullopt;
  const std::vector<NodeId>& calls = calls_of[*batch_norm.layer];
  if (calls.size() != 1 || graph->nodes[calls.front()].inputs.empty()) return std::nullopt;
  const Value& input = graph->values[graph->nodes[calls.front()].inputs.front()];
  if (!input.producer) return std::nullopt;
  const Layer& before = graph->layers[graph->nodes[*input.producer].layer];
  const auto bias = before.tensors.find("bias");
  if (bias == before.tensors.end() || before.activation != "linear") return std::nullopt;
  const TensorInfo& info = subject.manifest().tensors[bias->second.index];
  if (!batch_norm.channels || info.shape.element_count() != *batch_norm.channels) {
    return std::nullopt;
  }
  return subject.reader.Doubles(bias->second);
}

std::optional<LayerIssue> Amplification(const Subject& subject, const LayerCalls& calls,
                                        std::size_t i) {
  const BatchNorm& layer = subject.layers()[i];
  const LayerValues& values = subject.values[i];
  if (!values.mean || !values.spread || !layer.epsilon) return std::nullopt;
  if (values.mean->size() != values.spread->size()) return std::nullopt;
  const Dtype dtype = subject.manifest().tensors[layer.moving_mean->index].dtype;
  const Vector bias = BiasBefore(subject, calls, layer);
  double worst = 0;
  std::size_t channel = 0;
  for (std::size_t c = 0; c < values.mean->size(); ++c) {
    const double spread = (*values.spread)[c];
    const double divisor = Denominator(layer.spread, spread, layer.epsilon->value);
    if (!(divisor > 0) || spread < 0) continue;  // said by other rules
    // The linear layer's own output varies by its standard deviation around the mean.
    const double deviation = layer.spread == SpreadKind::kVariance ? std::sqrt(spread) : spread;
    const double offset = bias && bias->size() > c ? std::fabs((*bias)[c]) : 0;
    const double kappa = (std::fabs((*values.mean)[c]) + offset + deviation) / divisor;
    if (std::isfinite(kappa) && kappa > worst) {
      worst = kappa;
      channel = c;
    }
  }
  if (!(worst > AmplificationLimit(dtype))) return std::nullopt;
  return LayerIssue{i, StatisticsOf(layer),
                    Number(worst) + " times in channel " + std::to_string(channel) + ", where " +
                        std::string(Name(dtype)) + " bears " + Number(AmplificationLimit(dtype))};
}

// Vectors that stand at the largest value of their type.
void JudgeUpperRange(const Subject& subject, std::size_t i, Issue& visible) {
  for (const NamedVector& vector : VectorsOf(subject.layers()[i], subject.values[i])) {
    if (!*vector.values) continue;
    const Dtype dtype = subject.manifest().tensors[vector.id->index].dtype;
    if (!IsFloat(dtype) || dtype == Dtype::kF64) continue;
    const double limit = MaxFinite(dtype);
    const Found at_limit(**vector.values, [&](double v) { return std::fabs(v) == limit; });
    if (at_limit.count == 0) continue;
    visible.layers.push_back({i,
                              {*vector.id},
                              std::string(vector.name) + " is at the limit of " +
                                  std::string(Name(dtype)) + ", " + Number(limit) + ", in " +
                                  std::to_string(at_limit.count) + " of " +
                                  Plural((*vector.values)->size(), "channel")});
  }
}

// Variances so small that a 16-bit type keeps only some of their bits; in wider types they are
// dead channels.
void JudgeLowerRange(const Subject& subject, std::size_t i, Issue& visible, Issue& hidden) {
  const BatchNorm& layer = subject.layers()[i];
  const Vector& spread = subject.values[i].spread;
  if (!spread || layer.spread != SpreadKind::kVariance) return;
  const Dtype dtype = subject.manifest().tensors[layer.moving_variance->index].dtype;
  if (!IsFloat(dtype) || BitSize(dtype) > 16) return;
  const double normal = MinNormal(dtype);
  double smallest = normal;
  std::size_t count = 0;
  for (const double v : *spread) {
    if (!(v > 0 && v < normal)) continue;
    smallest = std::fmin(smallest, v);
    ++count;
  }
  if (count == 0) return;
  // A subnormal is off by up to half a step; sqrt(variance + epsilon) by half of that, relatively.
  const double half_step = normal * UnitRoundoff(dtype);
  const double error = layer.epsilon ? half_step / 2 / (smallest + layer.epsilon->value) : 0;
  (error > 1.0 / 256 ? visible : hidden)
      .layers.push_back({i,
                         {*layer.moving_variance},
                         "moving variance is below " + Number(normal) + ", where " +
                             std::string(Name(dtype)) + " loses bits, in " + std::to_string(count) +
                             " of " + Plural(spread->size(), "channel")});
}

void JudgeFiniteness(const Subject& subject, FindingList& findings) {
  Issue issue{RuleIndex::kNonFinite, Severity::kError, "values are not finite",
              "It spreads to every output behind the layer, or silences its channel"};
  for (std::size_t i = 0; i < subject.layers().size(); ++i) {
    if (auto found = NonFinite(subject, i)) issue.layers.push_back(*std::move(found));
  }
  findings.Add(std::move(issue));
}

void JudgeVariances(const Subject& subject, FindingList& findings) {
  const std::string impossible =
      "A variance cannot be; just above -epsilon the channel is multiplied by up to millions, and "
      "with a smaller epsilon it is NaN";
  NegativeVariances found{
      {RuleIndex::kNegativeVariance, Severity::kWarning,
       "the moving variance is negative, though above -epsilon", impossible},
      {RuleIndex::kNegativeVariance, Severity::kError, "the moving variance is negative",
       impossible},
      {RuleIndex::kVariancePlusEpsilon, Severity::kError, "variance + epsilon is not above 0",
       "Serving takes its square root and divides by it: the channel is NaN or infinite"}};
  const std::string constant =
      "Their inputs were constant in training; one that varies at serving "
      "is amplified by gamma / sqrt(epsilon)";
  Issue some{RuleIndex::kDeadChannels, Severity::kInfo, "the variance is 0 or negligible",
             constant};
  Issue most{RuleIndex::kDeadChannels, Severity::kWarning,
             "the variance is 0 or negligible in most channels", constant};
  for (std::size_t i = 0; i < subject.layers().size(); ++i) {
    JudgeSigns(subject, i, found);
    JudgeDead(subject, i, some, most);
  }
  findings.Add(std::move(found.harmless));
  findings.Add(std::move(found.unknown));
  findings.Add(std::move(found.no_root));
  findings.Add(std::move(most));
  findings.Add(std::move(some));
}

void JudgePrecision(const Subject& subject, FindingList& findings) {
  Issue amplified{RuleIndex::kAmplification, Severity::kWarning,
                  "rounding errors of the input are amplified",
                  "Results differ visibly between devices and batch sizes"};
  Issue visible{RuleIndex::kOutOfRange, Severity::kWarning,
                "values are at the limits of their type",
                "They are not what training computed, and channels are scaled wrongly"};
  Issue hidden{RuleIndex::kOutOfRange, Severity::kInfo, "values are at the limits of their type",
               "Beside epsilon the difference is too small to matter, or epsilon is not known"};
  const LayerCalls calls = CallsOfLayers(subject.manifest().graph);
  for (std::size_t i = 0; i < subject.layers().size(); ++i) {
    if (auto found = Amplification(subject, calls, i))
      amplified.layers.push_back(*std::move(found));
    JudgeUpperRange(subject, i, visible);
    JudgeLowerRange(subject, i, visible, hidden);
  }
  findings.Add(std::move(amplified));
  findings.Add(std::move(visible));
  findings.Add(std::move(hidden));
}

}  // namespace

void JudgeValues(const Subject& subject, FindingList& findings) {
  JudgeFiniteness(subject, findings);
  JudgeVariances(subject, findings);
  JudgePrecision(subject, findings);
}

}  // namespace ckpt::audit
