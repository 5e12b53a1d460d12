#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <map>
#include <string>
#include <string_view>

#include "audit/rules.h"
#include "audit/wording.h"

namespace ckpt::audit {
namespace {

// From here on a difference between copies is more than the noise of their batches: in standard
// deviations of the channel, and as a ratio of variances.
constexpr double kMeanDifference = 0.1, kVarianceRatio = 1.25;

bool AllDigits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
}

// "tower_0", "gpu1", "clone-3": a replica of data-parallel training.
bool IsReplica(std::string_view component) {
  constexpr std::array<std::string_view, 7> kWords = {"tower", "gpu",    "replica", "clone",
                                                      "rank",  "device", "worker"};
  for (const std::string_view word : kWords) {
    if (!component.starts_with(word)) continue;
    std::string_view rest = component.substr(word.size());
    if (!rest.empty() && (rest.front() == '_' || rest.front() == '-')) rest.remove_prefix(1);
    if (AllDigits(rest)) return true;
  }
  return false;
}

struct Component {
  std::size_t begin, length;
};
std::vector<Component> ComponentsOf(std::string_view scope) {
  std::vector<Component> components;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= scope.size(); ++i) {
    if (i < scope.size() && scope[i] != '/' && scope[i] != '.') continue;
    components.push_back({begin, i - begin});
    begin = i + 1;
  }
  return components;
}

// The scope with its replica's component replaced, the same for all towers; empty without one.
std::string WithoutReplica(const std::string& scope) {
  for (const Component& part : ComponentsOf(scope)) {
    if (!IsReplica(std::string_view(scope).substr(part.begin, part.length))) continue;
    return std::string(scope).replace(part.begin, part.length, "*");
  }
  return "";
}

// The scopes that this one may reuse: "model/bn" for "model_1/bn" and for "model/bn_1".
std::vector<std::string> ReusedScopes(const std::string& scope) {
  std::vector<std::string> reused;
  for (const Component& part : ComponentsOf(scope)) {
    const std::string_view component = std::string_view(scope).substr(part.begin, part.length);
    const std::size_t underscore = component.rfind('_');
    if (underscore == std::string_view::npos || underscore == 0) continue;
    if (!AllDigits(component.substr(underscore + 1))) continue;
    reused.push_back(std::string(scope).erase(part.begin + underscore, part.length - underscore));
  }
  return reused;
}

bool Near(const std::optional<std::vector<double>>& a, const std::optional<std::vector<double>>& b,
          double tolerance) {
  if (a.has_value() != b.has_value()) return false;
  if (!a) return true;
  if (a->size() != b->size()) return false;
  double largest = 0, difference = 0;
  for (std::size_t c = 0; c < a->size(); ++c) {
    largest = std::fmax(largest, std::fabs((*a)[c]));
    const double apart = std::fabs((*a)[c] - (*b)[c]);
    if (std::isnan(apart)) return false;
    difference = std::fmax(difference, apart);
  }
  return difference <= tolerance * largest;
}

// Copies of one layer have the same trained gamma and beta; untrained ones are alike by chance.
bool SameLayer(const LayerValues& a, const LayerValues& b, double tolerance) {
  const bool trained = (a.gamma || a.beta) && !AffineInitial(a);
  return trained && Near(a.gamma, b.gamma, tolerance) && Near(a.beta, b.beta, tolerance);
}

// How the statistics of two copies differ, in words; empty if they agree.
std::string Disagreement(const LayerValues& a, const LayerValues& b) {
  if (!a.mean || !b.mean || !a.spread || !b.spread) return "";
  const std::size_t channels = a.mean->size();
  for (const auto* other : {&*b.mean, &*a.spread, &*b.spread}) {
    if (other->size() != channels) return "";
  }
  double shift = 0, ratio = 1;
  for (std::size_t c = 0; c < channels; ++c) {
    const double low = std::fmin((*a.spread)[c], (*b.spread)[c]);
    const double high = std::fmax((*a.spread)[c], (*b.spread)[c]);
    if (!(low > 0)) continue;  // dead or broken channels are judged elsewhere
    shift = std::fmax(shift, std::fabs((*a.mean)[c] - (*b.mean)[c]) / std::sqrt(high));
    ratio = std::fmax(ratio, high / low);
  }
  if (StatisticsInitial(a) != StatisticsInitial(b)) return "one of them was never updated";
  if (shift <= kMeanDifference && ratio <= kVarianceRatio) return "";
  return "means differ by up to " + Number(shift) + " standard deviations and variances by up to " +
         Number(ratio) + " times";
}

class TowerJudge {
 public:
  explicit TowerJudge(const Subject& subject) : subject_(subject) {}

  Issue Judge() {
    std::map<std::string, std::size_t> first_tower, by_scope;
    for (std::size_t i = 0; i < subject_.layers().size(); ++i) {
      by_scope.emplace(subject_.layers()[i].scope, i);
    }
    for (std::size_t i = 0; i < subject_.layers().size(); ++i) {
      const std::string& scope = subject_.layers()[i].scope;
      if (const std::string key = WithoutReplica(scope); !key.empty()) {
        const auto [first, is_first] = first_tower.emplace(key, i);
        if (!is_first) Compare(first->second, i, 1e-3);
        continue;
      }
      for (const std::string& reused : ReusedScopes(scope)) {
        // Numbered names are most often layers of their own: only equal bits tell a copy.
        if (const auto found = by_scope.find(reused); found != by_scope.end()) {
          Compare(found->second, i, 0);
        }
      }
    }
    return std::move(issue_);
  }

 private:
  void Compare(std::size_t first, std::size_t second, double tolerance) {
    const LayerValues &a = subject_.values[first], &b = subject_.values[second];
    if (!SameLayer(a, b, tolerance)) return;
    const std::string disagreement = Disagreement(a, b);
    if (disagreement.empty()) return;
    std::vector<TensorId> tensors = StatisticsOf(subject_.layers()[first]);
    for (const TensorId id : StatisticsOf(subject_.layers()[second])) tensors.push_back(id);
    issue_.layers.push_back({second, std::move(tensors),
                             "against " + subject_.layers()[first].scope + " " + disagreement});
  }

  const Subject& subject_;
  Issue issue_{RuleIndex::kTowersDisagree, Severity::kWarning,
               "copies of one layer hold different statistics",
               "What is served depends on which copy the inference graph reads"};
};

}  // namespace

void JudgeTowers(const Subject& subject, FindingList& findings) {
  findings.Add(TowerJudge(subject).Judge());
}

}  // namespace ckpt::audit
