// Which batch norms `ckpt calibrate` computes statistics of.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ckpt/calibrate.h"

namespace ckpt::cli {

struct LayerChoice {
  bool all = false;                           // but for frozen ones
  std::vector<std::string> scopes = {};       // globs
  std::optional<VarianceRule> variance = {};  // absent: as the framework of the file stores it
};

// Those that are asked for, else those that the audit finds never updated, and in any case those
// that own one of `added`, which the file lacks. kUnfit, naming the layer, for one that cannot be
// calibrated, and where there is none.
Result<std::vector<NormPlace>> ChooseLayers(const network::Network& network,
                                            const Checkpoint& checkpoint, const Analysis& analysis,
                                            const std::vector<TensorId>& added,
                                            const LayerChoice& choice);

}  // namespace ckpt::cli
