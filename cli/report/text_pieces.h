// The pieces of a report as text for people, one source a command. The text may change at any time.
#pragma once

#include <string>

#include "cli/report/form.h"
#include "cli/report/report.h"

namespace ckpt::cli {

std::string ToText(const InspectedInput& inspected, const FormOptions& options);
std::string ToText(const InspectSummary& summary, const FormOptions& options);
std::string ToText(const AuditedInput& audited, const FormOptions& options);
// Is one of them listed, and not only counted?
bool HasListed(const std::vector<Finding>& findings, const FormOptions& options);
// Of those that are listed, as many as there is room for.
std::string ToText(const std::vector<Finding>& findings, const FormOptions& options);
std::string ToText(const SeverityCounts& counts);  // "1 error, 0 warnings, 2 notes"
std::string ToText(const AuditSummary& summary, const FormOptions& options);
// What was left alone in folders, each on a line.
std::string ToText(const std::vector<NotRead>& not_read, const FormOptions& options);
// "30 files: 24 clean, 2 with warnings, 3 with errors, 1 unreadable"
std::string InWords(const AuditSummary& summary);
std::string ToText(const Conversion& conversion, const FormOptions& options);
std::string ToText(const Comparison& comparison, const FormOptions& options);
std::string ToText(const ReplicaComparison& all, const FormOptions& options);
std::string ToText(const DataRange& range);
std::string ToText(const VerifiedPair& verified, const Style& style);
std::string KnownToText(const std::vector<KnownFinding>& known);
std::string ToText(const FollowedRun& run, const FormOptions& options);
std::string ToText(const TrendSummary& summary, const FormOptions& options);
std::string ToText(const RuleList& rules, const Style& style);

// "  and 12 findings more: -v lists all"; empty where all are listed.
std::string More(std::size_t listed, std::size_t all, const char* one);
// The path of an input, in bold.
std::string Heading(const InputReport& input, const Style& style);
// Lines that every input has behind its first: what its name resolved to, its notes.
std::string Preamble(const InputReport& input);
std::string Painted(std::string_view text, std::string_view color, const Style& style);

}  // namespace ckpt::cli
