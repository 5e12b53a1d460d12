#include "cli/report/text_pieces.h"
#include "cli/report/text_table.h"

namespace ckpt::cli {
namespace {

std::string Quoted(const std::string& name) { return "\"" + EscapeForDisplay(name) + "\""; }

std::string PlaceToText(const std::vector<std::int64_t>& place) {
  std::string out = "[";
  for (const std::int64_t index : place)
    out += (out.size() > 1 ? ", " : "") + std::to_string(index);
  return out + "]";
}

std::string StepToText(const StepDifference& step) {
  std::string out = Quoted(step.layer_b) + " of B (" + step.operation + ") beside " +
                    Quoted(step.layer_a) + " of A";
  if (step.channel) out += ", channel " + std::to_string(*step.channel);
  return out + " at " + PlaceToText(step.place) + ": " + FormatNumber(step.value_a) + " in A, " +
         FormatNumber(step.value_b) + " in B, " + ThreeDigits(step.ratio) + " times the bound";
}

std::string OutputToText(const OutputDifference& output) {
  std::string out = "output " + Quoted(output.name_a);
  if (output.name_b != output.name_a) out += " = " + Quoted(output.name_b);
  return out + ": largest difference " + ThreeDigits(output.max_abs) + " at " +
         PlaceToText(output.place) + " (largest value " + ThreeDigits(output.size) +
         ", rounding of A's own float32 run " + ThreeDigits(output.noise) + ")\n";
}

std::string_view VerdictColorOf(Verdict verdict, const Style& style) {
  if (verdict == Verdict::kDifferent) return style.red;
  return verdict == Verdict::kCannotTell ? style.yellow : style.green;
}

std::string FactorToText(const Verification& verification) {
  if (verification.factor == 0) return "every step yields the same values";
  std::string out = "every step is within ";
  out += verification.factor == 1 ? "the bound of constants that were rounded once"
                                  : "5 times the bound of rounding: constants of another tool's "
                                    "arithmetic in float32";
  if (verification.worst) {
    out += "; the worst is " + Quoted(verification.worst->layer_b) + " with " +
           ThreeDigits(verification.worst->ratio) + " of it";
  }
  return out;
}

std::string OpinionToText(const SecondOpinion& opinion) {
  std::string out;
  for (const FrameworkRun& run : opinion.sides) {
    const std::string_view side = run.of_b ? "B" : "A";
    if (!run.not_run.empty()) {
      out += opinion.framework + " did not run " + std::string(side) + ": " +
             EscapeForDisplay(run.not_run) + "\n";
    }
    for (const FrameworkOutput& output : run.outputs) {
      out += opinion.framework + " " + EscapeForDisplay(run.version) + " on " + std::string(side) +
             ": " + Quoted(output.name);
      out += output.max_abs ? " differs from ours by " + ThreeDigits(*output.max_abs) +
                                  ", rounding explains " + ThreeDigits(output.allowed)
                            : std::string(" is there, and nothing of ours to hold it against");
      out += "\n";
    }
  }
  for (const FrameworkOutput& output : opinion.between) {
    out += "between its A and its B: " + Quoted(output.name) + " differs by " +
           ThreeDigits(*output.max_abs) + " (largest value " + ThreeDigits(output.size) + ")\n";
  }
  return out;
}

}  // namespace

std::string ToText(const VerifiedPair& verified, const Style& style) {
  if (!verified.verification) return {};
  const Verification& found = *verified.verification;
  std::string out;
  for (const UsedInput& input : found.inputs) {
    out += "input " + Quoted(input.name_a);
    if (input.name_b != input.name_a) out += " = " + Quoted(input.name_b);
    out += " " + PlaceToText(input.shape) + (input.drawn ? ", drawn" : ", as given");
    out += std::string(input.permuted ? ", its axes in another order in B" : "") + "\n";
  }
  for (const UnreadInput& input : found.unread_inputs) {
    out += "input " + Quoted(input.name) + " of " + (input.in_b ? "B" : "A") +
           " is read by nothing, and the other file does not have it\n";
  }
  for (const OutputDifference& output : found.outputs) out += OutputToText(output);
  if (found.channels > 0) {
    out += std::to_string(found.silent_channels) + " of " + std::to_string(found.channels) +
           " channels behind rectifiers were never active\n";
  }
  if (found.steps_compared > 0) {
    out += std::to_string(found.steps_compared) + " steps compared";
    const bool all = found.verdict == Verdict::kSame || found.verdict == Verdict::kSameUpToRounding;
    out += (all ? "; " + FactorToText(found) : std::string()) + "\n";
  }
  if (found.first_beyond) {
    out += "first step beyond its bound: " + StepToText(*found.first_beyond) + "\n";
  }
  if (verified.second_opinion) out += OpinionToText(*verified.second_opinion);
  out += Painted(Name(found.verdict), VerdictColorOf(found.verdict, style), style);
  if (!found.reason.empty()) out += ": " + EscapeForDisplay(found.reason);
  return out + "\n";
}

}  // namespace ckpt::cli
