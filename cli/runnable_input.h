// An input whose network can be run.
#pragma once

#include <memory>
#include <string>

#include "ckpt/network/network.h"
#include "ckpt/serving.h"
#include "ckpt/verify.h"
#include "cli/options.h"

namespace ckpt::cli {

struct RunnableInput {
  std::unique_ptr<Checkpoint> checkpoint = {};
  // The serving graph of a graph of operations: its constants are the network's.
  std::unique_ptr<ServingModel> serving = {};
  // With --graph: the file that the network is read from, its constants bound to `checkpoint`.
  std::unique_ptr<Checkpoint> graph = {};
  network::Network network = {};

  const Checkpoint& weights() const { return serving ? *serving : *checkpoint; }
  Runnable view() const { return {&network, &weights()}; }
};

// `graph` names a file whose network the tensors of `path` belong to; empty: its own. kUnsupported
// where there is no network, kUnfit where a constant of the network is no tensor of the file.
Result<RunnableInput> OpenRunnable(const std::string& path, const CommonOptions& options,
                                   const std::string& graph = {});

}  // namespace ckpt::cli
