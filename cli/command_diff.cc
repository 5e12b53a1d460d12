// ckpt diff: compares two checkpoints.
#include <algorithm>
#include <filesystem>
#include <map>
#include <string_view>

#include "ckpt/diff.h"
#include "cli/choices.h"
#include "cli/command.h"
#include "cli/input_pass.h"
#include "cli/name_map.h"
#include "cli/progress.h"
#include "cli/reporter.h"

namespace ckpt::cli {
namespace {

// Do two manifests name the same files?
bool AreSameFiles(const Manifest& a, const Manifest& b) {
  return !a.files.empty() && a.files.size() == b.files.size() &&
         std::equal(a.files.begin(), a.files.end(), b.files.begin(),
                    [](const std::string& x, const std::string& y) {
                      std::error_code ignored;
                      return std::filesystem::equivalent(x, y, ignored);
                    });
}

std::map<std::string_view, std::size_t> PlacesOf(const Analysis& analysis) {
  std::map<std::string_view, std::size_t> places;
  for (std::size_t i = 0; i < analysis.batch_norms.size(); ++i)
    places.emplace(analysis.batch_norms[i].scope, i);
  return places;
}

// The batch norms that were compared, by their places in either analysis.
std::vector<LayerPair> PairsOf(const std::vector<BatchNormDiff>& diffs, const Analysis& a,
                               const Analysis& b) {
  const auto in_a = PlacesOf(a), in_b = PlacesOf(b);
  const auto find = [](const auto& places, const std::string& scope) {
    const auto found = places.find(scope);
    return found == places.end() ? std::nullopt : std::optional(found->second);
  };
  std::vector<LayerPair> pairs;
  for (const BatchNormDiff& diff : diffs)
    pairs.emplace_back(find(in_a, diff.scope_a), find(in_b, diff.scope_b));
  return pairs;
}

class DiffCommand : public Command {
 public:
  void Setup(Arguments& app) override {
    app.add_option("A", a_, "The first checkpoint")->required();
    app.add_option("B", b_, "The second checkpoint")->required();
    app.add_option("--rtol", diff_.rtol, "Relative tolerance (default 0)")
        ->check(NotNegative())
        ->type_name("X");
    app.add_option("--atol", diff_.atol, "Absolute tolerance (default 0)")
        ->check(NotNegative())
        ->type_name("X");
    app.add_option("--only", diff_.only, "Compare only tensors that match GLOB (may be repeated)")
        ->allow_extra_args(false)
        ->type_name("GLOB");
    app.add_option("--ignore", diff_.ignore, "Leave out tensors that match GLOB (may be repeated)")
        ->allow_extra_args(false)
        ->type_name("GLOB");
    app.add_flag("--ignore-training-state", diff_.ignore_training_state,
                 "Leave out optimizer slots, shadows, steps and counters");
    app.add_option("--rename", rename_file_, "JSON file {\"name in A\": \"name in B\"}")
        ->type_name("FILE");
    app.add_flag("--bytes", diff_.bytes, "Read everything: never trust stored checksums");
    app.add_option("--epsilon", analysis_.epsilon,
                   "Epsilon of batch norms for which nothing records one")
        ->check(NotNegative())
        ->type_name("X");
    AddInputOptions(app, options_, nullptr);
    AddReportOptions(app, CommandId::kDiff, options_);
  }

  ExitCode Run() override {
    if (Status status = CheckCommonOptions(options_); !status) return Complain(status.error());
    if (!rename_file_.empty()) {
      auto rename = ReadNameMap(*options_.read, rename_file_);
      if (!rename) return Complain(rename.error());
      diff_.rename = std::move(rename->names);
    }
    auto reporter = OpenReporter(options_);
    if (!reporter) return Complain(reporter.error());
    Comparison comparison{a_, b_};
    ExitCode code = ExitCode::kClean;
    if (Result<CheckpointDiff> diff = Compare(comparison); !diff) {
      code = Complain(diff.error());
      comparison.error = std::move(diff).error();
    } else {
      if (!diff->within_tolerance) code = ExitCode::kFindings;
      comparison.diff = *std::move(diff);
    }
    Status status = reporter->Add(comparison);
    if (status) status = reporter->Finish();
    return status ? code : std::max(code, Complain(status.error()));
  }

 private:
  Result<CheckpointDiff> Compare(Comparison& comparison) const {
    CKPT_ASSIGN_OR_RETURN(const OpenedInput a, OpenInput(a_, options_, analysis_));
    CKPT_ASSIGN_OR_RETURN(const OpenedInput b, OpenInput(b_, options_, analysis_));
    const ProgressCheckpoint counted(*a.checkpoint, "diff", options_.quiet);
    DiffOptions options = diff_;
    options.same_file = AreSameFiles(a.checkpoint->manifest(), b.checkpoint->manifest());
    CKPT_ASSIGN_OR_RETURN(CheckpointDiff diff,
                          Diff(counted, a.analysis, *b.checkpoint, b.analysis, options));
    if (Draws(options_)) {
      comparison.profiles = ProfileBoth({*a.checkpoint, a.analysis}, {*b.checkpoint, b.analysis},
                                        PairsOf(diff.batch_norms, a.analysis, b.analysis));
    }
    return diff;
  }

  CommonOptions options_;
  AnalysisOptions analysis_;
  DiffOptions diff_;
  std::string a_, b_, rename_file_;
};

}  // namespace

std::unique_ptr<Command> MakeDiff() { return std::make_unique<DiffCommand>(); }

}  // namespace ckpt::cli
