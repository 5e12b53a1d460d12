#include "cli/policy/audit_policy.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "cli/policy/apply_config.h"
#include "cli/policy/config_file.h"
#include "cli/policy/path_glob.h"

namespace ckpt::cli {
namespace {

bool IsThere(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

// Relative where it lies below the current folder.
std::string ShownPlace(const std::filesystem::path& place) {
  std::error_code failed;
  const std::filesystem::path relative =
      place.lexically_relative(std::filesystem::current_path(failed));
  const bool below = !failed && !relative.empty() && *relative.begin() != "..";
  return (below ? relative : place).string();
}

}  // namespace

void AuditPolicy::AddOptions(Arguments& app) {
  app.add_option("--baseline", baseline_path_,
                 "Findings that are known, each with its reason: they are not counted")
      ->type_name("FILE");
  Option* write =
      app.add_option("--write-baseline", write_,
                     "Write what was found into this baseline; one that is there is brought up to "
                     "date and keeps its reasons")
          ->type_name("FILE");
  Option* reason =
      app.add_option("--reason", reason_, "Why the findings new in --write-baseline are accepted")
          ->type_name("TEXT");
  reason->needs(write);
}

Status AuditPolicy::ReadConfig(const CommonOptions& options) {
  if (options.no_config) return {};
  if (options.config.empty()) {
    CKPT_ASSIGN_OR_RETURN(config_, FindConfig(*options.read));
  } else {
    CKPT_ASSIGN_OR_RETURN(config_, cli::ReadConfig(*options.read, options.config));
  }
  return {};
}

std::string AuditPolicy::PathOfBaseline() const {
  if (!baseline_path_.empty()) return baseline_path_;
  if (!write_.empty() && IsThere(write_)) return write_;
  return config_ ? config_->baseline : std::string();
}

Status AuditPolicy::ReadBaseline(const CommonOptions& options, const AuditScope& scope,
                                 std::optional<Severity> fails_on) {
  scope_ = scope;
  const std::string path = PathOfBaseline();
  const bool updates = writes_baseline() && !path.empty() && PlaceOf(path) == PlaceOf(write_);
  if (writes_baseline()) {
    if (reason_.find_first_not_of(" \t\n") == std::string::npos)
      return Fail(ErrorCode::kInvalidArgument,
                  "--write-baseline: --reason TEXT says why the findings are accepted");
    if (IsThere(write_) && !updates)
      return Fail(ErrorCode::kInvalidArgument,
                  "--write-baseline: \"" + write_ + "\" exists, and --baseline names another file");
    for (const std::string& report : ReportPathsOf(options)) {
      if (PlaceOf(report) == PlaceOf(write_))
        return Fail(ErrorCode::kInvalidArgument,
                    "--write-baseline: a report is to go to \"" + report + "\", too");
    }
    BaselineWriter::Options writer{write_, reason_};
    writer.least = std::min(Severity::kWarning, fails_on.value_or(Severity::kWarning));
    writer.scope = scope_;
    writer_.emplace(std::move(writer));
  }
  if (path.empty()) return {};
  // One that is brought up to date is not noted as read: what is read is never written over.
  const formats::Files& files = updates ? formats::SystemFiles() : *options.read;
  CKPT_ASSIGN_OR_RETURN(baseline_, cli::ReadBaseline(files, path));
  return {};
}

void AuditPolicy::Begin(AuditSummary& summary) const {
  if (config_) summary.config = AuditSummary::Config{config_->path};
  if (baseline_) summary.baseline = AuditSummary::Baseline{PathOfBaseline()};
}

void AuditPolicy::Settle(AuditedInput& audited) {
  if (config_) ApplyConfig(*config_, !scope_.only_rules.empty(), audited);
  if (baseline_) baseline_->Settle(audited);
  if (writer_) writer_->Add(audited);
}

Status AuditPolicy::End(const CommonOptions& options, AuditSummary& summary) {
  if (baseline_) {
    const std::vector<BaselineEntry>& entries = baseline_->entries();
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (baseline_->StateOf(i, scope_) != Baseline::State::kStale) continue;
      const BaselineEntry& entry = entries[i];
      summary.baseline->stale.push_back(
          {ShownPlace(entry.place), entry.rule, entry.subject, entry.fingerprint, entry.reason});
    }
  }
  if (!writer_) return {};
  CKPT_ASSIGN_OR_RETURN(summary.written,
                        writer_->Write(options, baseline_ ? &*baseline_ : nullptr));
  return {};
}

}  // namespace ckpt::cli
