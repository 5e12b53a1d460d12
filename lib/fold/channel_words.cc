#include "fold/channel_words.h"

#include "fold/reason.h"

namespace ckpt {

std::string Described(const Layer& layer) {
  if (layer.op_type.empty()) return Quoted(layer.name);
  return Quoted(layer.name) + " (" + layer.op_type + ")";
}

std::string WhyNoShift(network::ShiftBound bound, const Layer& layer) {
  using network::ShiftBound;
  const std::string name = Quoted(layer.name);
  switch (bound) {
    case ShiftBound::kNone:
      return {};
    case ShiftBound::kZerosPad:
      return name + " pads with zeros";
    case ShiftBound::kBorderTaps:
      return "at the borders of " + name + " fewer elements of the kernel take part";
    case ShiftBound::kSums:
      return name + " sums elements";
    case ShiftBound::kMultiplies:
      return name + " multiplies";
    case ShiftBound::kBendsAtZero:
      return name + " is another function below 0";
    case ShiftBound::kTakesNorm:
      return name + " takes norms";
  }
  return {};
}

std::string WhyNotNegative(network::ScaleBound bound, const Layer& layer) {
  using network::ScaleBound;
  const std::string name = Quoted(layer.name);
  switch (bound) {
    case ScaleBound::kNone:
      return {};
    case ScaleBound::kTakesMaximum:
      return name + " takes maxima";
    case ScaleBound::kTakesMinimum:
      return name + " takes minima";
    case ScaleBound::kBendsAtZero:
      return name + " is another function below 0";
    case ScaleBound::kTakesNorm:
      return name + " takes norms";
  }
  return {};
}

std::string WhyStopped(network::StopReason reason, const Layer& layer) {
  using network::StopReason;
  const std::string between = Described(layer) + " lies between";
  switch (reason) {
    case StopReason::kMixes:
      return between + ", which mixes the channels";
    case StopReason::kNormalizes:
      return between + ", which divides by a statistic of what it reads";
    case StopReason::kOffsets:
      return between + ", which adds values of its own";
    case StopReason::kAxisLost:
      return between + ", which leaves no axis to the channels";
    case StopReason::kSizesUnknown:
      return between + ", and the sizes that tell where it takes the channels are not known";
    case StopReason::kNotLinear:
    case StopReason::kParameter:
    case StopReason::kNotData:
    case StopReason::kIntegers:
    case StopReason::kUnknown:
      break;
  }
  return between;
}

}  // namespace ckpt
