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

// What the user says of a tensor of the input that its name and the file do not.
struct TensorHint {
  std::optional<KernelLayout> layout = {};              // in which it is stored
  std::optional<std::int64_t> multiplier = {};          // of a depthwise kernel in layout OIHW
  std::optional<std::int64_t> flattened_channels = {};  // a dense kernel: of the flatten before it
};

struct ConvertOptions {
  FoldOptions fold;
  bool keep_training_state = false;
  bool keep_graph_constants = true;                // false: the output has no graph that reads them
  bool use_ema = false;                            // --ema: shadow values under the raw names
  std::map<std::string, std::string> rename = {};  // old name -> new name
  std::optional<Dtype> cast = {};                  // --cast: floating tensors only
  bool allow_findings = false;
  // Batch norms that a served file runs in training mode use their moving statistics in the output.
  bool close_training_mode = false;
  bool output_holds_network = false;  // not only tensors: what the output computes must not change
  // --names: write the names and kernel layouts of this framework. Absent: those of the input.
  std::optional<Framework> names = {};
  std::optional<Framework> input_names = {};     // --input-names: whose names the input follows
  std::map<std::string, TensorHint> hints = {};  // by name in the input
};

// What a batch norm of the output needs beside its tensors.
struct WrittenBatchNorm {
  std::string scope;  // in the output
  std::optional<SourcedNumber> epsilon = {};
  std::optional<SourcedNumber> momentum = {};  // the decay: 1 - PyTorch's momentum
};

struct Dropped {
  std::string name, reason;
  std::string of = {};     // the variable whose state it is; empty: of none
  bool of_folded = false;  // that variable is not in the output: it was folded
};
// The whole reason: "optimizer state of \"gamma\", which was folded".
std::string InWords(const Dropped& dropped);

// A batch norm that computes something else in the output than in the input, as was asked for.
struct Changed {
  std::string batch_norm;  // scope
  std::string reason;
  Remedy remedy = Remedy::kNone;  // what could let it be folded, where it was not
};

struct ConversionPlan {
  std::vector<FoldedTensor> tensors;  // what the output holds, sorted by name
  std::vector<Folded> folded;
  std::vector<Kept> kept;        // as they are; none of `changed`
  std::vector<Changed> changed;  // those that are folded stand in `folded`, too
  std::vector<Dropped> dropped;
  std::map<std::string, std::string> renamed;
  std::map<std::string, std::string> reordered = {};  // name in the output -> "HWIO -> OIHW"
  // The framework whose names and layouts the output follows, where they were converted.
  std::optional<Framework> names = {};
  std::vector<WrittenBatchNorm> batch_norms = {};
  // For the output's metadata, where its format has any: epsilon and momentum of `batch_norms`.
  std::map<std::string, std::string> metadata = {};
  GraphEdits edits;
  std::vector<std::string> notes;
  Remedy proof = Remedy::kNone;  // as in FoldPlan

  // A batch norm was in training mode in the input, for `reason`, and uses its moving statistics
  // now: from `kept`, if it stands there, to `changed`. `fold`: folds were asked for.
  void AddChanged(const std::string& batch_norm, const std::string& reason, bool fold);
};

// kUnfit, with the layers named, where a finding that stops conversions stands and
// `allow_findings` is false; with it such a batch norm is kept as it is, never folded.
Result<ConversionPlan> PlanConversion(const Checkpoint& checkpoint, const Analysis& analysis,
                                      const AuditResult& audit, const ConvertOptions& options);

// The bytes of tensor `index` of the plan, computed on the way in bounded chunks. `checkpoint`
// and `plan` must outlive the stream. Reading fails with kUnfit where a weight is not finite,
// unless the plan was made with `allow_findings`.
Result<std::unique_ptr<TensorStream>> OpenPlanned(const Checkpoint& checkpoint,
                                                  const ConversionPlan& plan, std::size_t index);
// Reads all that the plan would write and fails where writing would: damaged data, a weight that is
// not finite.
Status ReadPlanned(const Checkpoint& checkpoint, const ConversionPlan& plan);

}  // namespace ckpt
