// Whether the updates of moving statistics run with the training step, by the graph alone.
//
// An operation runs when something that depends on it, by data or by a control edge, is fetched. So
// an update runs with a train operation exactly if it is among its ancestors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "ckpt/op_batch_norm.h"

namespace ckpt {

// A set of operations over all bodies.
class OpSet {
 public:
  explicit OpSet(const OpBodies& bodies);
  bool Has(OpRef at) const { return bits_[at.body][at.op]; }
  // False if it was there.
  bool Add(OpRef at);

 private:
  std::vector<std::vector<bool>> bits_;
};

// Everything that runs when `roots` do: ancestors by data and control edges, and all of the
// functions that any of these calls. Linear in the graph's size.
OpSet RunningWith(const OpBodies& bodies, const std::vector<OpRef>& roots);

enum class UpdateVerdict : std::uint8_t {
  kNotAssessable,  // no operation of an optimizer: an inference graph
  kNoBatchNorm,    // nothing normalises with statistics of the batch, and nothing is updated
  kAllRun,
  kOnlyIfFetched,  // all run only if `fetch`, which depends on the train operation, is fetched
  kPartlyRun,
  kSomeCallsRun,  // all variables are updated, some not by every call of their layer (a tower)
  kNoneRuns,
  kNoUpdateOp,  // a batch norm trains and no operation updates any statistic
};

struct UpdatedVariable {
  std::string variable;
  bool variance = false;
  bool runs = false;              // with a train operation
  bool runs_with_fetch = false;   // only with `fetch`
  std::size_t updates = 0;        // operations that write it: several with towers
  std::size_t updates_run = 0;    // of these, with a train operation
  std::string example = {};       // the first of them that does not run
  std::string runs_example = {};  // the first of them that does
  bool RunsPartly() const { return runs && updates_run < updates; }
};

struct UpdateReach {
  UpdateVerdict verdict = UpdateVerdict::kNotAssessable;
  std::vector<std::string> roots;  // names of the train operations
  bool roots_recorded = false;     // from the collection train_op, not by their form
  std::string fetch = {};
  std::vector<UpdatedVariable> variables = {};  // in order of their first update
  // With several train operations: how many of `variables` run with each.
  std::vector<std::size_t> run_with_root = {};
  // Batch norms in OpBatchNorms that train with a root and that nothing updates.
  std::vector<std::size_t> without_update = {};
};

UpdateReach TraceUpdates(const OpBodies& bodies, const OpBatchNorms& found);

}  // namespace ckpt
