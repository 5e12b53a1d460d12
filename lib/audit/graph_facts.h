// What the operation graph of a file proves, found once for all rules.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ckpt/batch_norm.h"
#include "ckpt/op_analysis.h"
#include "ckpt/op_saving.h"
#include "ckpt/op_serving.h"
#include "ckpt/op_training.h"

namespace ckpt::audit {

struct GraphFacts {
  GraphFacts(const Manifest& manifest, const Analysis& analysis);

  const std::shared_ptr<const OpAnalysis> ops;
  const OpBodies& bodies;
  const OpVariables& variables;
  const OpBatchNorms& found;
  const UpdateReach reach;
  const std::vector<OpSaverContents> savers, restores;
  const ServingPath& serving;
  const bool serves;  // meant to serve as it is
  // Layers of the analysis by the batch norms of the graph; absent where no tensor of it is there.
  std::vector<std::optional<std::size_t>> layer_of = {};
  // Moving statistics whose updates no train operation runs, nor an operation after it; those of
  // batch norms that train without any update among them. And their tensors, where they have one.
  std::vector<std::string> left_out = {};
  std::set<TensorId> left_out_tensors = {};
};

// Null where the checkpoint has no operation graph.
std::unique_ptr<const GraphFacts> FactsOf(const Manifest& manifest, const Analysis& analysis);

// The tensor that holds a variable of the graph, by its name in the graph.
std::optional<TensorId> TensorOfVariable(const Manifest& manifest, const GraphFacts& facts,
                                         const std::string& variable);

// Variables of batch norms that no saver of the graph saves, by the saver that lacks the fewest.
// Null where there is no saver, one whose contents are not known, or one that saves all.
struct SaverGap {
  const OpSaverContents* saver = nullptr;
  std::vector<std::string> missing = {};
};
SaverGap GapOfSavers(const GraphFacts& facts);
// "by the graph (MetaGraphDef model.ckpt.meta), "
std::string ByGraph(const GraphFacts& facts);
// REQUIRES: a saver. By the graph, it does not save these variables.
std::string ToldGap(const GraphFacts& facts, const SaverGap& gap);

// The batch norms of layer `layer` that run in training mode on the path of a serving artefact;
// empty where the file is none.
std::vector<std::size_t> TrainingAtServing(const GraphFacts& facts, std::size_t layer);

}  // namespace ckpt::audit
