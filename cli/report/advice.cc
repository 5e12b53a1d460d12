#include "cli/report/advice.h"

namespace ckpt::cli {

std::string_view OptionOf(Setting setting) noexcept {
  switch (setting) {
    case Setting::kNone:
      return "";
    case Setting::kRename:
      return "--rename";
    case Setting::kCast:
      return "--cast";
    case Setting::kStrict:
      return "--strict";
    case Setting::kAverages:
      return "--ema";
    case Setting::kCloseTrainingMode:
      return "--close-training-mode";
    case Setting::kKeepTrainingState:
      return "--keep-training-state";
    case Setting::kFeed:
      return "--feed";
    case Setting::kAllData:
      return "--checksums";
    case Setting::kParents:
      return "--parents";
    case Setting::kData:
      return "--data";
  }
  return "";
}

namespace {

// Of reading, folding and auditing; those of serving follow.
std::string_view WordsOf(Remedy remedy) noexcept {
  switch (remedy) {
    case Remedy::kMoreMemory:
      return "--memory SIZE raises this limit";
    case Remedy::kReplaceOutput:
      return "--force replaces it";
    case Remedy::kNameFormat:
      return "--from says which one it is";
    case Remedy::kNameFramework:
      return "--input-names can say";
    case Remedy::kSeparateWeights:
      return "--to saved-model keeps the weights beside it";
    case Remedy::kWithoutGraph:
      return "leave out --graph";
    case Remedy::kAllowFindings:
      return "--allow-findings writes what is there";
    case Remedy::kRename:
      return "--rename gives it another";
    case Remedy::kGiveLayout:
      return "--rename can give its \"layout\"";
    case Remedy::kGiveMultiplier:
      return "--rename can give its \"layout\" (OIHW, with a \"multiplier\" where it is depthwise)";
    case Remedy::kGiveFlattened:
      return "--rename can give its \"layout\" and \"flattened_channels\"";
    case Remedy::kGiveLayoutAsRead:
      return "--rename can give its \"layout\", and its outputs stay in their order";
    case Remedy::kGiveEpsilon:
      return "--epsilon gives it";
    case Remedy::kGivePair:
      return "--pairs can say";
    case Remedy::kGivePairLayout:
      return "--pairs can give the layout";
    case Remedy::kGivePairOrRename:
      return "fold with --pairs or rename one of the layers";
    case Remedy::kAllowPairing:
      return "--pairs, --pair-by-name or --pair-by-order can say";
    case Remedy::kPairWithoutOrder:
      return "--pair-by-name and --pairs do without";
    case Remedy::kProveByGraph:
      return "a graph proves them: --graph with the whole model";
    case Remedy::kProveByExport:
      return "a graph proves them: torch.onnx.export(model.eval(), (example,), \"model.onnx\"), "
             "then --graph model.onnx";
    case Remedy::kCloseTrainingMode:
      return "--close-training-mode makes it use its moving statistics";
    case Remedy::kNameInputs:
      return "--inputs says what is given";
    case Remedy::kNameOutputs:
      return "--outputs names what is to be served";
    case Remedy::kNameEnds:
      return "--inputs and --outputs name what is given and what is served";
    case Remedy::kFeedPlaceholders:
      return "--feed gives placeholders values";
    case Remedy::kRecordEpsilon:
      return "--epsilon and --graph give it";
    case Remedy::kRecordMomentum:
      return "--momentum and --graph give it";
    case Remedy::kCalibrateAll:
      return "ckpt calibrate --all computes them";
    case Remedy::kWriteAverages:
      return "ckpt convert --ema writes the averages";
    case Remedy::kNone:
    case Remedy::kFeedBoolean:
    case Remedy::kFeedValue:
      break;
  }
  return "";
}

}  // namespace

std::string AdviceOf(Remedy remedy, const std::string& name) {
  const std::string fed = "--feed " + (name.empty() ? "NAME" : name);
  if (remedy == Remedy::kFeedBoolean) return fed + "=false (or true) says so";
  if (remedy == Remedy::kFeedValue) return fed + "=VALUE says which one serves";
  return std::string(WordsOf(remedy));
}

std::string WithAdvice(std::string text, Remedy remedy, const std::string& name) {
  const std::string advice = AdviceOf(remedy, name);
  if (advice.empty()) return text;
  return text.empty() ? advice : std::move(text) + "; " + advice;
}

std::string MessageOf(const Error& error) {
  std::string message = WithAdvice(error.message, error.remedy, error.remedy_for);
  if (error.setting == Setting::kNone) return message;
  return std::string(OptionOf(error.setting)) + ": " + message;
}

std::string FixOf(const Finding& finding) { return WithAdvice(finding.fix, finding.rule->remedy); }

std::string TextOf(const Rule& rule) {
  const std::string_view option = OptionOf(rule.needs);
  std::string found = option.empty() ? "" : "found with " + std::string(option);
  const std::string line = WithAdvice(std::move(found), rule.remedy);
  return std::string(rule.text) + (line.empty() ? "" : "\nIn ckpt: " + line + ".\n");
}

}  // namespace ckpt::cli
