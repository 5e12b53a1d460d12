// The pieces of a report as JSON, one source a command; docs/json.md describes the keys.
#pragma once

#include "cli/report/json_values.h"
#include "cli/report/report.h"

namespace ckpt::cli {

// Of a long report, bytes that are printed together.
inline constexpr std::size_t kTextAtOnce = 1 << 18;

// {"schema": "ckpt.audit/1"}: how every object begins.
Json WithSchema(std::string_view command);
// The same for a line of JSON Lines, which has a type too.
Json Line(std::string_view command, std::string_view type, const Json& body);

Json HeadOf(const InspectedInput& inspected);  // without the tensors
// Of `inspected.tensors[place]`.
Json TensorOf(const InspectedInput& inspected, std::size_t place);

Json HeadOf(const AuditedInput& audited, bool with_layers = true);  // without the findings
Json FindingOf(const AuditedInput& audited, const Finding& finding);
Json FindingOf(const AuditedInput& audited, const KnownFinding& known);
Json ToJson(const SeverityCounts& counts);
Json ToJson(const DataRange& range);
Json ToJson(const AuditSummary& summary);
// Its keys on ckpt.toml and on baselines.
void AddPolicy(Json& json, const AuditSummary& summary);
Json JsonNotRead(const std::vector<NotRead>& not_read);

Json ToJson(const Conversion& conversion);
// What the report and the record of a conversion have in common: all but the outcome.
void AddConversion(Json& json, const Conversion& conversion);

// The keys of a comparison before its tensors, and those behind them.
Json HeadOf(const Comparison& comparison);
void AddTail(Json& json, const CheckpointDiff& diff);
Json TensorOf(const TensorDiff& diff);
Json ToJson(const ReplicaComparison& all);

Json ToJson(const VerifiedPair& verified);
void AddVerification(Json& json, const Verification& verification);  // its keys

Json HeadOf(const FollowedRun& run);  // without the findings
Json FindingOf(const FollowedRun& run, const Finding& finding);
Json FindingOf(const FollowedRun& run, const KnownFinding& known);
Json ToJson(const TrendSummary& summary);

Json ToJson(const Rule& rule);

}  // namespace ckpt::cli
