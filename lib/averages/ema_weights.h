// A checkpoint whose weights are replaced by their exponential moving averages (--ema).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ckpt/batch_norm.h"
#include "ckpt/forwarding_checkpoint.h"

namespace ckpt {

// Which shadow stands for which variable. Empty where the model's own weights are the averages.
// Fails with kUnfit where the file has no shadow that belongs to a variable, where two claim one,
// or where one differs from its variable in shape.
Result<std::map<TensorId, TensorId>> FindShadows(const Manifest& manifest,
                                                 const Analysis& analysis);

// What a user of the averages has to know: which weights and statistics have none and stay those of
// the raw model, and whether the two may have changed places.
std::vector<std::string> NotesOnShadows(const Manifest& manifest, const Analysis& analysis,
                                        const std::map<TensorId, TensorId>& shadows);

// The batch norms that have a weight with an average and a moving statistic without.
std::vector<std::size_t> LayersWithRawStatistics(const Analysis& analysis,
                                                 const std::map<TensorId, TensorId>& shadows);

// The same names; a variable that has a shadow has the type and yields the bytes of the shadow.
class EmaWeights : public RewrittenCheckpoint {
 public:
  // REQUIRES: `checkpoint` outlives the object.
  EmaWeights(const Checkpoint& checkpoint, std::map<TensorId, TensorId> shadows);

  TensorId SourceOf(TensorId id) const {
    const auto shadow = shadows_.find(id);
    return shadow == shadows_.end() ? id : shadow->second;
  }

  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override {
    return inner().Open(SourceOf(id));
  }

 private:
  std::map<TensorId, TensorId> shadows_;
};

}  // namespace ckpt
