// What a ckpt.toml says of audits, as values. docs/config.md describes its keys.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/audit.h"

namespace ckpt::cli {

// Rules by their ids.
struct RuleSettings {
  std::vector<std::string_view> only = {};     // empty: all
  std::vector<std::string_view> without = {};  // left out
  std::map<std::string_view, Severity> severity = {};

  bool Hides(std::string_view rule) const;
};

// For the checkpoints that one of the globs matches.
struct PathSettings {
  std::vector<std::string> globs = {};  // see MatchesPath
  RuleSettings rules = {};
};

struct AuditConfig {
  std::string path = {};                 // as it is shown
  std::filesystem::path folder = {};     // absolute: globs and `baseline` are relative to it
  RuleSettings rules = {};               // of every checkpoint
  std::vector<PathSettings> paths = {};  // of some, the later ones win
  // Options that the command line overrides. The severity of fail-on is absent for "never".
  std::optional<std::optional<Severity>> fail_on = {};
  std::optional<double> epsilon = {}, momentum = {};
  std::optional<bool> checksums = {};
  std::optional<std::uint64_t> max_operations = {};
  std::string baseline = {};  // a path that can be opened; empty: none
};

}  // namespace ckpt::cli
