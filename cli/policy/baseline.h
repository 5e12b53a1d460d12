// Findings that are known and accepted, each for a reason: an audit with a baseline counts what is
// new alone. docs/config.md describes the file.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ckpt/audit.h"
#include "cli/report/report.h"

namespace ckpt::cli {

struct BaselineEntry {
  std::filesystem::path place;  // of the checkpoint; see PlaceOf
  std::string rule;             // id
  Severity severity = Severity::kWarning;
  std::string fingerprint;
  std::vector<std::string> names = {};  // of layers or tensors; see NamesOf. May be left out
  std::string subject = {};             // for people
  // What the audit looked at that found it, beyond what every audit does: "checksums", "data",
  // "since". One that does not look there cannot say that the finding is gone.
  std::vector<std::string> looked_at = {};
  std::string reason;
};

// What an audit looked at: beyond it, it cannot say that a finding is gone.
struct AuditScope {
  std::vector<std::string> looked_at = {};                       // as in BaselineEntry
  std::vector<std::string> only_rules = {}, without_rules = {};  // ids
};

// Which entries go with which findings, over the inputs of one audit.
class Baseline {
 public:
  explicit Baseline(std::vector<BaselineEntry> entries);

  // Moves the findings that it knows to `audited.known`. An entry knows a finding of its checkpoint
  // that has its fingerprint, or its rule and some of its names, as the others were mended; never
  // one that is graver than it was. Where the checkpoint of an entry is gone, the first one with
  // that fingerprint takes its place: it was moved.
  void Settle(AuditedInput& audited);

  const std::vector<BaselineEntry>& entries() const noexcept { return entries_; }
  enum class State : std::uint8_t {
    kFound,
    kStale,   // not found, where it was looked for, or its checkpoint is gone
    kUnseen,  // not looked for
  };
  State StateOf(std::size_t entry, const AuditScope& scope) const;

 private:
  using Places = std::vector<std::filesystem::path>;
  // An entry of that index, marked as used; absent where no entry knows the finding.
  std::optional<std::size_t> Find(const Finding& finding, const AuditedInput& audited,
                                  const Places& places);
  std::optional<std::size_t> FindOfSome(const Finding& finding, const AuditedInput& audited,
                                        const Places& places) const;
  bool IsGone(std::size_t entry) const;

  std::vector<BaselineEntry> entries_;
  std::vector<bool> used_;
  mutable std::vector<std::optional<bool>> gone_;
  std::map<std::string, std::vector<std::size_t>> by_fingerprint_;
  std::map<std::pair<std::filesystem::path, std::string>, std::vector<std::size_t>> by_rule_;
  std::set<std::filesystem::path> looked_at_;  // places of the inputs that could be read
};

// The entry that a finding becomes.
BaselineEntry EntryFor(const Finding& finding, const InputReport& input);

}  // namespace ckpt::cli
