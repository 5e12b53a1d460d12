// Which weight an optimizer's variable belongs to, by the names that the optimizers give:
//   TF-Keras    Adam/m/conv/kernel:0, SGD/m/conv/kernel:0
//   before 2.11 training/Adam/conv/kernel/m:0, SGD/conv/kernel/momentum:0
//   Keras 3     adam/conv_kernel_momentum
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "ckpt/tensor.h"

namespace ckpt::formats::keras {

struct OptimizerSlot {
  TensorId variable;
  std::string name;  // "m", "momentum"
};

class SlotFinder {
 public:
  // `stored` is the weight's name in the file, as optimizers saw it.
  void AddVariable(std::string_view stored, TensorId id);
  std::optional<OptimizerSlot> Find(std::string_view stored) const;

 private:
  // Under their path and, for Keras 3, under the path with "_" for "/"; empty where two share it.
  std::map<std::string, std::optional<TensorId>, std::less<>> variables_;
  std::optional<TensorId> VariableAt(std::string_view path) const;
};

}  // namespace ckpt::formats::keras
