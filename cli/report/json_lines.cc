// JSON Lines: an object a line, each with its type, as soon as it is known.
#include "cli/report/form.h"
#include "cli/report/json_pieces.h"

namespace ckpt::cli {

Json Line(std::string_view command, std::string_view type, const Json& body) {
  Json line = WithSchema(command);
  line["type"] = type;
  line.update(body);
  return line;
}

namespace {

class JsonLinesForm : public Form {
 public:
  Status AddInTexts(const InspectedInput& inspected, const TextTaker& take) override {
    const InputReport& input = inspected.input;
    std::string out = Dump(Line("inspect", "input", HeadOf(inspected)), false);
    const std::size_t count = input.opened() ? inspected.tensors.size() : 0;
    for (std::size_t i = 0; i < count; ++i) {
      Json tensor = {{"path", JsonText(input.path)}};
      tensor.update(TensorOf(inspected, i));
      out += Dump(Line("inspect", "tensor", tensor), false);
      if (out.size() < kTextAtOnce) continue;
      CKPT_RETURN_IF_ERROR(take(out));
      out.clear();
    }
    return take(out);
  }
  std::string End(const InspectSummary& summary) override {
    Json json = {{"inputs", summary.inputs}, {"failed", summary.failed}};
    if (!summary.not_read.empty()) json["not_read"] = JsonNotRead(summary.not_read);
    return Dump(Line("inspect", "summary", json), false);
  }
  std::string Add(const AuditedInput& audited) override {
    std::string out = Dump(Line("audit", "input", HeadOf(audited)), false);
    for (const Finding& finding : audited.findings) {
      Json found = {{"path", JsonText(audited.input.path)}};
      found.update(FindingOf(audited, finding));
      out += Dump(Line("audit", "finding", found), false);
    }
    for (const KnownFinding& known : audited.known) {
      Json found = {{"path", JsonText(audited.input.path)}};
      found.update(FindingOf(audited, known));
      out += Dump(Line("audit", "known", found), false);
    }
    return out;
  }
  std::string End(const AuditSummary& summary) override {
    return Dump(
        Line("audit", "summary", {{"inputs", summary.inputs}, {"summary", ToJson(summary)}}),
        false);
  }
  std::string Add(const Conversion& conversion) override { return Dump(ToJson(conversion), false); }
  std::string Add(const Comparison& comparison) override {
    Json head = HeadOf(comparison);
    if (!comparison.diff) return Dump(head, false);
    std::string out;
    for (const TensorDiff& tensor : comparison.diff->tensors)
      out += Dump(Line("diff", "tensor", TensorOf(tensor)), false);
    head["type"] = "summary";
    AddTail(head, *comparison.diff);
    return out + Dump(head, false);
  }
  std::string Add(const ReplicaComparison& all) override {
    return Dump(Line("diff", "replicas", ToJson(all)), false);
  }
  std::string Add(const VerifiedPair& verified) override {
    Json json = ToJson(verified);
    json["type"] = "summary";
    return Dump(json, false);
  }
  std::string Add(const FollowedRun& run) override {
    std::string out = Dump(Line("trend", "run", HeadOf(run)), false);
    for (const Finding& finding : run.trend.findings) {
      Json found = {{"path", JsonText(run.path)}};
      found.update(FindingOf(run, finding));
      out += Dump(Line("trend", "finding", found), false);
    }
    for (const KnownFinding& known : run.known) {
      Json found = {{"path", JsonText(run.path)}};
      found.update(FindingOf(run, known));
      out += Dump(Line("trend", "known", found), false);
    }
    return out;
  }
  std::string End(const TrendSummary& summary) override {
    return Dump(Line("trend", "summary", {{"summary", ToJson(summary)}}), false);
  }
  std::string Add(const RuleList& rules) override {
    std::string out;
    for (const Rule* rule : rules.rules) out += Dump(Line("explain", "rule", ToJson(*rule)), false);
    return out;
  }
};

}  // namespace

std::unique_ptr<Form> MakeJsonLinesForm(const FormOptions&) {
  return std::make_unique<JsonLinesForm>();
}

}  // namespace ckpt::cli
