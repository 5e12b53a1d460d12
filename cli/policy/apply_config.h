// Applies ckpt.toml to what an audit found.
#pragma once

#include "cli/policy/audit_config.h"
#include "cli/report/report.h"

namespace ckpt::cli {

// Leaves out what the settings for this checkpoint hide, gives the others their severity, and
// counts both in `audited`. With `rules_were_chosen` the command line said which rules apply, and
// the settings hide none.
void ApplyConfig(const AuditConfig& config, bool rules_were_chosen, AuditedInput& audited);

}  // namespace ckpt::cli
