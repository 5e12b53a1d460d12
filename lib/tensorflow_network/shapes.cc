// Operations that read shapes or make values of a shape.
// Source: tensorflow/core/ops/{array,math}_ops.cc.
#include "tensorflow_network/node.h"

namespace ckpt::tf_network {
namespace {

using network::Axes;
using network::Reduction;

Outcome ShapeOfInput(Node& node) { return node.Yield(network::ShapeOf{}, {node.Input(0)}); }

Outcome ShapeN(Node& node) {
  if (node.results() > node.inputs()) return NotUnderstood("it yields more than it reads");
  Values shapes;
  for (std::size_t i = 0; i < node.results(); ++i) {
    shapes.push_back(node.Add(network::ShapeOf{}, {node.Input(i)}));
  }
  return shapes;
}

Outcome Size(Node& node) {
  Reduction product;
  product.kind = Reduction::Kind::kProduct;
  product.axes.which = Axes::Which::kAll;
  product.keep = false;
  return node.Yield(product, {node.Add(network::ShapeOf{}, {node.Input(0)})});
}

Outcome RankOfInput(Node& node) {
  if (const auto rank = node.Rank(0)) {
    return Values{node.builder().AddInline(
        {{}, {static_cast<double>(*rank)}, ElementKind::kInteger}, node.op().name)};
  }
  const ValueId shape = node.Add(network::ShapeOf{}, {node.Input(0)});
  return node.Yield(network::Reshape{}, {node.Add(network::ShapeOf{}, {shape})});
}

// The shape as an attribute where it is known.
Outcome Reshape(Node& node) {
  network::Reshape reshape;
  const auto shape = node.Integers(1);
  if (!shape) return node.Yield(reshape, {node.Input(0), node.Input(1)});
  reshape.shape = *shape;
  return node.Yield(reshape, {node.Input(0)});
}

Outcome Fill(Node& node) {
  const auto value = node.Reals(1);
  if (value && value->size() == 1) {
    return node.Yield(network::Fill{value->front(), node.Kind(1)}, {node.Input(0)});
  }
  return node.Yield(network::Fill{}, {node.Input(0), node.Input(1)});
}

template <int kValue>
Outcome FilledLike(Node& node) {
  const ValueId shape = node.Add(network::ShapeOf{}, {node.Input(0)});
  return node.Yield(network::Fill{kValue, node.Kind(0)}, {shape});
}

Outcome Range(Node& node) { return node.Yield(network::Range{}, node.Inputs()); }

Outcome BroadcastTo(Node& node) {
  return node.Yield(network::BroadcastTo{}, {node.Input(0), node.Input(1)});
}

Outcome Tile(Node& node) { return node.Yield(network::Tile{}, {node.Input(0), node.Input(1)}); }

// What lies at most `lower` places below the diagonal of the last two axes and `upper` above it,
// all where they are negative; zeros instead of the rest. As causal masks are made.
Outcome BandPart(Node& node) {
  constexpr std::int64_t kLargest = std::int64_t{1} << 20;
  const auto lower = node.Integer(1), upper = node.Integer(2);
  const PartialShape shape = node.Shape(0);
  if (!lower || !upper || !shape || shape->size() < 2) {
    return NotUnderstood("its band or its shape is not known");
  }
  const std::int64_t rows = (*shape)[shape->size() - 2], columns = shape->back();
  if (rows < 1 || columns < 1 || rows > kLargest || columns > kLargest / rows) {
    return NotUnderstood("its last two sizes are not known, or too large");
  }
  network::InlineConstant band{{rows, columns}, {}, ElementKind::kBoolean};
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      band.elements.push_back((*lower < 0 || i - j <= *lower) && (*upper < 0 || j - i <= *upper));
    }
  }
  const ValueId inside = node.builder().AddInline(std::move(band));
  const ValueId zero = node.builder().AddScalar(0, node.Kind(0));
  return node.Yield(network::Select{}, {inside, node.Input(0), zero});
}

constexpr Row kShapeRows[] = {
    {"Shape", 1, ShapeOfInput},
    {"ShapeN", 1, ShapeN},
    {"Size", 1, Size},
    {"Rank", 1, RankOfInput},
    {"Reshape", 2, Reshape},
    {"Fill", 2, Fill},
    {"ZerosLike", 1, FilledLike<0>},
    {"OnesLike", 1, FilledLike<1>},
    {"Range", 3, Range},
    {"BroadcastTo", 2, BroadcastTo},
    {"Tile", 2, Tile},
    {"MatrixBandPart", 3, BandPart},
};

}  // namespace

std::span<const Row> ShapeRows() { return kShapeRows; }

}  // namespace ckpt::tf_network
