// One object a call, indented for people's eyes.
#include <utility>

#include "cli/report/advice.h"
#include "cli/report/form.h"
#include "cli/report/json_pieces.h"

namespace ckpt::cli {

Json WithSchema(std::string_view command) {
  Json json;
  json["schema"] = "ckpt." + std::string(command) + "/1";
  return json;
}

Json ToJson(const Rule& rule) {
  return {{"id", rule.id},
          {"name", rule.name},
          {"severity", Name(rule.severity)},
          {"summary", rule.summary},
          {"stops_conversion", rule.stops_conversion()},
          {"in_conversion", Name(rule.in_conversion)},
          {"text", TextOf(rule)}};
}

namespace {

class JsonForm : public Form {
 public:
  std::string Add(const InspectedInput& inspected) override {
    inputs_.push_back(HeadOf(inspected, true));
    return {};
  }
  std::string End(const InspectSummary& summary) override {
    Json json = WithSchema("inspect");
    json["inputs"] = std::move(inputs_);
    if (!summary.not_read.empty()) json["not_read"] = JsonNotRead(summary.not_read);
    return Dump(json, true);
  }
  std::string Add(const AuditedInput& audited) override {
    Json json = HeadOf(audited);
    json["findings"] = Json::array();
    for (const Finding& finding : audited.findings)
      json["findings"].push_back(FindingOf(audited, finding));
    json["known"] = Json::array();
    for (const KnownFinding& known : audited.known)
      json["known"].push_back(FindingOf(audited, known));
    inputs_.push_back(std::move(json));
    return {};
  }
  std::string End(const AuditSummary& summary) override {
    Json json = WithSchema("audit");
    json["inputs"] = std::move(inputs_);
    json["summary"] = ToJson(summary);
    return Dump(json, true);
  }
  std::string Add(const Conversion& conversion) override { return Dump(ToJson(conversion), true); }
  std::string Add(const Comparison& comparison) override {
    Json json = HeadOf(comparison);
    if (comparison.diff) {
      json["tensors"] = Json::array();
      for (const TensorDiff& tensor : comparison.diff->tensors)
        json["tensors"].push_back(TensorOf(tensor));
      AddTail(json, *comparison.diff);
    }
    if (!comparison.of_several) return Dump(json, true);
    json.erase("schema");
    inputs_.push_back(std::move(json));
    return {};
  }
  std::string Add(const ReplicaComparison& all) override {
    Json json = WithSchema("diff");
    json["comparisons"] = std::move(inputs_);
    json["replicas"] = ToJson(all);
    return Dump(json, true);
  }
  std::string Add(const VerifiedPair& verified) override { return Dump(ToJson(verified), true); }
  std::string Add(const FollowedRun& run) override {
    Json json = HeadOf(run);
    json["findings"] = Json::array();
    for (const Finding& finding : run.trend.findings)
      json["findings"].push_back(FindingOf(run, finding));
    json["known"] = Json::array();
    for (const KnownFinding& known : run.known) json["known"].push_back(FindingOf(run, known));
    inputs_.push_back(std::move(json));
    return {};
  }
  std::string End(const TrendSummary& summary) override {
    Json json = WithSchema("trend");
    json["runs"] = std::move(inputs_);
    json["summary"] = ToJson(summary);
    return Dump(json, true);
  }
  std::string Add(const RuleList& rules) override {
    Json json = WithSchema("explain");
    json["rules"] = Json::array();
    for (const Rule* rule : rules.rules) json["rules"].push_back(ToJson(*rule));
    return Dump(json, true);
  }

 private:
  Json inputs_ = Json::array();
};

}  // namespace

std::unique_ptr<Form> MakeJsonForm(const FormOptions&) { return std::make_unique<JsonForm>(); }

}  // namespace ckpt::cli
