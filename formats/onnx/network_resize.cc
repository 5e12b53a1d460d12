// Resize and its elder, Upsample.
#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "formats/onnx/network_step.h"

namespace ckpt::formats::onnx {
namespace {

using network::kNoValue;
using network::Sizes;
using network::ValueId;

std::optional<network::Resize::Mode> ModeOf(const std::string& word) {
  using Mode = network::Resize::Mode;
  if (word == "nearest") return Mode::kNearest;
  if (word == "linear" || word == "bilinear") return Mode::kLinear;
  if (word == "cubic") return Mode::kCubic;
  return std::nullopt;
}

std::optional<network::Resize::Place> PlaceOf(const std::string& word) {
  using Place = network::Resize::Place;
  if (word == "half_pixel") return Place::kHalfPixel;
  if (word == "half_pixel_symmetric") return Place::kHalfPixelSymmetric;
  if (word == "pytorch_half_pixel") return Place::kPytorchHalfPixel;
  if (word == "align_corners") return Place::kAlignCorners;
  if (word == "asymmetric") return Place::kAsymmetric;
  if (word == "tf_half_pixel_for_nn") return Place::kHalfPixelNearest;
  return std::nullopt;
}

std::optional<network::Resize::Rounding> RoundingOf(const std::string& word) {
  using Rounding = network::Resize::Rounding;
  if (word == "round_prefer_floor") return Rounding::kHalfDown;
  if (word == "round_prefer_ceil") return Rounding::kHalfUp;
  if (word == "floor") return Rounding::kFloor;
  if (word == "ceil") return Rounding::kCeil;
  return std::nullopt;
}

bool IsEmpty(const Step& step, std::size_t input) {
  if (!step.Given(input)) return true;
  const network::PartialShape& shape = step.ShapeOf(step.Input(input));
  return shape && shape->size() == 1 && shape->front() == 0;
}

// The one scale that keeps the ratio of sizes, where whole sizes come of it; absent: they do not,
// or the sizes are not known.
std::optional<std::vector<double>> KeepRatio(const Step& step, const network::Resize& resize,
                                             const Sizes& wanted, bool larger) {
  const network::PartialShape& shape = step.ShapeOf(step.Input(0));
  if (!shape || wanted.empty()) return std::nullopt;
  const auto rank = static_cast<std::int64_t>(shape->size());
  std::vector<double> lengths;
  double scale = larger ? 0 : HUGE_VAL;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    std::int64_t axis = resize.axes.empty() ? static_cast<std::int64_t>(i) : resize.axes[i];
    if (axis < 0) axis += rank;
    if (axis < 0 || axis >= rank || (*shape)[static_cast<std::size_t>(axis)] < 1) {
      return std::nullopt;
    }
    lengths.push_back(static_cast<double>((*shape)[static_cast<std::size_t>(axis)]));
    const double ratio = static_cast<double>(wanted[i]) / lengths.back();
    scale = larger ? std::max(scale, ratio) : std::min(scale, ratio);
  }
  for (const double length : lengths) {
    // The size is rounded, that of given scales rounded down.
    if (std::floor(length * scale) != std::floor(length * scale + 0.5)) return std::nullopt;
  }
  return std::vector<double>(wanted.size(), scale);
}

Outcome BySizes(Step& step, network::Resize resize, std::size_t input) {
  const std::string policy = step.Text("keep_aspect_ratio_policy", "stretch");
  const auto sizes = step.Integers(input);
  if (policy == "not_larger" || policy == "not_smaller") {
    const auto scales =
        sizes ? KeepRatio(step, resize, *sizes, policy == "not_smaller") : std::nullopt;
    if (!scales) return Cannot("it keeps the ratio of sizes that are not known, or rounds them");
    resize.scales = *scales;
    return step.Yield(resize, {step.Input(0)});
  }
  if (policy != "stretch") return Cannot("how it keeps the ratio of sizes is not known");
  if (!sizes) return step.Yield(resize, {step.Input(0), step.Input(input)});
  resize.sizes = *sizes;
  return step.Yield(resize, {step.Input(0)});
}

Outcome ByScales(Step& step, network::Resize resize, std::size_t input) {
  const auto scales = step.Elements(input);
  if (!scales) return step.Yield(resize, {step.Input(0), step.Input(input)});
  if (std::any_of(scales->begin(), scales->end(), [](double scale) { return !(scale > 0); })) {
    return Cannot("its scales are not above 0");
  }
  resize.scales = *scales;
  return step.Yield(resize, {step.Input(0)});
}

// As all of them do before operator set 11.
std::optional<network::Resize> Asymmetric(const Step& step) {
  const auto mode = ModeOf(step.Text("mode", "nearest"));
  if (!mode || *mode == network::Resize::Mode::kCubic) return std::nullopt;
  network::Resize resize;
  resize.mode = *mode;
  resize.place = network::Resize::Place::kAsymmetric;
  resize.rounding = network::Resize::Rounding::kFloor;
  return resize;
}

Outcome Resize(Step& step) {
  if (step.opset() < 11) {
    const auto resize = Asymmetric(step);
    if (!resize || !step.Given(1)) return Cannot("its mode is not known, or it lacks its scales");
    return ByScales(step, *resize, 1);
  }
  const std::string place = step.Text("coordinate_transformation_mode", "half_pixel");
  if (place == "tf_crop_and_resize") return Cannot("it crops by a region of interest");
  const auto mode = ModeOf(step.Text("mode", "nearest"));
  const auto where = PlaceOf(place);
  const auto rounding = RoundingOf(step.Text("nearest_mode", "round_prefer_floor"));
  if (!mode || !where || !rounding) return Cannot("its mode is not known");
  network::Resize resize;
  resize.mode = *mode;
  resize.place = *where;
  resize.rounding = *rounding;
  resize.axes = step.Ints("axes");
  resize.cubic = step.Float("cubic_coeff_a", -0.75F);
  resize.exclude_outside = step.Int("exclude_outside", 0) != 0;
  resize.antialias = step.Int("antialias", 0) != 0;
  if (!IsEmpty(step, 3)) return BySizes(step, std::move(resize), 3);
  if (IsEmpty(step, 2)) return Cannot("it has neither sizes nor scales");
  return ByScales(step, std::move(resize), 2);
}

Outcome Upsample(Step& step) {
  auto resize = Asymmetric(step);
  if (!resize) return Cannot("its mode is not known");
  if (step.opset() >= 9) {
    if (!step.Given(1)) return Cannot("it lacks its scales");
    return ByScales(step, *std::move(resize), 1);
  }
  if (step.opset() >= 7) {
    resize->scales = step.Floats("scales");
  } else {
    resize->axes = {2, 3};
    resize->scales = {step.Float("height_scale", 0.0F), step.Float("width_scale", 0.0F)};
  }
  const auto sound = [](double scale) { return scale > 0; };
  if (resize->scales.empty() || !std::all_of(resize->scales.begin(), resize->scales.end(), sound)) {
    return Cannot("its scales are not above 0");
  }
  return step.Yield(*std::move(resize), {step.Input(0)});
}

constexpr std::array kResizeOperators = {
    OperatorRule{"Resize", Resize},
    OperatorRule{"Upsample", Upsample},
};

}  // namespace

std::span<const OperatorRule> ResizeOperators() { return kResizeOperators; }

}  // namespace ckpt::formats::onnx
