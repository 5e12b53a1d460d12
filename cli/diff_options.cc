#include "cli/diff_options.h"

namespace ckpt::cli {

void AddDiffOptions(Arguments& app, DiffOptions& diff) {
  app.add_option("--rtol", diff.rtol, "Relative tolerance (default 0)")
      ->check(NotNegative())
      ->type_name("X");
  app.add_option("--atol", diff.atol, "Absolute tolerance (default 0)")
      ->check(NotNegative())
      ->type_name("X");
  app.add_option("--only", diff.only, "Compare only tensors that match GLOB (may be repeated)")
      ->allow_extra_args(false)
      ->type_name("GLOB");
  app.add_option("--ignore", diff.ignore, "Leave out tensors that match GLOB (may be repeated)")
      ->allow_extra_args(false)
      ->type_name("GLOB");
  app.add_flag("--ignore-training-state", diff.ignore_training_state,
               "Leave out optimizer slots, shadows, steps and counters");
  app.add_flag("--bytes", diff.bytes, "Read everything: never trust stored checksums");
}

}  // namespace ckpt::cli
