// Source: tensorflow/core/kernels/image/{resize_bilinear,resize_nearest_neighbor,resize_bicubic}_op
// .cc, core/util/image_resizer_state.h.
#include <cmath>

#include "tensorflow_network/node.h"

namespace ckpt::tf_network {
namespace {

using network::Resize;

struct Flags {
  bool align_corners, half_pixel;
};
Flags FlagsOf(const Node& node) {
  return {node.Bool("align_corners", false), node.Bool("half_pixel_centers", false)};
}

// Height and width, behind the examples and before the channels.
Outcome ResizeBy(Node& node, Resize resize) {
  resize.axes = {1, 2};
  const auto sizes = node.Integers(1);
  if (!sizes || sizes->size() != 2)
    return node.YieldOfRank(4, resize, {node.Input(0), node.Input(1)});
  resize.sizes = *sizes;
  return node.YieldOfRank(4, resize, {node.Input(0)});
}

Outcome Nearest(Node& node) {
  const Flags flags = FlagsOf(node);
  Resize resize;
  resize.mode = Resize::Mode::kNearest;
  resize.rounding = flags.align_corners ? Resize::Rounding::kHalfUp : Resize::Rounding::kFloor;
  resize.place = flags.align_corners ? Resize::Place::kAlignCorners
                 : flags.half_pixel  ? Resize::Place::kHalfPixelNearest
                                     : Resize::Place::kAsymmetric;
  if (flags.align_corners && flags.half_pixel) return NotUnderstood("both of its rules of place");
  return ResizeBy(node, resize);
}

Outcome Bilinear(Node& node) {
  const Flags flags = FlagsOf(node);
  if (flags.align_corners && flags.half_pixel) return NotUnderstood("both of its rules of place");
  Resize resize;
  resize.mode = Resize::Mode::kLinear;
  resize.place = flags.align_corners ? Resize::Place::kAlignCorners
                 : flags.half_pixel  ? Resize::Place::kHalfPixel
                                     : Resize::Place::kAsymmetric;
  return ResizeBy(node, resize);
}

// TensorFlow rounds the place between two elements to 1/1024 and reads its weights from a table:
// the cubic is what the vocabulary says where no place needs rounding.
bool PlacesAreExact(std::int64_t size, std::int64_t wanted, const Flags& flags) {
  if (size < 1 || wanted < 1 || wanted > 1'000'000) return false;
  const bool corners = flags.align_corners && wanted > 1;
  const double scale = corners ? static_cast<double>(size - 1) / static_cast<double>(wanted - 1)
                               : static_cast<double>(size) / static_cast<double>(wanted);
  for (std::int64_t i = 0; i < wanted; ++i) {
    const double place = flags.half_pixel ? (static_cast<double>(i) + 0.5) * scale - 0.5
                                          : static_cast<double>(i) * scale;
    if (std::floor(place * 1024) != place * 1024) return false;
  }
  return true;
}

Outcome Bicubic(Node& node) {
  const Flags flags = FlagsOf(node);
  if (flags.align_corners && flags.half_pixel) return NotUnderstood("both of its rules of place");
  const auto sizes = node.Integers(1);
  const PartialShape& data = node.Shape(0);
  const bool exact = sizes && sizes->size() == 2 && data && data->size() == 4 &&
                     PlacesAreExact((*data)[1], (*sizes)[0], flags) &&
                     PlacesAreExact((*data)[2], (*sizes)[1], flags);
  if (!exact) return NotUnderstood("its weights are those of places rounded to 1/1024");
  Resize resize;
  resize.mode = Resize::Mode::kCubic;
  resize.place = flags.align_corners ? Resize::Place::kAlignCorners
                 : flags.half_pixel  ? Resize::Place::kHalfPixel
                                     : Resize::Place::kAsymmetric;
  // Keys' cubic, and no weight to what lies outside, go with the half pixels.
  resize.cubic = flags.half_pixel ? -0.5 : -0.75;
  resize.exclude_outside = flags.half_pixel;
  return ResizeBy(node, resize);
}

constexpr Row kResizingRows[] = {
    {"ResizeNearestNeighbor", 2, Nearest},
    {"ResizeBilinear", 2, Bilinear},
    {"ResizeBicubic", 2, Bicubic},
};

}  // namespace

std::span<const Row> ResizeRows() { return kResizingRows; }

}  // namespace ckpt::tf_network
