#include "cli/policy/baseline_file.h"

#include <algorithm>

#include "ckpt/natural_order.h"
#include "cli/policy/path_glob.h"
#include "cli/report/json_values.h"
#include "cli/report_sink.h"

namespace ckpt::cli {
namespace {

constexpr const char* kSchema = "ckpt.baseline/1";
constexpr std::uint64_t kMaxBaselineBytes = std::uint64_t{16} << 20;
constexpr std::size_t kFingerprintDigits = 64;

Error Bad(const std::string& path, std::string what) {
  return Error{ErrorCode::kInvalidArgument, std::move(what)}.In(path);
}

std::optional<std::string> TextIn(const Json& entry, const char* key) {
  const auto found = entry.find(key);
  if (found == entry.end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

// A list of strings; absent: empty. False for anything else.
bool ReadTexts(const Json& entry, const char* key, std::vector<std::string>& texts) {
  const auto found = entry.find(key);
  if (found == entry.end()) return true;
  if (!found->is_array()) return false;
  for (const Json& text : *found) {
    if (!text.is_string()) return false;
    texts.push_back(text.get<std::string>());
  }
  return true;
}

std::optional<Severity> SeverityNamed(std::string_view name) {
  for (const Severity severity : {Severity::kError, Severity::kWarning, Severity::kInfo}) {
    if (Name(severity) == name) return severity;
  }
  return std::nullopt;
}

bool IsFingerprint(const std::string& text) {
  return text.size() == kFingerprintDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// What is wrong with an entry; empty where it was read.
std::string ReadEntry(const Json& json, const std::filesystem::path& folder, BaselineEntry& entry) {
  if (!json.is_object()) return "is no object";
  const auto path = TextIn(json, "path"), rule = TextIn(json, "rule");
  const auto severity = TextIn(json, "severity"), fingerprint = TextIn(json, "fingerprint");
  const auto reason = TextIn(json, "reason");
  if (!path || path->empty() || path->find('\0') != std::string::npos) return "has no \"path\"";
  if (!rule) return "has no \"rule\"";
  if (!reason || reason->find_first_not_of(" \t\n") == std::string::npos)
    return "has no \"reason\": a finding is known for one";
  if (!severity || !SeverityNamed(*severity))
    return "has no \"severity\" of error, warning or info";
  if (!fingerprint || !IsFingerprint(*fingerprint))
    return "has no \"fingerprint\" of 64 hexadecimal digits";
  if (!ReadTexts(json, "names", entry.names)) return "has \"names\" that are no list of strings";
  if (!ReadTexts(json, "looked_at", entry.looked_at))
    return "has a \"looked_at\" that is no list of strings";
  // A rule of another version is known all the same: nothing is found by it.
  const Rule* known = FindRule(*rule);
  entry.place = PlaceOf(folder / *path);
  entry.rule = known != nullptr ? std::string(known->id) : *rule;
  entry.severity = *SeverityNamed(*severity);
  entry.fingerprint = *fingerprint;
  entry.subject = TextIn(json, "subject").value_or("");
  entry.reason = *reason;
  std::sort(entry.names.begin(), entry.names.end());
  return {};
}

Json ToJson(const BaselineEntry& entry, const std::filesystem::path& folder) {
  const std::filesystem::path relative = entry.place.lexically_relative(folder);
  Json json = {{"path", (relative.empty() ? entry.place : relative).generic_string()},
               {"rule", entry.rule},
               {"severity", Name(entry.severity)},
               {"subject", JsonText(entry.subject)},
               {"reason", JsonText(entry.reason)},
               {"fingerprint", entry.fingerprint}};
  if (!entry.names.empty()) json["names"] = entry.names;
  if (!entry.looked_at.empty()) json["looked_at"] = entry.looked_at;
  return json;
}

bool Less(const BaselineEntry& a, const BaselineEntry& b) {
  const std::string x = a.place.string(), y = b.place.string();
  if (x != y) return NaturalLess(x, y);
  if (a.rule != b.rule) return a.rule < b.rule;
  return a.fingerprint < b.fingerprint;
}

}  // namespace

Result<Baseline> ReadBaseline(const formats::Files& files, const std::string& path) {
  const auto file = files.Open(path);
  if (!file) return Fail(Bad(path, file.error().message + "; --write-baseline makes a baseline"));
  const Result<std::string> text = formats::ReadWhole(**file, kMaxBaselineBytes);
  if (!text) return Fail(Bad(path, text.error().message));
  const Json json = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  const auto list = json.is_object() ? json.find("findings") : json.end();
  if (!json.is_object() || TextIn(json, "schema") != kSchema || list == json.end() ||
      !list->is_array())
    return Fail(Bad(path, std::string("is no baseline: JSON with \"schema\": \"") + kSchema +
                              "\" and a list \"findings\""));
  std::vector<BaselineEntry> entries(list->size());
  const std::filesystem::path folder = PlaceOf(path).parent_path();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::string wrong = ReadEntry((*list)[i], folder, entries[i]);
    if (!wrong.empty())
      return Fail(Bad(path, "entry " + std::to_string(i + 1) + " of \"findings\" " + wrong));
  }
  return Baseline(std::move(entries));
}

void BaselineWriter::Add(const AuditedInput& audited) {
  const auto add = [&](const Finding& finding, const std::string& reason) {
    BaselineEntry entry = EntryFor(finding, audited.input);
    entry.looked_at = options_.scope.looked_at;
    entry.reason = reason;
    entries_.push_back(std::move(entry));
  };
  for (const KnownFinding& known : audited.known) add(known.finding, known.reason);
  for (const Finding& finding : audited.findings) {
    if (finding.severity < options_.least) continue;
    add(finding, options_.reason);
    ++added_;
  }
}

Result<AuditSummary::WrittenBaseline> BaselineWriter::Write(const CommonOptions& options,
                                                            const Baseline* older) {
  if (older != nullptr) {
    for (std::size_t i = 0; i < older->entries().size(); ++i) {
      if (older->StateOf(i, options_.scope) == Baseline::State::kUnseen)
        entries_.push_back(older->entries()[i]);
    }
  }
  std::stable_sort(entries_.begin(), entries_.end(), Less);
  const std::filesystem::path folder = PlaceOf(options_.path).parent_path();
  Json json = {{"schema", kSchema}};
  json["findings"] = Json::array();
  for (const BaselineEntry& entry : entries_) json["findings"].push_back(ToJson(entry, folder));
  CKPT_ASSIGN_OR_RETURN(const auto sink, OpenReport(options, options_.path));
  CKPT_RETURN_IF_ERROR(sink->Write(Dump(json, true)));
  CKPT_RETURN_IF_ERROR(sink->Finish());
  return AuditSummary::WrittenBaseline{options_.path, entries_.size(), added_};
}

}  // namespace ckpt::cli
