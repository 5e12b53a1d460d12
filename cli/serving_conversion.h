// Plans a conversion whose output is a graph that serves.
#pragma once

#include <memory>

#include "ckpt/audit.h"
#include "ckpt/formats/format.h"
#include "ckpt/serving.h"

namespace ckpt::cli {

struct ServingConversion {
  std::unique_ptr<ServingModel> model;  // null where the output holds no operations
  ConversionPlan plan;                  // of `model`
  std::shared_ptr<const OpGraph> graph;
};

// `audit` is that of the source: what it found of layers that the serving graph has stops the
// conversion as what is found in the graph itself does. kInvalidArgument for options that have no
// meaning for graphs.
Result<ServingConversion> PlanServing(const Checkpoint& source, const AuditResult& audit,
                                      const AnalysisOptions& analysis,
                                      const ConvertOptions& convert, const ServingOptions& options,
                                      const formats::Format& target);

}  // namespace ckpt::cli
