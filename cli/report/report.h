// What each command found, as plain values: the only thing that a form of a report reads.
//
// A command hands on one piece after the other, each as soon as it is known: the inputs of inspect
// and audit in the order of the command line and then a summary; one Conversion, Comparison or
// RuleList. Names and messages in them are raw, as they stand in the file: forms escape them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/audit.h"
#include "ckpt/calibrate.h"
#include "ckpt/calibration_mark.h"
#include "ckpt/convert.h"
#include "ckpt/diff.h"
#include "ckpt/drift.h"
#include "ckpt/formats/convert_file.h"
#include "ckpt/layer_profile.h"
#include "ckpt/op_graph.h"
#include "ckpt/replicas.h"
#include "ckpt/tensor_statistics.h"
#include "ckpt/trend.h"
#include "ckpt/verify.h"
#include "formats/container/file_stamp.h"

namespace ckpt::cli {

// An input as every command sees it. What the pointers name lives until the piece was added: a form
// that prints later keeps what it needs.
struct InputReport {
  std::string path;                 // as the user named it
  std::optional<Error> error = {};  // it could not be opened, or damage was met while reading
  // Of an input that was opened; null, empty otherwise.
  const Manifest* manifest = nullptr;
  const Analysis* analysis = nullptr;
  std::string_view format = {};
  std::vector<std::string> notes = {};  // how its name led there, what its reader noted

  bool opened() const noexcept { return manifest != nullptr; }
};

// A file or folder in a folder that was named, which was left alone.
struct NotRead {
  std::string path, reason;
};

struct InspectedInput {
  InputReport input;
  // Indices of the tensors and batch norms to list, in natural order of their names.
  std::vector<std::size_t> tensors = {}, batch_norms = {};
  // --stats: of each of `tensors`; else empty.
  std::vector<std::optional<TensorStatistics>> statistics = {};
  bool summary_only = false;  // text lists nothing, it counts
  // One for each batch norm, where a form draws them; else none.
  std::vector<LayerProfile> profiles = {};
};
// With the tensors that match one of the patterns, all if there is none, and the batch norms that
// own one of them.
InspectedInput Inspected(InputReport input, const std::vector<std::string>& only);
struct InspectSummary {
  std::uint64_t inputs = 0, failed = 0;
  std::vector<NotRead> not_read = {};
};

struct SeverityCounts {
  std::uint64_t errors = 0, warnings = 0, infos = 0;
  void Add(Severity severity) noexcept;
  void Add(const SeverityCounts& other) noexcept;
  std::uint64_t All() const noexcept { return errors + warnings + infos; }
};

// What the values of an input look like.
struct DataRange {
  std::string input;
  std::vector<std::int64_t> shape;  // axis 0: examples
  double least = 0, most = 0, mean = 0, deviation = 0;
};
// The statistics beside those of data.
struct DriftReport {
  std::vector<DataRange> inputs = {};
  DataDrift drift = {};  // indices are into `InputReport::analysis`

  bool judged() const noexcept { return drift.examples >= kFewestJudgedExamples; }
};

// A finding that the baseline of the audit knows: it is not counted.
struct KnownFinding {
  Finding finding;
  std::string reason;           // as the baseline has it
  std::string moved_from = {};  // where its file was then, if that is gone
};

struct AuditedInput {
  InputReport input;
  std::vector<Finding> findings = {};  // indices are into `input.analysis` and `input.manifest`
  bool read_all = false;
  std::string compared_with = {};           // the older checkpoint, if one was looked at
  std::optional<DriftReport> data = {};     // --data, where the network could be run
  std::vector<LayerProfile> profiles = {};  // as of InspectedInput
  std::vector<KnownFinding> known = {};
  // What ckpt.toml did to the findings: those that it left out are in none of the lists.
  SeverityCounts hidden = {};
  std::uint64_t other_severity = 0;
  // What the findings rest on, by which a later run tells whether they would be the same.
  std::vector<formats::FileStamp> files = {};  // that were read for it
  std::string options = {};                    // that differ from the defaults
};
// What became of an input: of its findings the gravest counts, and notes are none.
enum class InputState : std::uint8_t { kClean, kWarnings, kErrors, kUnreadable };
std::string_view Name(InputState state) noexcept;  // "clean", "warnings", "errors", "unreadable"
InputState StateOf(const AuditedInput& audited);

struct AuditSummary {
  std::uint64_t inputs = 0;
  SeverityCounts counts = {};
  std::array<std::uint64_t, 4> states = {};  // how many inputs, by InputState
  struct NotClean {
    std::string path;
    InputState state;
  };
  std::vector<NotClean> not_clean = {};  // in the order of the inputs
  std::vector<NotRead> not_read = {};

  // Of an audit with a ckpt.toml.
  struct Config {
    std::string path;
    SeverityCounts hidden = {};
    std::uint64_t other_severity = 0;
  };
  std::optional<Config> config = {};
  // An entry of the baseline for which nothing was found any more.
  struct Stale {
    std::string path, rule, subject, fingerprint, reason;
  };
  struct Baseline {
    std::string path;
    SeverityCounts known = {};
    std::vector<Stale> stale = {};
  };
  std::optional<Baseline> baseline = {};
  struct WrittenBaseline {
    std::string path;
    std::uint64_t entries = 0, added = 0;
  };
  std::optional<WrittenBaseline> written = {};
  // Of --resume: inputs that an earlier run had audited. They are among the counts.
  struct Resumed {
    std::string path;
    std::uint64_t inputs = 0;
  };
  std::optional<Resumed> resumed = {};

  std::uint64_t CountOf(InputState state) const { return states[static_cast<std::size_t>(state)]; }
  // Counts an input and its findings.
  void Add(const AuditedInput& audited);
  void Add(const std::string& path, InputState state, const SeverityCounts& findings);
};

// What will be, or was, done to the tensors and batch norms of a conversion's input.
struct PlanReport {
  std::size_t tensors = 0;  // that OUTPUT holds
  std::vector<Folded> folded = {};
  std::vector<Kept> kept = {};
  std::vector<Changed> changed = {};
  std::vector<Dropped> dropped = {};
  std::map<std::string, std::string> renamed = {};
  std::optional<Framework> names = {};  // see ConversionPlan
  std::map<std::string, std::string> reordered = {};
  std::vector<WrittenBatchNorm> batch_norms = {};
  std::vector<std::string> notes = {};
};
PlanReport ReportOf(const ConversionPlan& plan);

// What a graph in OUTPUT serves.
struct ServedReport {
  std::vector<OpSignature> signatures;  // at least one
  std::vector<Dropped> dropped;
  std::vector<std::vector<std::string>> other_graphs;  // tags of MetaGraphs that were not read
};

// What the audit says of OUTPUT, as it was read back.
struct OutputAudit {
  SeverityCounts counts = {};
  std::vector<std::string> rules = {};  // ids of errors and warnings, each once
};

// Whether OUTPUT computes what INPUT does, by a run of both.
struct Certificate {
  struct Signature {
    std::string name = {};           // empty: the only one
    std::string not_verified = {};   // why, for people; empty: it was
    Verification verification = {};  // of one that was
  };
  std::vector<Signature> signatures = {};  // at least one
};

struct CalibratedNorm {
  std::string scope;
  std::uint64_t elements = 0;  // of each channel
  VarianceRule variance = VarianceRule::kBiased;
  double mean_shift = 0;  // see CalibratedLayer
  std::uint64_t constant_channels = 0;
};
// Statistics that were computed again from data.
struct CalibrationReport {
  std::string taken_from = {};  // another checkpoint, as the user named it, in place of data
  std::uint64_t examples = 0;
  bool few = false;  // fewer than statistics can rest on
  std::vector<DataRange> inputs = {};
  std::vector<CalibratedNorm> layers = {};
  // One for each of `layers`, before and after, where a form draws them; else none.
  std::vector<LayerProfiles> profiles = {};
  std::vector<MarkedTensor> marked = {};        // for the record
  std::vector<formats::FileRecord> files = {};  // of the data
};

struct Conversion {
  std::string input, output;        // as the user named them
  std::optional<Error> error = {};  // what is below is what was known by then
  struct Formats {
    std::string resolved;
    std::string_view from, to;
    std::vector<std::string> notes;  // of the input
  };
  std::optional<Formats> formats = {};
  std::optional<PlanReport> plan = {};
  std::optional<ServedReport> served = {};  // OUTPUT holds operations
  std::optional<OutputAudit> audit = {};
  std::optional<Certificate> certificate = {};        // once OUTPUT was read back
  std::optional<CalibrationReport> calibration = {};  // of `ckpt calibrate`
  bool dry_run = false;  // everything was read, nothing was written, as was asked
  struct Written {
    std::string record;  // path
    std::uint64_t bytes = 0;
  };
  std::optional<Written> written = {};
};

// By what text orders the tensors of a comparison: by name, or the largest first.
enum class DiffOrder : std::uint8_t { kName, kMaxAbs, kMaxRel, kNorm, kDiffering };

struct Comparison {
  std::string a, b;  // as the user named them
  std::optional<Error> error = {};
  std::optional<CheckpointDiff> diff = {};  // absent where there is an error
  DiffOrder order = DiffOrder::kName;       // of text
  std::optional<std::size_t> most = {};     // tensors that text lists
  // One for each of `diff->batch_norms`, where a form draws them; else none.
  std::vector<LayerProfiles> profiles = {};
  bool of_several = false;  // a ReplicaComparison ends the report
};

// Several that should be the same.
struct ReplicaComparison {
  std::vector<std::string> paths = {};  // one for each replica of the report
  std::size_t unreadable = 0;           // which are none of those
  ReplicaReport report = {};
};

// What the user's own framework makes of the same inputs.
struct FrameworkOutput {
  std::string name;
  double size = 0;                     // the largest absolute value
  std::optional<double> max_abs = {};  // from what it is held against; absent: there is nothing
  double allowed = 0;                  // what rounding explains of it
  bool agrees() const { return !max_abs || *max_abs <= allowed; }
};
struct FrameworkRun {
  bool of_b = false;
  std::string version = {};
  std::string not_run = {};                   // why; empty: it was
  bool failed = false;                        // it was to be run, and that did not succeed
  std::vector<FrameworkOutput> outputs = {};  // against those of our own run in float64
};
struct SecondOpinion {
  std::string framework;
  std::vector<FrameworkRun> sides = {};
  std::vector<FrameworkOutput> between = {};  // of B against that of A, where it ran both
};

struct VerifiedPair {
  std::string a, b;  // as the user named them
  std::optional<Error> error = {};
  std::optional<Verification> verification = {};     // absent where there is an error
  std::optional<SecondOpinion> second_opinion = {};  // of --with
};

// A checkpoint of a run.
struct FollowedStep {
  std::string path;
  std::optional<Error> error = {};           // it could not be opened, and is not in the trend
  std::optional<std::uint64_t> number = {};  // in the name of the file or of its folder
  std::optional<std::size_t> place = {};     // among the checkpoints of the trend
};
struct FollowedRun {
  std::string path;                      // as the user named it
  std::vector<FollowedStep> steps = {};  // oldest first
  RunTrend trend = {};                   // of those that could be opened
  // What settings and a baseline did to its findings: as of AuditedInput.
  std::vector<KnownFinding> known = {};
  SeverityCounts hidden = {};
  std::uint64_t other_severity = 0;
  // The global step that the checkpoint records, else the number in its name.
  std::optional<double> StepOf(const FollowedStep& step) const;
  std::size_t CountUnreadable() const;
};
struct TrendSummary {
  std::uint64_t runs = 0, checkpoints = 0, unreadable = 0;
  SeverityCounts counts = {};
  std::vector<NotRead> not_read = {};
  std::array<std::uint64_t, 7> verdicts = {};  // how many runs, by TrendVerdict
  struct NotClean {
    std::string path;
    TrendVerdict verdict;
    std::uint64_t unreadable;  // of its checkpoints
  };
  std::vector<NotClean> not_clean = {};  // with a warning, an error or an unreadable checkpoint
  // Of ckpt.toml and a baseline, whose inputs are the runs.
  AuditSummary policy = {};
  void Add(const FollowedRun& run);
};

struct RuleList {
  std::vector<const Rule*> rules;
  bool in_full = false;  // one rule was asked for: its text, not its line in the list
};

}  // namespace ckpt::cli
