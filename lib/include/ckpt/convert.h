// Plans a serving-ready file: which tensors it holds and where their values come from.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/audit.h"
#include "ckpt/fold.h"

namespace ckpt {

struct ConvertOptions {
  FoldOptions fold;
  bool keep_training_state = false;
  bool use_ema = false;                            // --ema: shadow values under the raw names
  std::map<std::string, std::string> rename = {};  // old name -> new name
  std::optional<Dtype> cast = {};                  // --cast: floating tensors only
  bool allow_findings = false;
};

struct Dropped {
  std::string name, reason;
};

struct ConversionPlan {
  std::vector<FoldedTensor> tensors;  // what the output holds, sorted by name
  std::vector<Folded> folded;
  std::vector<Kept> kept;
  std::vector<Dropped> dropped;
  std::map<std::string, std::string> renamed;
  GraphEdits edits;
  std::vector<std::string> notes;
};

// kUnfit, with the layers named, where a finding that stops conversions stands and
// `allow_findings` is false; with it such a batch norm is kept as it is, never folded.
Result<ConversionPlan> PlanConversion(const Checkpoint& checkpoint, const Analysis& analysis,
                                      const AuditResult& audit, const ConvertOptions& options);

// The bytes of tensor `index` of the plan, computed on the way in bounded chunks. `checkpoint`
// and `plan` must outlive the stream.
Result<std::unique_ptr<TensorStream>> OpenPlanned(const Checkpoint& checkpoint,
                                                  const ConversionPlan& plan, std::size_t index);

}  // namespace ckpt
