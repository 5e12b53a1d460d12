// The options of an audit that say which findings count: --config, --baseline and their like.
#pragma once

#include <optional>
#include <string>

#include "cli/options.h"
#include "cli/policy/audit_config.h"
#include "cli/policy/baseline_file.h"

namespace ckpt::cli {

class AuditPolicy {
 public:
  void AddOptions(Arguments& app);

  // Reads ckpt.toml, unless --no-config; then Config() has what it says.
  Status ReadConfig(const CommonOptions& options);
  const AuditConfig* config() const { return config_ ? &*config_ : nullptr; }
  // Reads the baseline. `scope`: what this audit looks at; `fails_on` as in FormOptions.
  Status ReadBaseline(const CommonOptions& options, const AuditScope& scope,
                      std::optional<Severity> fails_on);

  bool has_baseline() const noexcept { return baseline_ || writes_baseline(); }

  // What the summary begins with.
  void Begin(AuditSummary& summary) const;
  // Sorts the findings of an input, in the order of the inputs.
  void Settle(AuditedInput& audited);
  // Findings that are written as known count no more.
  bool writes_baseline() const noexcept { return !write_.empty(); }
  // Writes the baseline, if one is asked for, and says what is stale.
  Status End(const CommonOptions& options, AuditSummary& summary);

 private:
  std::string PathOfBaseline() const;

  std::string baseline_path_, write_, reason_;
  AuditScope scope_;
  std::optional<AuditConfig> config_;
  std::optional<Baseline> baseline_;
  std::optional<BaselineWriter> writer_;
};

}  // namespace ckpt::cli
