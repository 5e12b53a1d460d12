// Epsilon and momentum that a framework uses where a program names none.
#pragma once

#include <optional>
#include <string>

#include "ckpt/batch_norm.h"
#include "roles/naming_conventions.h"

namespace ckpt {

struct Hyperparameters {
  double epsilon;
  std::optional<double> decay;  // weight of the old value in an update
  std::string detail;           // whose defaults: "default of Keras 2.1.5"
};

// The defaults of the framework that wrote a batch norm named by `convention`, where the names or
// the file's record leave no doubt which framework that is. Names that programs also write by hand
// ("init_bn/moving_mean") do.
std::optional<Hyperparameters> FrameworkDefaults(const Manifest& manifest,
                                                 const BatchNormConvention& convention,
                                                 const BatchNorm& batch_norm);

// What `running_std` holds: a standard deviation up to Keras 1.0.5, a variance under that name from
// 1.0.6 on and where no version is recorded.
SpreadKind KerasOneSpread(const Manifest& manifest);

}  // namespace ckpt
