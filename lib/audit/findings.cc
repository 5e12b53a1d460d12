#include "audit/findings.h"

#include <algorithm>
#include <utility>

#include "audit/wording.h"

namespace ckpt::audit {
namespace {

// Layers that are named in a finding, and that may have a finding each.

std::string Sentences(std::string first, const std::string& rest) {
  if (!rest.empty()) first += ". " + rest;
  return first;
}

bool SameDetail(const std::vector<LayerIssue>& layers) {
  return std::all_of(layers.begin(), layers.end(), [&](const LayerIssue& layer) {
    return layer.detail == layers.front().detail;
  });
}

bool Names(const std::vector<std::string>& rules, const Rule& rule) {
  return std::any_of(rules.begin(), rules.end(),
                     [&](const std::string& name) { return name == rule.id || name == rule.name; });
}

}  // namespace

std::vector<FindingTensor> FindingList::Tensors(const std::vector<TensorId>& ids) const {
  std::vector<FindingTensor> tensors;
  tensors.reserve(ids.size());
  for (const TensorId id : ids) tensors.push_back({manifest_.tensors[id.index].name, id});
  return tensors;
}

std::string FindingList::FixFor(const Issue& issue) const {
  if (!issue.fix.empty()) return issue.fix;
  std::optional<double> decay;  // the largest: it takes longest
  for (const LayerIssue& layer : issue.layers) {
    const auto& momentum = analysis_.batch_norms[layer.layer].momentum;
    if (momentum && momentum->value > 0 && momentum->value < 1) {
      decay = std::max(decay.value_or(0), momentum->value);
    }
  }
  return FixOf(issue.rule, analysis_.framework, decay);
}

void FindingList::AddOne(const Issue& issue, const LayerIssue& layer) {
  std::string message = issue.what;
  if (!layer.detail.empty()) message += ": " + layer.detail;
  placed_.push_back({Finding{&RuleOf(issue.rule),
                             issue.severity,
                             analysis_.batch_norms[layer.layer].scope,
                             Tensors(layer.tensors),
                             Sentences(std::move(message), issue.consequence),
                             FixFor(issue),
                             {layer.layer}},
                     layer.layer});
}

void FindingList::AddMany(const Issue& issue) {
  const std::size_t count = issue.layers.size(), total = analysis_.batch_norms.size();
  const bool same_detail = SameDetail(issue.layers);
  std::vector<TensorId> tensors;
  std::vector<std::string> scopes, described;
  std::vector<std::size_t> layers;
  for (const LayerIssue& layer : issue.layers) {
    layers.push_back(layer.layer);
    tensors.insert(tensors.end(), layer.tensors.begin(), layer.tensors.end());
    scopes.push_back(analysis_.batch_norms[layer.layer].scope);
    const bool plain = same_detail || layer.detail.empty();
    described.push_back(scopes.back() + (plain ? "" : " (" + layer.detail + ")"));
  }
  const bool few = count <= kNamed;
  std::string subject = few ? Listed(scopes, kNamed)
                        : count == total
                            ? "all " + std::to_string(total) + " batch norms"
                            : std::to_string(count) + " of " + Plural(total, "batch norm");
  std::string message = issue.what;
  if (same_detail && !issue.layers.front().detail.empty()) {
    message += ": " + issue.layers.front().detail;
  }
  if (!same_detail) {
    message += ": " + Listed(described, kNamed);
  } else if (!few && (count != total || issue.severity != Severity::kInfo)) {
    message += " (" + Listed(described, kNamed) + ")";
  }
  std::sort(layers.begin(), layers.end());
  placed_.push_back(
      {Finding{&RuleOf(issue.rule), issue.severity, std::move(subject), Tensors(tensors),
               Sentences(std::move(message), issue.consequence), FixFor(issue), std::move(layers)},
       issue.layers.front().layer});
}

void FindingList::Add(Issue issue) {
  if (issue.layers.empty()) return;
  const bool apart = issue.layers.size() <= kNamed && !SameDetail(issue.layers) &&
                     issue.severity != Severity::kInfo;
  if (issue.layers.size() > 1 && !apart) return AddMany(issue);
  for (const LayerIssue& layer : issue.layers) AddOne(issue, layer);
}

void FindingList::Add(FileIssue issue) {
  const std::string& file = manifest_.resolved;
  std::vector<FindingTensor> tensors = Tensors(issue.tensors);
  for (const std::string& name : issue.names)
    tensors.push_back({name, FindTensor(manifest_, name)});
  std::vector<std::size_t> layers = LayersOf(analysis_, tensors);
  placed_.push_back(
      {Finding{&RuleOf(issue.rule), issue.severity,
               issue.subject.empty() ? file : std::move(issue.subject), std::move(tensors),
               std::move(issue.message), FixOf(issue.rule, analysis_.framework), std::move(layers)},
       analysis_.batch_norms.size()});
}

std::vector<Finding> FindingList::Take(const AuditOptions& options) && {
  std::erase_if(placed_, [&](const Placed& placed) {
    const Rule& rule = *placed.finding.rule;
    return (!options.only_rules.empty() && !Names(options.only_rules, rule)) ||
           Names(options.without_rules, rule);
  });
  std::stable_sort(placed_.begin(), placed_.end(), [](const Placed& a, const Placed& b) {
    if (a.finding.severity != b.finding.severity) return a.finding.severity > b.finding.severity;
    if (a.place != b.place) return a.place < b.place;
    return a.finding.rule->id < b.finding.rule->id;
  });
  std::vector<Finding> findings;
  findings.reserve(placed_.size());
  for (Placed& placed : placed_) findings.push_back(std::move(placed.finding));
  return findings;
}

}  // namespace ckpt::audit
