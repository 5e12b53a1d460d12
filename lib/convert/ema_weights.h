// A checkpoint whose weights are replaced by their exponential moving averages (--ema).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ckpt/batch_norm.h"

namespace ckpt {

// Which shadow stands for which variable. Fails with kUnfit where the file has no shadow that
// belongs to a variable, where two claim one, or where one differs from its variable in shape or
// type. Appends to `notes` how many weights have none.
Result<std::map<TensorId, TensorId>> FindShadows(const Manifest& manifest, const Analysis& analysis,
                                                 std::vector<std::string>& notes);

// The same manifest; a variable that has a shadow yields the bytes of the shadow.
class EmaWeights : public Checkpoint {
 public:
  // REQUIRES: `checkpoint` outlives the object.
  EmaWeights(const Checkpoint& checkpoint, std::map<TensorId, TensorId> shadows)
      : checkpoint_(checkpoint), shadows_(std::move(shadows)) {}

  TensorId SourceOf(TensorId id) const {
    const auto shadow = shadows_.find(id);
    return shadow == shadows_.end() ? id : shadow->second;
  }

  std::string_view format() const noexcept override { return checkpoint_.format(); }
  const Manifest& manifest() const noexcept override { return checkpoint_.manifest(); }
  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override {
    return checkpoint_.Open(SourceOf(id));
  }

 private:
  const Checkpoint& checkpoint_;
  std::map<TensorId, TensorId> shadows_;
};

}  // namespace ckpt
