// Runs over their checkpoints on a page.
#include <algorithm>
#include <map>
#include <set>

#include "cli/report/error_text.h"
#include "cli/report/page/page_values.h"

namespace ckpt::cli::page {
namespace {

// Places of checkpoints that are drawn: all, or evenly spaced ones and those at which something
// happened to a layer.
constexpr std::size_t kMostDrawn = 200;

std::vector<std::size_t> DrawnPlaces(const RunTrend& trend) {
  const std::size_t count = trend.recorded_steps.size();
  std::set<std::size_t> drawn;
  const std::size_t stride = std::max<std::size_t>(1, (count + kMostDrawn - 1) / kMostDrawn);
  for (std::size_t place = 0; place < count; place += stride) drawn.insert(place);
  if (count > 0) drawn.insert(count - 1);
  for (const NormTrend& norm : trend.norms) {
    for (const auto& turn :
         {norm.still_since, norm.stopped_since, norm.reset_at, norm.non_finite_since}) {
      if (turn && drawn.size() < 2 * kMostDrawn) drawn.insert(*turn);
    }
  }
  return {drawn.begin(), drawn.end()};
}

Json OrNull(const std::optional<double>& value) { return value ? Number(*value) : Json(nullptr); }

// What moved, a letter a checkpoint: statistics and weights, statistics, weights, neither; a blank
// where that is not known.
char LetterOf(const NormAtStep& step) {
  if (step.statistics == Movement::kUnknown) return ' ';
  const bool statistics = step.statistics == Movement::kMoved;
  const bool weights = step.weights == Movement::kMoved;
  if (statistics) return weights ? 'b' : 's';
  return weights ? 'w' : 'n';
}

// The place among the drawn ones of what begins at a checkpoint; null where nothing does.
Json TurnAt(const std::optional<std::size_t>& place, const std::vector<std::size_t>& drawn) {
  if (!place) return nullptr;
  const auto at = std::lower_bound(drawn.begin(), drawn.end(), *place);
  return at == drawn.end() ? Json(nullptr) : Json(at - drawn.begin());
}

Json ToJson(const NormTrend& norm, std::size_t i, const std::vector<std::size_t>& drawn) {
  Json json = {{"i", i}, {"scope", Text(norm.scope)}};
  if (norm.channels) json["channels"] = *norm.channels;
  if (!norm.layer) json["gone"] = true;
  json["shift"] = json["ratio"] = json["share"] = Json::array();
  std::string moved;
  std::uint64_t bad = 0;
  for (const std::size_t place : drawn) {
    const NormAtStep& step = norm.steps[place];
    json["shift"].push_back(OrNull(step.mean_shift));
    json["ratio"].push_back(OrNull(step.variance_ratio));
    json["share"].push_back(OrNull(step.initial_share));
    moved += LetterOf(step);
    bad = std::max(bad, step.non_finite);
  }
  json["moved"] = moved;
  if (bad > 0) json["bad"] = bad;
  json["turns"] = {{"stopped", TurnAt(norm.stopped_since, drawn)},
                   {"rest", TurnAt(norm.still_since, drawn)},
                   {"reset", TurnAt(norm.reset_at, drawn)},
                   {"bad", TurnAt(norm.non_finite_since, drawn)}};
  return json;
}

// [step or null, path, how many batch norms moved, how many there are, why it was not read]
Json StepToJson(const FollowedRun& run, const FollowedStep& step) {
  std::size_t moved = 0, present = 0;
  for (const NormTrend& norm : run.trend.norms) {
    if (!step.place) break;
    moved += norm.steps[*step.place].statistics == Movement::kMoved ? 1 : 0;
    present += norm.steps[*step.place].present ? 1 : 0;
  }
  return {OrNull(run.StepOf(step)), Text(step.path), moved, present,
          step.error ? Text(Describe(*step.error)) : Json(nullptr)};
}

// The names of the drawn checkpoints: their steps, else their paths.
Json LabelsOf(const FollowedRun& run, const std::vector<std::size_t>& drawn) {
  std::map<std::size_t, const FollowedStep*> at;
  for (const FollowedStep& step : run.steps) {
    if (step.place) at[*step.place] = &step;
  }
  Json labels = Json::array();
  for (const std::size_t place : drawn) {
    const auto number = run.StepOf(*at.at(place));
    labels.push_back(number ? Json(*number) : Text(at.at(place)->path));
  }
  return labels;
}

// Layers of the findings are those of the last checkpoint: here they are places in the trend.
Finding InTheTrend(Finding finding, const RunTrend& trend) {
  std::map<std::size_t, std::size_t> place;
  for (std::size_t i = 0; i < trend.norms.size(); ++i) {
    if (trend.norms[i].layer) place[*trend.norms[i].layer] = i;
  }
  std::vector<std::size_t> layers;
  for (const std::size_t layer : finding.layers) {
    if (const auto found = place.find(layer); found != place.end()) layers.push_back(found->second);
  }
  finding.layers = std::move(layers);
  return finding;
}

}  // namespace

Json RowOf(const FollowedRun& run) {
  SeverityCounts counts;
  for (const Finding& finding : run.trend.findings) counts.Add(finding.severity);
  return {{"path", Text(run.path)},
          {"state", Name(run.trend.verdict)},
          {"checkpoints", run.steps.size()},
          {"unreadable", run.CountUnreadable()},
          {"norms", run.trend.norms.size()},
          {"findings", {counts.errors, counts.warnings, counts.infos}}};
}

Json Piece(const FollowedRun& run, std::size_t most) {
  const RunTrend& trend = run.trend;
  const std::vector<std::size_t> drawn = DrawnPlaces(trend);
  Json json = {{"labels", LabelsOf(run, drawn)}};
  std::set<std::size_t> suspects;
  json["findings"] = json["layers"] = json["steps"] = Json::array();
  json["finding_count"] = trend.findings.size();
  for (const Finding& found : trend.findings) {
    const Finding finding = InTheTrend(found, trend);
    suspects.insert(finding.layers.begin(), finding.layers.end());
    if (json["findings"].size() < most) json["findings"].push_back(FindingToJson(finding));
  }
  for (const std::size_t i : Chosen(trend.norms.size(), {suspects.begin(), suspects.end()}, most)) {
    json["layers"].push_back(ToJson(trend.norms[i], i, drawn));
  }
  for (const FollowedStep& step : run.steps) {
    if (json["steps"].size() < 2 * most) json["steps"].push_back(StepToJson(run, step));
  }
  return json;
}

}  // namespace ckpt::cli::page
