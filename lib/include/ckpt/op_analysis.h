// What the operation graph of a file holds, found once for roles, audit and whoever asks again.
#pragma once

#include <memory>

#include "ckpt/op_batch_norm.h"
#include "ckpt/op_bodies.h"
#include "ckpt/op_serving.h"

namespace ckpt {

struct OpAnalysis {
  // REQUIRES: not null.
  explicit OpAnalysis(std::shared_ptr<const OpGraph> of)
      : graph(std::move(of)),
        bodies(*graph),
        variables(*graph),
        found(FindBatchNorms(bodies)),
        serving(TraceServing(bodies, found)),
        serves(IsServingArtefact(bodies)) {}
  OpAnalysis(const OpAnalysis&) = delete;  // its parts refer to one another
  OpAnalysis& operator=(const OpAnalysis&) = delete;

  const std::shared_ptr<const OpGraph> graph;
  const OpBodies bodies;
  const OpVariables variables;
  const OpBatchNorms found;
  const ServingPath serving;
  const bool serves;  // meant to serve as it is
};

}  // namespace ckpt
