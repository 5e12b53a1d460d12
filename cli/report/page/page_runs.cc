// Runs of two files side by side on a page.
#include <algorithm>
#include <cmath>

#include "cli/report/error_text.h"
#include "cli/report/page/page_values.h"

namespace ckpt::cli::page {
namespace {

Json ToJson(const StepDifference& step) {
  return {{"layer", Text(step.layer_b)},
          {"layer_a", Text(step.layer_a)},
          {"operation", Text(step.operation)},
          {"place", step.place},
          {"channel", step.channel ? Json(*step.channel) : Json(nullptr)},
          {"value_a", Number(step.value_a)},
          {"value_b", Number(step.value_b)},
          {"bound", Number(step.bound)},
          {"ratio", Number(step.ratio)}};
}

// Where they are too many, the first ones.
Json StepsToJson(const std::vector<StepRatio>& steps, std::size_t most) {
  Json json = Json::array();
  for (std::size_t i = 0; i < std::min(most, steps.size()); ++i) {
    const StepRatio& step = steps[i];
    Json one = {Text(step.layer_b), Text(step.operation), Number(step.ratio), step.factor};
    if (step.layer_a != step.layer_b) one.push_back(Text(step.layer_a));
    json.push_back(std::move(one));
  }
  return json;
}

Json OutputToJson(const FrameworkOutput& output) {
  return {{"name", Text(output.name)},
          {"size", Number(output.size)},
          {"max_abs", output.max_abs ? Number(*output.max_abs) : Json(nullptr)},
          {"allowed", Number(output.allowed)},
          {"agrees", output.max_abs ? Json(output.agrees()) : Json(nullptr)}};
}

Json ToJson(const SecondOpinion& opinion) {
  Json sides = Json::array();
  for (const FrameworkRun& run : opinion.sides) {
    Json one = {{"side", run.of_b ? "B" : "A"},
                {"version", Text(run.version)},
                {"not_run", Text(run.not_run)},
                {"outputs", Json::array()}};
    for (const FrameworkOutput& output : run.outputs)
      one["outputs"].push_back(OutputToJson(output));
    sides.push_back(std::move(one));
  }
  return {{"framework", opinion.framework}, {"sides", std::move(sides)}};
}

}  // namespace

Json ToJson(const Verification& found, std::size_t most) {
  Json json = {{"verdict", Name(found.verdict)}, {"reason", Text(found.reason)}};
  json["inputs"] = json["outputs"] = json["unknown"] = Json::array();
  for (std::size_t i = 0; i < std::min(most, found.inputs.size()); ++i) {
    const UsedInput& input = found.inputs[i];
    json["inputs"].push_back({{"name", Text(input.name_a)},
                              {"name_b", Text(input.name_b)},
                              {"shape", input.shape},
                              {"drawn", input.drawn},
                              {"permuted", input.permuted}});
  }
  for (std::size_t i = 0; i < std::min(most, found.outputs.size()); ++i) {
    const OutputDifference& output = found.outputs[i];
    json["outputs"].push_back({{"name", Text(output.name_a)},
                               {"name_b", Text(output.name_b)},
                               {"max_abs", Number(output.max_abs)},
                               {"noise", Number(output.noise)},
                               {"size", Number(output.size)},
                               {"place", output.place}});
  }
  json["compared"] = found.steps_compared;
  json["factor"] = found.factor;
  json["steps"] = StepsToJson(found.steps, most);
  json["worst"] = found.worst ? ToJson(*found.worst) : Json(nullptr);
  json["beyond"] = found.first_beyond ? ToJson(*found.first_beyond) : Json(nullptr);
  for (std::size_t i = 0; i < std::min(most, found.unknown.size()); ++i) {
    const NotUnderstood& unknown = found.unknown[i];
    json["unknown"].push_back(
        {unknown.in_b ? "B" : "A", Text(unknown.layer), Text(unknown.what), Text(unknown.why)});
  }
  json["channels"] = found.channels;
  json["silent"] = found.silent_channels;
  json["multiply_adds"] = found.multiply_adds;
  return json;
}

Json Piece(const VerifiedPair& verified, std::size_t most) {
  Json json = {{"a", Text(verified.a)}, {"b", Text(verified.b)}};
  if (verified.error) json["error"] = Describe(*verified.error);
  if (verified.verification) json["run"] = ToJson(*verified.verification, most);
  if (verified.second_opinion) json["opinion"] = ToJson(*verified.second_opinion);
  return json;
}

}  // namespace ckpt::cli::page
