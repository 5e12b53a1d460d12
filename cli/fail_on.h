// From which severity on a finding makes the exit code 1.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "ckpt/audit.h"
#include "cli/arguments.h"
#include "cli/choices.h"

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

// Declares --fail-on; `fail_on` is an int, or an optional one where nothing given is told apart.
template <typename Number>
void AddFailOnOption(Arguments& app, Number& fail_on) {
  app.add_option("--fail-on", fail_on,
                 "Exit 1 on findings of this severity or a higher one: error, warning, "
                 "info or never (default warning)")
      ->transform(OneOf(FailOnChoices()))
      ->type_name("SEVERITY");
}

// As forms take it.
inline std::optional<Severity> FailsOn(int fail_on) {
  if (fail_on == kNeverFails) return std::nullopt;
  return static_cast<Severity>(fail_on);
}

}  // namespace ckpt::cli
