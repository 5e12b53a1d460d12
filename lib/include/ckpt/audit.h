// Judges whether a checkpoint is ready for serving. Returns findings, prints nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/batch_norm.h"

namespace ckpt {

enum class Severity : std::uint8_t { kInfo, kWarning, kError };  // ordered
std::string_view Name(Severity severity) noexcept;

// What becomes of a finding in a conversion; see "Convert and findings" in docs/cli.md. Those
// of severity error are never kPasses.
enum class InConversion : std::uint8_t {
  kPasses,       // OUTPUT may have it too
  kStops,        // nothing is written
  kCloses,       // OUTPUT is free of it, or nothing is written
  kStaysBehind,  // it is about what no OUTPUT has: a graph that trains, its savers
};
std::string_view Name(InConversion what) noexcept;  // "stops", "closed", "stays behind", ""

// One row of the rule table; ids are stable once released.
struct Rule {
  std::string_view id;       // "BN001"
  std::string_view name;     // "statistics-missing"
  Severity severity;         // the usual one; a finding may be milder by its evidence
  std::string_view summary;  // one line
  std::string_view
      text;  // what `ckpt explain` prints: what it means, why it matters, how to fix it
  InConversion in_conversion;
  Setting needs = Setting::kNone;  // it is found where this was given
  Remedy remedy = Remedy::kNone;   // what helps beside `Finding::fix`

  bool stops_conversion() const noexcept { return in_conversion == InConversion::kStops; }
};
std::span<const Rule> Rules() noexcept;
const Rule* FindRule(std::string_view id_or_name) noexcept;  // null if there is none

// A tensor that a finding points at. Compares equal to its name.
struct FindingTensor {
  std::string name;
  std::optional<TensorId> id = {};  // in the manifest; absent: the file lacks it
  bool operator==(std::string_view other) const { return name == other; }
};

// Names in it are as in the file: escape them for display.
struct Finding {
  const Rule* rule;
  Severity severity;
  // In words: scope of the layer, or the tensor, or the file. Layers that share a finding, which
  // then has the tensors of all: "bn1 and bn2", "7 of 84 batch norms". For people: `layers` and
  // `tensors` say what it is about.
  std::string subject;
  std::vector<FindingTensor> tensors;
  std::string message;  // what was found and what it does to serving
  std::string fix;      // what to do
  // Those that it is about, in Analysis::batch_norms, ascending; empty: the file as a whole, or
  // tensors of no batch norm.
  std::vector<std::size_t> layers = {};

  bool IsAbout(std::size_t layer) const;
  bool IsAbout(TensorId tensor) const;
};
// The batch norms that own one of the tensors, ascending.
std::vector<std::size_t> LayersOf(const Analysis& analysis,
                                  const std::vector<FindingTensor>& tensors);

struct AuditOptions {
  bool all_data = false;  // --checksums: read every tensor
  // The set that --ema writes is what is judged. Otherwise it is judged beside the raw weights.
  bool averages = false;
  std::vector<std::string> only_rules = {};     // --rule
  std::vector<std::string> without_rules = {};  // --no-rule
  // A checkpoint of the same run saved earlier (--since, or the older ones that a state file
  // names).
  const Checkpoint* older = nullptr;
  // The checkpoints that this one was merged of (--parents): averaged, added up, cut together.
  std::vector<const Checkpoint*> parents = {};
};

struct AuditResult {
  std::vector<Finding> findings;  // errors first, then in model order
  // Damage met while reading (checksum, truncation, I/O): the input's status becomes "error".
  std::optional<Error> error = {};
  bool read_all = false;  // every tensor that is there was read, and its checksum checked
};

AuditResult Audit(const Checkpoint& checkpoint, const Analysis& analysis,
                  const AuditOptions& options = {});

}  // namespace ckpt
