// What a finding is called from one run to the next: in SARIF, GitLab's report, JSON and baselines.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ckpt/audit.h"

namespace ckpt::cli {

// The scopes of the batch norms that it is about, else the names of its tensors, as the file spells
// them. `analysis` is that of the file; null: no batch norm is known.
std::vector<std::string> NamesOf(const Finding& finding, const Analysis* analysis);

// 64 hexadecimal digits of the rule and of all names. Not of the message, which holds numbers, and
// not of the file, which may be moved.
std::string FingerprintOf(std::string_view rule, const std::vector<std::string>& names);
std::string FingerprintOf(const Finding& finding, const Analysis* analysis);

}  // namespace ckpt::cli
