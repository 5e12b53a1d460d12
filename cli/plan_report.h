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
// What the written graph takes and yields, by its first signature. REQUIRES: it has one.
void AddSignature(Json& json, const OpGraph& graph);
std::string SignatureToText(const OpGraph& graph);

}  // namespace ckpt::cli
