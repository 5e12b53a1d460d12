// What the data of a page is made of: short, since a page is bounded, and for people. Names are
// escaped for display and cut where they are very long.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/report/json_values.h"
#include "cli/report/report.h"

namespace ckpt::cli::page {

Json Text(std::string_view text);
// Four significant digits; null for what is absent, "nan", "inf", "-inf" for what is not finite.
Json Number(double value);
Json Number(const std::optional<SourcedNumber>& number);  // {"value", "source", "detail"} or null

// {"mean": {"n", "bad", "q": [least, 5 %, median, 95 %, most], "mean", "sd", "from", "to", "h"}}:
// those that there are.
Json ToJson(const LayerProfile& profile);
// The batch norm's place is `i`; `profiles` may have none of it.
Json LayerToJson(const InputReport& input, std::size_t i,
                 const std::vector<LayerProfile>& profiles);

// Path, format, what its names led to, the error.
Json HeadToJson(const InputReport& input);
Json ToJson(const std::vector<NotRead>& not_read, std::size_t most);
Json ToJson(const std::vector<DataRange>& ranges);

// The first of so many, in order; those of `first` before others. Ascending.
std::vector<std::size_t> Chosen(std::size_t count, const std::vector<std::size_t>& first,
                                std::size_t most);

// The JSON as it may stand between the tags of a script: ASCII, no '<', '>' or '&'.
std::string InScript(const Json& json);
// Text as it may stand in HTML.
std::string InHtml(std::string_view text);

// What a piece comes to, each list cut to `most`; what was cut is counted.
Json Piece(const InspectedInput& inspected, std::size_t most);
Json Piece(const AuditedInput& audited, std::size_t most);
Json Piece(const Comparison& comparison, std::size_t most);
Json Piece(const VerifiedPair& verified, std::size_t most);
Json Piece(const Conversion& conversion, std::size_t most);
Json Piece(const FollowedRun& run, std::size_t most);
Json RowOf(const FollowedRun& run);  // in a list of runs

Json FindingToJson(const Finding& finding);

Json ToJson(const Verification& verification, std::size_t most);

}  // namespace ckpt::cli::page
