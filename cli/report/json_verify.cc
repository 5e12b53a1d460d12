#include "cli/report/json_pieces.h"

namespace ckpt::cli {
namespace {

Json StepOf(const StepDifference& step) {
  return {{"layer", JsonText(step.layer_b)},
          {"layer_a", JsonText(step.layer_a)},
          {"operation", step.operation},
          {"place", step.place},
          {"channel", step.channel ? Json(*step.channel) : Json(nullptr)},
          {"value_a", JsonNumber(step.value_a)},
          {"value_b", JsonNumber(step.value_b)},
          {"bound", JsonNumber(step.bound)},
          {"ratio", JsonNumber(step.ratio)}};
}
Json StepOf(const std::optional<StepDifference>& step) {
  return step ? StepOf(*step) : Json(nullptr);
}

Json InputOf(const UsedInput& input) {
  return {{"name", JsonText(input.name_a)},
          {"name_b", JsonText(input.name_b)},
          {"shape", input.shape},
          {"values", input.drawn ? "drawn" : "given"},
          {"axes_reordered", input.permuted}};
}

Json OutputOf(const OutputDifference& output) {
  return {{"name", JsonText(output.name_a)},       {"name_b", JsonText(output.name_b)},
          {"max_abs", JsonNumber(output.max_abs)}, {"noise", JsonNumber(output.noise)},
          {"size", JsonNumber(output.size)},       {"place", output.place}};
}

Json OutputOf(const FrameworkOutput& output) {
  return {{"name", JsonText(output.name)},
          {"size", JsonNumber(output.size)},
          {"max_abs", JsonNumber(output.max_abs)}};
}

Json OpinionOf(const SecondOpinion& opinion) {
  Json sides = Json::array(), between = Json::array();
  for (const FrameworkRun& run : opinion.sides) {
    Json outputs = Json::array();
    for (const FrameworkOutput& output : run.outputs) {
      Json one = OutputOf(output);
      one["allowed"] = JsonNumber(output.allowed);
      one["agrees"] = output.max_abs ? Json(output.agrees()) : Json(nullptr);
      outputs.push_back(std::move(one));
    }
    sides.push_back({{"side", run.of_b ? "b" : "a"},
                     {"version", run.version.empty() ? Json(nullptr) : JsonText(run.version)},
                     {"not_run", run.not_run.empty() ? Json(nullptr) : JsonText(run.not_run)},
                     {"outputs", std::move(outputs)}});
  }
  for (const FrameworkOutput& output : opinion.between) between.push_back(OutputOf(output));
  return {{"framework", opinion.framework},
          {"sides", std::move(sides)},
          {"between", std::move(between)}};
}

}  // namespace

void AddVerification(Json& json, const Verification& verification) {
  json["verdict"] = Name(verification.verdict);
  json["reason"] = verification.reason.empty() ? Json(nullptr) : JsonText(verification.reason);
  json["inputs"] = json["outputs"] = Json::array();
  for (const UsedInput& input : verification.inputs) json["inputs"].push_back(InputOf(input));
  json["unread_inputs"] = Json::array();
  for (const UnreadInput& input : verification.unread_inputs) {
    json["unread_inputs"].push_back(
        {{"side", input.in_b ? "b" : "a"}, {"name", JsonText(input.name)}});
  }
  for (const OutputDifference& output : verification.outputs)
    json["outputs"].push_back(OutputOf(output));
  json["steps"] = {{"compared", verification.steps_compared},
                   {"factor", verification.factor},
                   {"worst", StepOf(verification.worst)},
                   {"first_beyond", StepOf(verification.first_beyond)}};
  json["unknown"] = Json::array();
  for (const NotUnderstood& unknown : verification.unknown) {
    json["unknown"].push_back({{"side", unknown.in_b ? "b" : "a"},
                               {"layer", JsonText(unknown.layer)},
                               {"operation", JsonText(unknown.what)},
                               {"reason", JsonText(unknown.why)}});
  }
  json["channels"] = verification.channels;
  json["silent_channels"] = verification.silent_channels;
  json["multiply_adds"] = verification.multiply_adds;
}

Json ToJson(const VerifiedPair& verified) {
  Json json = WithSchema("verify");
  json["a"] = JsonText(verified.a);
  json["b"] = JsonText(verified.b);
  json["status"] = verified.error ? "error" : "ok";
  json["error"] = verified.error ? JsonError(*verified.error) : Json(nullptr);
  if (verified.verification) AddVerification(json, *verified.verification);
  if (verified.second_opinion) json["second_opinion"] = OpinionOf(*verified.second_opinion);
  return json;
}

}  // namespace ckpt::cli
