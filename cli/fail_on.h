// From which severity on a finding makes the exit code 1.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "ckpt/audit.h"

namespace ckpt::cli {

// Above every severity: none fails.
inline constexpr int kNeverFails = 100;

// The words of --fail-on.
inline std::map<std::string, int> FailOnChoices() {
  return {{"error", static_cast<int>(Severity::kError)},
          {"warning", static_cast<int>(Severity::kWarning)},
          {"info", static_cast<int>(Severity::kInfo)},
          {"never", kNeverFails}};
}

// As forms take it.
inline std::optional<Severity> FailsOn(int fail_on) {
  if (fail_on == kNeverFails) return std::nullopt;
  return static_cast<Severity>(fail_on);
}

}  // namespace ckpt::cli
