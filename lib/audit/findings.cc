#include "audit/findings.h"

#include <algorithm>
#include <utility>

#include "audit/wording.h"

namespace ckpt::audit {
namespace {

constexpr std::size_t kSeparateUpTo = 3;  // layers with a finding each; information is always one
constexpr std::size_t kNamedLayers = 3;

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

std::vector<std::string> FindingList::NamesOf(const std::vector<TensorId>& ids) const {
  std::vector<std::string> names;
  names.reserve(ids.size());
  for (const TensorId id : ids) names.push_back(manifest_.tensors[id.index].name);
  return names;
}

void FindingList::AddOne(const Issue& issue, const LayerIssue& layer) {
  std::string message = issue.what;
  if (!layer.detail.empty()) message += ": " + layer.detail;
  placed_.push_back(
      {Finding{&RuleOf(issue.rule), issue.severity, analysis_.batch_norms[layer.layer].scope,
               NamesOf(layer.tensors), Sentences(std::move(message), issue.consequence),
               std::string(FixOf(issue.rule, analysis_.framework))},
       layer.layer});
}

void FindingList::AddMany(const Issue& issue) {
  const std::size_t count = issue.layers.size(), total = analysis_.batch_norms.size();
  const std::string subject = count == total
                                  ? "all " + std::to_string(total) + " batch norms"
                                  : std::to_string(count) + " of " + Plural(total, "batch norm");
  std::vector<TensorId> tensors;
  std::vector<std::string> listed;
  const bool same_detail = SameDetail(issue.layers);
  for (const LayerIssue& layer : issue.layers) {
    tensors.insert(tensors.end(), layer.tensors.begin(), layer.tensors.end());
    std::string item = analysis_.batch_norms[layer.layer].scope;
    if (!same_detail) item += " (" + layer.detail + ")";
    listed.push_back(std::move(item));
  }
  std::string message = issue.what;
  if (same_detail) {  // said once
    if (!issue.layers.front().detail.empty()) message += ": " + issue.layers.front().detail;
    if (count != total) message += " (" + Listed(listed, kNamedLayers) + ")";
  } else {
    message += ": " + Listed(listed, kNamedLayers);
  }
  placed_.push_back({Finding{&RuleOf(issue.rule), issue.severity, subject, NamesOf(tensors),
                             Sentences(std::move(message), issue.consequence),
                             std::string(FixOf(issue.rule, analysis_.framework))},
                     issue.layers.front().layer});
}

void FindingList::Add(Issue issue) {
  const std::size_t separate = issue.severity == Severity::kInfo ? 1 : kSeparateUpTo;
  if (issue.layers.empty()) return;
  if (issue.layers.size() > separate) return AddMany(issue);
  for (const LayerIssue& layer : issue.layers) AddOne(issue, layer);
}

void FindingList::Add(FileIssue issue) {
  const std::string& file = manifest_.resolved.empty() ? manifest_.path : manifest_.resolved;
  placed_.push_back(
      {Finding{&RuleOf(issue.rule), issue.severity,
               issue.subject.empty() ? file : std::move(issue.subject), NamesOf(issue.tensors),
               std::move(issue.message), std::string(FixOf(issue.rule, analysis_.framework))},
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
