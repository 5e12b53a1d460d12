#include "cli/policy/baseline.h"

#include <algorithm>
#include <system_error>

#include "cli/policy/path_glob.h"
#include "cli/report/fingerprint.h"
#include "cli/report/json_values.h"

namespace ckpt::cli {
namespace {

// Names of more would make the file longer than people read; the fingerprint has all.
constexpr std::size_t kMaxNames = 1000;

// As JSON has them.
std::vector<std::string> WrittenNamesOf(const Finding& finding, const Analysis* analysis) {
  std::vector<std::string> names;
  for (const std::string& name : NamesOf(finding, analysis))
    names.push_back(JsonText(name).get<std::string>());
  std::sort(names.begin(), names.end());
  return names;
}

bool IsSome(const std::vector<std::string>& names, const std::vector<std::string>& all) {
  return !names.empty() && names.size() < all.size() &&
         std::includes(all.begin(), all.end(), names.begin(), names.end());
}

bool Has(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool Contains(const std::vector<std::filesystem::path>& places,
              const std::filesystem::path& place) {
  return std::find(places.begin(), places.end(), place) != places.end();
}

std::vector<std::filesystem::path> PlacesOf(const InputReport& input) {
  std::vector<std::filesystem::path> places = {PlaceOf(input.path)};
  if (input.opened()) places.push_back(PlaceOf(input.manifest->resolved));
  return places;
}

}  // namespace

BaselineEntry EntryFor(const Finding& finding, const InputReport& input) {
  BaselineEntry entry;
  entry.place = PlaceOf(input.path);
  entry.rule = finding.rule->id;
  entry.severity = finding.severity;
  entry.fingerprint = FingerprintOf(finding, input.analysis);
  entry.names = WrittenNamesOf(finding, input.analysis);
  if (entry.names.size() > kMaxNames) entry.names.clear();
  entry.subject = finding.subject;
  return entry;
}

Baseline::Baseline(std::vector<BaselineEntry> entries)
    : entries_(std::move(entries)), used_(entries_.size()), gone_(entries_.size()) {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    by_fingerprint_[entries_[i].fingerprint].push_back(i);
    by_rule_[{entries_[i].place, entries_[i].rule}].push_back(i);
  }
}

bool Baseline::IsGone(std::size_t entry) const {
  if (!gone_[entry]) {
    const std::filesystem::path& place = entries_[entry].place;
    std::error_code failed;
    // A TensorFlow checkpoint is named by its prefix.
    gone_[entry] = !std::filesystem::exists(place, failed) && !failed &&
                   !std::filesystem::exists(place.string() + ".index", failed) && !failed;
  }
  return *gone_[entry];
}

std::optional<std::size_t> Baseline::FindOfSome(const Finding& finding, const AuditedInput& audited,
                                                const Places& places) const {
  const std::vector<std::string> names = WrittenNamesOf(finding, audited.input.analysis);
  for (const std::filesystem::path& place : places) {
    const auto found = by_rule_.find({place, std::string(finding.rule->id)});
    if (found == by_rule_.end()) continue;
    for (const std::size_t i : found->second) {
      if (finding.severity <= entries_[i].severity && IsSome(names, entries_[i].names)) return i;
    }
  }
  return std::nullopt;
}

std::optional<std::size_t> Baseline::Find(const Finding& finding, const AuditedInput& audited,
                                          const Places& places) {
  std::optional<std::size_t> moved, found;
  const auto same = by_fingerprint_.find(FingerprintOf(finding, audited.input.analysis));
  if (same != by_fingerprint_.end()) {
    for (const std::size_t i : same->second) {
      const BaselineEntry& entry = entries_[i];
      if (used_[i] || entry.rule != finding.rule->id || finding.severity > entry.severity) continue;
      if (!found && Contains(places, entry.place)) found = i;
      if (!found && !moved && IsGone(i)) moved = i;
    }
  }
  if (!found) found = FindOfSome(finding, audited, places);
  if (!found) found = moved;
  if (found) used_[*found] = true;
  return found;
}

void Baseline::Settle(AuditedInput& audited) {
  const std::vector<std::filesystem::path> places = PlacesOf(audited.input);
  if (!audited.input.error) looked_at_.insert(places.begin(), places.end());
  std::erase_if(audited.findings, [&](Finding& finding) {
    const std::optional<std::size_t> found = Find(finding, audited, places);
    if (!found) return false;
    const BaselineEntry& entry = entries_[*found];
    const bool moved = !Contains(places, entry.place);
    audited.known.push_back(
        {std::move(finding), entry.reason, moved ? entry.place.string() : std::string()});
    return true;
  });
}

Baseline::State Baseline::StateOf(std::size_t entry, const AuditScope& scope) const {
  if (used_[entry]) return State::kFound;
  const BaselineEntry& one = entries_[entry];
  const bool applied = (scope.only_rules.empty() || Has(scope.only_rules, one.rule)) &&
                       !Has(scope.without_rules, one.rule);
  if (!applied) return State::kUnseen;
  if (IsGone(entry)) return State::kStale;
  const bool seen = looked_at_.contains(one.place) &&
                    std::all_of(one.looked_at.begin(), one.looked_at.end(),
                                [&](const auto& what) { return Has(scope.looked_at, what); });
  return seen ? State::kStale : State::kUnseen;
}

}  // namespace ckpt::cli
