// SARIF 2.1.0, with what GitHub's import asks beyond the schema: a region of every location, help
// of every rule.
// https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/sarif-v2.1.0-errata01-os-complete.html
#include <filesystem>
#include <map>
#include <set>
#include <string_view>

#include "cli/report/advice.h"
#include "cli/report/issues.h"
#include "cli/report/json_values.h"
#include "formats/remote/address.h"

namespace ckpt::cli {
namespace {

// A relative reference where the path lies below the current folder, else a file URI.
std::string UriOf(const std::string& path) {
  if (formats::IsRemoteName(path)) return formats::PercentEncoded(path, "/:%@[]!$&'()*+,;=");
  std::error_code failed;
  std::filesystem::path place = std::filesystem::path(path).lexically_normal();
  const std::filesystem::path here = std::filesystem::current_path(failed);
  const auto outside = [](const std::filesystem::path& relative) {
    return relative.empty() || *relative.begin() == "..";
  };
  if (place.is_relative() && outside(place)) place = (here / place).lexically_normal();
  if (place.is_absolute() && !failed) {
    const std::filesystem::path relative = place.lexically_relative(here);
    if (!outside(relative)) place = relative;
  }
  std::string uri = place.is_absolute() ? "file://" : "";
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
  for (const char c : place.string()) {
    if (kPlain.find(c) != std::string_view::npos) {
      uri += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    uri += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return uri;
}

// "[text](target)" in a message is a link.
std::string WithoutLinks(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if ((c == '[' || c == ']') && text.find("](") != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

Json MessageOf(std::string_view text) { return {{"text", JsonText(text)}}; }

Json RuleOf(const Issue& issue) {
  const std::string_view summary =
      issue.entry != nullptr ? issue.entry->summary : std::string_view("an unreadable input");
  const std::string text =
      issue.entry != nullptr ? TextOf(*issue.entry) : std::string(kUnreadableText);
  const Severity usual = issue.entry != nullptr ? issue.entry->severity : Severity::kError;
  Json rule = {{"id", issue.rule}};
  rule["name"] = issue.entry != nullptr ? issue.entry->name : "unreadable-input";
  rule["shortDescription"] = MessageOf(summary);
  rule["fullDescription"] = MessageOf(std::string(summary) + ".");
  rule["help"] = MessageOf(text);
  rule["defaultConfiguration"] = {{"level", LevelOf(usual)}};
  rule["properties"] = {{"tags", Json::array({"checkpoint"})}};
  return rule;
}

Json LocationOf(const Checked& checked, const Issue& issue) {
  Json location;
  location["physicalLocation"] = {{"artifactLocation", {{"uri", UriOf(checked.path)}}},
                                  {"region", {{"startLine", 1}}}};
  if (issue.names.empty()) return location;
  location["logicalLocations"] = Json::array();
  std::set<std::string_view> named;  // a place stands once, though two layers may be called alike
  for (const std::string& name : issue.names) {
    if (!named.insert(name).second) continue;
    location["logicalLocations"].push_back(
        {{"fullyQualifiedName", JsonText(ForPeople(name))}, {"kind", "member"}});
  }
  return location;
}

Json ResultOf(const Checked& checked, const Issue& issue, std::size_t rule) {
  // Viewers group by how a message begins: by what does not change.
  const std::string text = TitleOf(issue) + ": " + SentenceOf(issue) + ".";
  Json result = {{"ruleId", issue.rule}, {"ruleIndex", rule}, {"level", LevelOf(issue.severity)}};
  result["message"] = MessageOf(WithoutLinks(text));
  result["locations"] = Json::array({LocationOf(checked, issue)});
  result["partialFingerprints"] = {{"ruleAndLayers/v1", issue.fingerprint}};
  return result;
}

// Against a baseline a result is new, or known and then suppressed by it.
void AddState(Json& result, const std::string* reason) {
  result["baselineState"] = reason == nullptr ? "new" : "unchanged";
  if (reason == nullptr) return;
  result["suppressions"] = Json::array(
      {{{"kind", "external"}, {"status", "accepted"}, {"justification", JsonText(*reason)}}});
}

Json InvocationOf(const IssueReport& report) {
  Json notes = Json::array();
  bool successful = true;
  for (const Checked& checked : report.checked) {
    successful = successful && !checked.unreadable_left_out;
    for (const Issue& issue : checked.issues) {
      if (issue.rule != kUnreadable) continue;
      successful = false;
      notes.push_back({{"level", "error"}, {"message", MessageOf(WithoutLinks(issue.message))}});
    }
  }
  if (const std::string left = report.LeftOut(); !left.empty())
    notes.push_back({{"level", "warning"}, {"message", MessageOf(left)}});
  Json invocation = {{"executionSuccessful", successful}};
  if (!notes.empty()) invocation["toolExecutionNotifications"] = std::move(notes);
  for (const Remark& remark : report.remarks) {
    invocation["toolConfigurationNotifications"].push_back(
        {{"level", "note"}, {"message", MessageOf(WithoutLinks(remark.text))}});
  }
  return invocation;
}

std::string ToSarif(const IssueReport& report) {
  Json rules = Json::array(), results = Json::array();
  std::map<std::string, std::size_t> index;  // of a rule in `rules`
  const auto add = [&](const Checked& checked, const Issue& issue, const std::string* reason) {
    const auto [place, is_new] = index.emplace(issue.rule, rules.size());
    if (is_new) rules.push_back(RuleOf(issue));
    results.push_back(ResultOf(checked, issue, place->second));
    if (report.has_baseline) AddState(results.back(), reason);
  };
  for (const Checked& checked : report.checked) {
    for (const Issue& issue : checked.issues) add(checked, issue, nullptr);
    for (const auto& [issue, reason] : checked.known) add(checked, issue, &reason);
  }
  Json run;
  run["tool"]["driver"] = {{"name", "ckpt"}, {"semanticVersion", CKPT_VERSION}, {"rules", rules}};
  run["invocations"] = Json::array({InvocationOf(report)});
  run["results"] = std::move(results);
  Json sarif;
  sarif["$schema"] =
      "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
  sarif["version"] = "2.1.0";
  sarif["runs"] = Json::array({std::move(run)});
  return Dump(sarif, true);
}

}  // namespace

// GitHub shows 5,000 results of a run.
std::unique_ptr<Form> MakeSarifForm(const FormOptions& options) {
  return std::make_unique<IssueForm>(options, IssueForm::Kind{5000, true, ToSarif});
}

}  // namespace ckpt::cli
