// What training leaves in a checkpoint beside the model: optimizer slots, shadows, the step.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ckpt/batch_norm.h"

namespace ckpt {

// Finds tensors by name. Refers to the manifest, which must outlive it.
class NameIndex {
 public:
  explicit NameIndex(const Manifest& manifest);
  std::optional<TensorId> Find(std::string_view name) const;
  // The same, and where there is none, one of this shape by the name without leading components:
  // slots that were created inside another scope repeat the variable's full name there
  // ("train/conv1/kernel/Adam").
  std::optional<TensorId> FindVariable(std::string_view name, const Shape& shape) const;

 private:
  const Manifest& manifest_;
  std::unordered_map<std::string_view, TensorId> ids_;
};

// The role of one tensor if it belongs to the training and not to the model; the order of evidence
// is what the file records, then names. Empty otherwise.
std::optional<TensorRole> TrainingRole(const Manifest& manifest, const NameIndex& names,
                                       TensorId id);

// Which shapes of weights the optimizer keeps something for, where its variables are not tied to
// weights: files that only number them. Scalars are left out, which optimizers have for themselves.
class OptimizerShapes {
 public:
  OptimizerShapes(const Manifest& manifest, const std::vector<TensorRole>& roles);

  // Every weight of the file has as many variables of its shape as every other: all are trained.
  bool CoverAll() const noexcept { return cover_all_; }
  // There is optimizer state, and nothing of this shape in it.
  bool Lack(const Shape& shape) const;

 private:
  struct Count {
    std::size_t weights = 0, variables = 0;
  };
  std::map<std::string, Count> counts_;  // by ToString(shape)
  bool any_ = false, cover_all_ = false;
};

// The one variable that is clearly the step among those of role kStep.
std::optional<TensorId> ChooseStep(const Manifest& manifest, const std::vector<TensorRole>& roles);

// An integer scalar that has no name of its own ("Variable", "Variable_3"), in a checkpoint that
// has slots and no other integer scalar: a counter made by tf.Variable(0).
std::optional<TensorId> FindUnnamedStep(const Manifest& manifest,
                                        const std::vector<TensorRole>& roles);

}  // namespace ckpt
