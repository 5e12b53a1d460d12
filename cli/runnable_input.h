// An input whose network can be run.
#pragma once

#include <memory>
#include <string>

#include "ckpt/network/network.h"
#include "ckpt/verify.h"
#include "cli/options.h"

namespace ckpt::cli {

struct RunnableInput {
  std::unique_ptr<Checkpoint> checkpoint = {};
  network::Network network = {};  // its constants are tensors of `checkpoint`

  Runnable view() const { return {&network, checkpoint.get()}; }
};

// The network of `checkpoint`, or that of the file `graph` over its tensors; `path` is for
// messages.
Result<network::Network> RunnableNetwork(const Checkpoint& checkpoint, const std::string& path,
                                         const CommonOptions& options, const std::string& graph);

// `graph` names a file whose network an input without one belongs to; empty: there is none.
// kUnsupported where there is no network, kUnfit where a constant of the network is no tensor of
// the input, or a weight of the input none of the network's.
Result<RunnableInput> OpenRunnable(const std::string& path, const CommonOptions& options,
                                   const std::string& graph = {});

}  // namespace ckpt::cli
