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

// As a value that stands `depth` objects and arrays deep.
std::string At(std::size_t depth, const Json& json) {
  std::string text = json.dump(2), out;
  const std::string break_and_space = '\n' + std::string(2 * depth, ' ');
  for (const char c : text) c == '\n' ? out += break_and_space : out += c;
  return out;
}

// Of an object with keys, to which more will be added.
std::string WithoutEnd(const Json& object, std::size_t depth) {
  std::string text = At(depth, object);
  text.resize(text.rfind('\n'));
  return text;
}

// The tensors are made and printed one by one, in front of the batch norms.
Status GiveInspected(const InspectedInput& inspected, const TextTaker& take) {
  Json head = HeadOf(inspected);
  const Json layers = std::move(head["batch_norm"]);
  head.erase("batch_norm");
  std::string text = "\n    " + WithoutEnd(head, 2) + ",\n      \"tensors\": [";
  const std::size_t count = inspected.input.opened() ? inspected.tensors.size() : 0;
  for (std::size_t i = 0; i < count; ++i) {
    text += (i == 0 ? "\n        " : ",\n        ") + At(4, TensorOf(inspected, i));
    if (text.size() < kTextAtOnce) continue;
    CKPT_RETURN_IF_ERROR(take(text));
    text.clear();
  }
  text += count == 0 ? "]" : "\n      ]";
  return take(text + ",\n      \"batch_norm\": " + At(3, layers) + "\n    }");
}

class JsonForm : public Form {
 public:
  Status AddInTexts(const InspectedInput& inspected, const TextTaker& take) override {
    CKPT_RETURN_IF_ERROR(
        take(any_given_ ? "," : WithoutEnd(WithSchema("inspect"), 0) + ",\n  \"inputs\": ["));
    any_given_ = true;
    return GiveInspected(inspected, take);
  }
  std::string End(const InspectSummary& summary) override {
    Json json = WithSchema("inspect");
    if (!any_given_) json["inputs"] = Json::array();
    if (!summary.not_read.empty()) json["not_read"] = JsonNotRead(summary.not_read);
    if (!any_given_) return Dump(json, true);
    json.erase("schema");  // stands at the beginning
    const std::string more = json.empty() ? "" : "," + Dump(json, true).substr(1);
    return "\n  ]" + (more.empty() ? "\n}\n" : more);
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
  bool any_given_ = false;  // inputs of inspect, each printed when it came
};

}  // namespace

std::unique_ptr<Form> MakeJsonForm(const FormOptions&) { return std::make_unique<JsonForm>(); }

}  // namespace ckpt::cli
