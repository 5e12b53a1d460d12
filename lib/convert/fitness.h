// Whether a checkpoint may be converted at all, by what its audit found.
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "ckpt/audit.h"

namespace ckpt {

// Fails with the audit's own error where data is damaged, with kUnfit where data is absent or where
// a finding stops conversions (unless `allow_findings`). Returns the batch norms, by index into the
// analysis, that must stay as they are, with the finding.
Result<std::map<std::size_t, std::string>> CheckFitness(const Manifest& manifest,
                                                        const Analysis& analysis,
                                                        const AuditResult& audit,
                                                        bool allow_findings);

}  // namespace ckpt
