#include "cli/policy/apply_config.h"

#include <algorithm>

#include "cli/policy/path_glob.h"

namespace ckpt::cli {
namespace {

bool Has(const std::vector<std::string_view>& rules, std::string_view rule) {
  return std::find(rules.begin(), rules.end(), rule) != rules.end();
}

// By the name that the user gave, or the one that it led to.
bool Matches(const PathSettings& settings, const std::filesystem::path& folder,
             const InputReport& input) {
  std::vector<std::filesystem::path> places = {PlaceOf(input.path)};
  if (input.opened()) places.push_back(PlaceOf(input.manifest->resolved));
  return std::any_of(settings.globs.begin(), settings.globs.end(), [&](const std::string& glob) {
    return std::any_of(places.begin(), places.end(), [&](const std::filesystem::path& place) {
      return MatchesPath(glob, folder, place);
    });
  });
}

}  // namespace

bool RuleSettings::Hides(std::string_view rule) const {
  return (!only.empty() && !Has(only, rule)) || Has(without, rule);
}

void ApplyConfig(const AuditConfig& config, bool rules_were_chosen, AuditedInput& audited) {
  std::vector<const RuleSettings*> settings = {&config.rules};
  for (const PathSettings& path : config.paths) {
    if (Matches(path, config.folder, audited.input)) settings.push_back(&path.rules);
  }
  std::erase_if(audited.findings, [&](const Finding& finding) {
    const bool hidden = !rules_were_chosen &&
                        std::any_of(settings.begin(), settings.end(), [&](const RuleSettings* set) {
                          return set->Hides(finding.rule->id);
                        });
    if (hidden) audited.hidden.Add(finding.severity);
    return hidden;
  });
  for (Finding& finding : audited.findings) {
    Severity severity = finding.severity;
    for (const RuleSettings* set : settings) {
      const auto found = set->severity.find(finding.rule->id);
      if (found != set->severity.end()) severity = found->second;
    }
    if (severity != finding.severity) ++audited.other_severity;
    finding.severity = severity;
  }
  std::stable_sort(audited.findings.begin(), audited.findings.end(),
                   [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
}

}  // namespace ckpt::cli
