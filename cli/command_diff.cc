// ckpt diff: compares two checkpoints.
#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <string_view>

#include "ckpt/diff.h"
#include "cli/choices.h"
#include "cli/command.h"
#include "cli/diff_options.h"
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
    app.add_option(
        "C", more_,
        "More that should be the same: ranks, replicas, clients. Each is compared with A, "
        "and all with one another");
    AddDiffOptions(app, diff_);
    app.add_option("--rename", rename_file_, "JSON file {\"name in A\": \"name in B\"}")
        ->type_name("FILE");
    app.add_option("--epsilon", analysis_.epsilon,
                   "Epsilon of batch norms for which nothing records one")
        ->check(NotNegative())
        ->type_name("X");
    const std::map<std::string, DiffOrder> orders = {{"name", DiffOrder::kName},
                                                     {"max-abs", DiffOrder::kMaxAbs},
                                                     {"max-rel", DiffOrder::kMaxRel},
                                                     {"norm", DiffOrder::kNorm},
                                                     {"differing", DiffOrder::kDiffering}};
    app.add_option(
           "--sort", order_,
           "Order of the tensors in text: name, or the largest first by max-abs, max-rel, "
           "norm (||b-a||/||a||) or differing (share of elements); default name, with --top "
           "norm")
        ->transform(OneOf(orders))
        ->type_name("KEY");
    app.add_option("--top", most_, "Text lists the first N tensors, and counts the others")
        ->check(Positive())
        ->type_name("N");
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
    if (!more_.empty() && Draws(options_)) {
      return Complain({ErrorCode::kInvalidArgument,
                       "--report html: a page draws two files beside each other, and not several"});
    }
    auto reporter = OpenReporter(options_);
    if (!reporter) return Complain(reporter.error());
    ExitCode code = ExitCode::kClean;
    Status status = CompareEach(*reporter, code);
    if (status) status = reporter->Finish();
    return status ? code : std::max(code, Complain(status.error()));
  }

 private:
  Result<OpenedInput> OpenOne(const std::string& path) const {
    Result<OpenedInput> opened = OpenInput(path, options_, analysis_);
    if (opened) AnnounceTensors(*opened->checkpoint);
    return opened;
  }

  // A with each of the others and, where they are several, all with one another. Each is opened
  // once.
  Status CompareEach(Reporter& reporter, ExitCode& code) const {
    const Result<OpenedInput> a = OpenOne(a_);
    ReplicaComparison all;
    ReplicaBuilder builder;
    const bool several = !more_.empty();
    const auto join = [&](const std::string& path, const Result<OpenedInput>& opened) {
      // Those that cannot be read were complained of already.
      if (opened && builder.Add(*opened->checkpoint, opened->analysis)) {
        all.paths.push_back(path);
      } else {
        ++all.unreadable;
      }
    };
    if (several) join(a_, a);
    std::vector<std::string> others = {b_};
    others.insert(others.end(), more_.begin(), more_.end());
    for (const std::string& path : others) {
      const Result<OpenedInput> b = OpenOne(path);
      CKPT_RETURN_IF_ERROR(reporter.Add(CompareWith(a, path, b, code)));
      if (several) join(path, b);
    }
    if (!several) return {};
    all.report = std::move(builder).Finish();
    return reporter.Add(all);
  }

  Comparison CompareWith(const Result<OpenedInput>& a, const std::string& path,
                         const Result<OpenedInput>& b, ExitCode& code) const {
    Comparison comparison{a_, path};
    comparison.most = most_;
    comparison.order = order_.value_or(most_ ? DiffOrder::kNorm : DiffOrder::kName);
    comparison.of_several = !more_.empty();
    if (Result<CheckpointDiff> diff = Compare(a, b, comparison); !diff) {
      code = std::max(code, Complain(diff.error()));
      comparison.error = std::move(diff).error();
    } else {
      if (!diff->within_tolerance) code = std::max(code, ExitCode::kFindings);
      comparison.diff = *std::move(diff);
    }
    return comparison;
  }

  Result<CheckpointDiff> Compare(const Result<OpenedInput>& opened_a,
                                 const Result<OpenedInput>& opened_b,
                                 Comparison& comparison) const {
    if (!opened_a) return Fail(opened_a.error());
    if (!opened_b) return Fail(opened_b.error());
    const OpenedInput &a = *opened_a, &b = *opened_b;
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
  std::vector<std::string> more_;
  std::optional<DiffOrder> order_;
  std::optional<std::size_t> most_;
};

}  // namespace

std::unique_ptr<Command> MakeDiff() { return std::make_unique<DiffCommand>(); }

}  // namespace ckpt::cli
