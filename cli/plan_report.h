// A plan of a conversion as reports and the record show it.
#pragma once

#include <string>

#include "ckpt/convert.h"
#include "cli/report_json.h"
#include "cli/report_sink.h"

namespace ckpt::cli {

// Adds the lists of the plan to a report or record.
void AddPlan(Json& json, const ConversionPlan& plan);
// Epsilon and momentum (the decay) of each batch norm of the output, with their sources.
Json WrittenBatchNorms(const ConversionPlan& plan);
std::string PlanToText(const ConversionPlan& plan, const Style& style);
// What the written graph takes and yields: "signature" is the first, "signatures" are all; which of
// the source's are left out, and the tags of its other graphs. REQUIRES: it has a signature.
void AddSignatures(Json& json, const OpGraph& source, const OpGraph& written,
                   const std::vector<Dropped>& dropped);
std::string SignaturesToText(const OpGraph& written, const std::vector<Dropped>& dropped,
                             const Style& style);

}  // namespace ckpt::cli
