// Operators that pick elements by their places, and values that a graph makes of shapes.
#include <array>
#include <utility>

#include "formats/onnx/network_step.h"

namespace ckpt::formats::onnx {
namespace {

using network::ElementKind;
using network::ValueId;

Outcome Gather(Step& step) {
  return step.Yield(network::Gather{step.Int("axis", 0)}, {step.Input(0), step.Input(1)});
}
Outcome GatherNd(Step& step) {
  return step.Yield(network::GatherNd{step.Int("batch_dims", 0)}, {step.Input(0), step.Input(1)});
}
Outcome GatherElements(Step& step) {
  return step.Yield(network::GatherElements{step.Int("axis", 0)}, {step.Input(0), step.Input(1)});
}

Outcome ScatterNd(Step& step) {
  const std::string reduction = step.Text("reduction", "none");
  if (reduction != "none" && reduction != "add") {
    return Cannot("it combines elements by \"" + reduction + "\"");
  }
  return step.Yield(network::ScatterNd{reduction == "add"},
                    {step.Input(0), step.Input(1), step.Input(2)});
}

// The depth may be a vector of one.
Outcome OneHot(Step& step) {
  return step.Yield(network::OneHot{step.Int("axis", -1)},
                    {step.Input(0), step.Input(1), step.Input(2)});
}

Outcome Shape(Step& step) {
  network::ShapeOf shape;
  if (step.opset() >= 15) {
    shape.begin = step.Int("start", 0);
    shape.end = step.Int("end", INT64_MAX);
  }
  return step.Yield(shape, {step.Input(0)});
}

Outcome Size(Step& step) {
  const ValueId shape = step.Inner(network::ShapeOf{}, {step.Input(0)});
  network::Reduction product;
  product.kind = network::Reduction::Kind::kProduct;
  product.axes.which = network::Axes::Which::kAll;
  product.keep = false;
  return step.Yield(product, {shape});
}

Outcome Range(Step& step) {
  return step.Yield(network::Range{}, {step.Input(0), step.Input(1), step.Input(2)});
}

constexpr std::array kSelectionOperators = {
    OperatorRule{"Gather", Gather},
    OperatorRule{"GatherND", GatherNd},
    OperatorRule{"GatherElements", GatherElements},
    OperatorRule{"ScatterND", ScatterNd},
    OperatorRule{"OneHot", OneHot},
    OperatorRule{"Shape", Shape},
    OperatorRule{"Size", Size},
    OperatorRule{"Range", Range},
};

}  // namespace

std::span<const OperatorRule> SelectionOperators() { return kSelectionOperators; }

}  // namespace ckpt::formats::onnx
