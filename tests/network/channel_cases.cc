#include "tests/network/channel_cases.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <type_traits>
#include <utility>

#include "ckpt/network/operation_table.h"

namespace ckpt::network::reference {
namespace {

using execution::reference::DataIndex;
using execution::reference::KernelShape;
using execution::reference::SpanOf;

template <class T>
using Of = std::type_identity<T>;

class Drawing {
 public:
  explicit Drawing(unsigned seed) : engine_(seed) {}

  template <std::size_t... i>
  std::vector<Case> All(std::index_sequence<i...>) {
    for (int trial = 0; trial < 8; ++trial) {
      trial_ = trial;
      (Draw(Of<std::variant_alternative_t<i, Computation>>{}), ...);
    }
    return std::move(cases_);
  }

 private:
  std::int64_t Integer(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(engine_);
  }
  bool Coin() { return Integer(0, 1) == 1; }
  Array Data(const Sizes& shape) { return execution::reference::Random(shape, engine_); }
  Array Positive(const Sizes& shape) {
    Array array = Data(shape);
    for (double& element : array.elements) element = 0.5 + std::abs(element);
    return array;
  }
  static Array Integers(const Sizes& values, Sizes shape = {}) {
    Array array = Zeros(shape.empty() ? Sizes{static_cast<std::int64_t>(values.size())} : shape);
    array.elements.assign(values.begin(), values.end());
    array.kind = ElementKind::kInteger;
    return array;
  }
  Array Places(const Sizes& shape, std::int64_t size) {
    Array array = Zeros(shape);
    for (double& element : array.elements) element = static_cast<double>(Integer(0, size - 1));
    array.kind = ElementKind::kInteger;
    return array;
  }
  Sizes Shape(std::size_t rank) {
    Sizes shape;
    for (std::size_t i = 0; i < rank; ++i) shape.push_back(Integer(2, 4));
    return shape;
  }
  std::int64_t Axis(std::size_t rank) {
    const auto count = static_cast<std::int64_t>(rank);
    return Integer(-count, count - 1);
  }
  void Add(Computation computation, std::vector<Array> operands, std::size_t result = 0) {
    cases_.push_back({std::move(computation), std::move(operands), result});
  }

  // Data of windows, channels and groups.
  struct Windows {
    std::int64_t examples = 2, ins = 2, outs = 2, groups = 1, channel_axis = -1;
    Sizes data, size, stride, dilation;
    Padding padding;
    bool first() const { return channel_axis == 1; }
    Sizes shape() const { return DataIndex(examples, ins, data, first()); }
  };
  Windows DrawWindows() {
    Windows w;
    w.channel_axis = Coin() ? 1 : -1;
    w.groups = Coin() ? 1 : 2;
    w.ins = w.groups * Integer(1, 3);
    w.outs = w.groups * Integer(1, 3);
    w.padding.rule = static_cast<PaddingRule>(Integer(0, 2));
    const bool padded = Coin();
    for (std::int64_t i = Integer(1, 2); i > 0; --i) {
      w.data.push_back(Integer(4, 6));
      w.size.push_back(Integer(1, 3));
      w.stride.push_back(Integer(1, 2));
      w.dilation.push_back(1);
      if (w.padding.rule != PaddingRule::kExplicit || !padded) continue;
      w.padding.before.push_back(std::min<std::int64_t>(w.size.back() - 1, Integer(0, 1)));
      w.padding.after.push_back(std::min<std::int64_t>(w.size.back() - 1, Integer(0, 1)));
    }
    return w;
  }

  void Draw(Of<Convolution>) {
    for (int i = 0; i < 5; ++i) {
      Windows w = DrawWindows();
      const auto layout = static_cast<KernelLayout>(i);
      if (layout == KernelLayout::kSpatialInMultiplier) {
        w.groups = w.ins;
        w.outs = w.ins * Integer(1, 2);
      }
      Add(Convolution{w.stride, w.dilation, w.padding, w.groups, layout, w.channel_axis, Coin()},
          {Data(w.shape()), Data(KernelShape(layout, w.size, w.ins, w.outs, w.groups)),
           Data({w.outs})});
    }
  }
  void Draw(Of<TransposedConvolution>) {
    for (const auto layout : {KernelLayout::kSpatialOutIn, KernelLayout::kInOutSpatial}) {
      const Windows w = DrawWindows();
      TransposedConvolution c;
      c.stride = w.stride;
      c.groups = w.groups;
      c.layout = layout;
      c.channel_axis = w.channel_axis;
      Add(c, {Data(w.shape()), Data(KernelShape(layout, w.size, w.ins, w.outs, w.groups)),
              Data({w.outs})});
    }
  }
  void Draw(Of<Pool>) {
    for (int i = 0; i < 6; ++i) {
      const Windows w = DrawWindows();
      Pool pool{static_cast<Pool::Kind>(i % 3), w.size, w.stride, w.dilation, w.padding};
      pool.ceil = Coin();
      pool.count_padding = i >= 3;
      pool.channel_axis = w.channel_axis;
      Add(pool, {Data(w.shape())});
    }
  }
  void Draw(Of<MatrixProduct>) {
    MatrixProduct c{Coin(), Coin(), 1.5};
    const std::int64_t m = 2, k = 3, n = 4, batch = 5;
    const Sizes a = c.transpose_a ? Sizes{k, m} : Sizes{m, k};
    const Sizes b = c.transpose_b ? Sizes{n, k} : Sizes{k, n};
    Sizes deep_a = a, deep_b = b;
    deep_a.insert(deep_a.begin(), batch);
    deep_b.insert(deep_b.begin(), batch);
    Add(c, {Data(a), Data(b)});
    Add(c, {Data(deep_a), Data(b)});
    Add(c, {Data(a), Data(deep_b)});
    Add(c, {Data(deep_a), Data(deep_b)});
    Add(c, {Data({k}), Data(b)});
    Add(c, {Data(deep_a), Data({k})});
    Add(c, {Data({k}), Data({k})});
  }
  void Draw(Of<Einsum>) {
    Add(Einsum{"abc,cd->abd"}, {Data({2, 3, 4}), Data({4, 5})});
    Add(Einsum{"abc,acd->dab"}, {Data({2, 3, 4}), Data({2, 4, 5})});
    Add(Einsum{"abc,d->bd"}, {Data({2, 3, 4}), Data({5})});
    Add(Einsum{"aab->ab"}, {Data({3, 3, 2})});
    Add(Einsum{"ab,bc,cd->ad"}, {Data({2, 3}), Data({3, 4}), Data({4, 5})});
  }
  void Draw(Of<BatchNormalization>) {
    const Sizes shape = Shape(3 + static_cast<std::size_t>(Coin()));
    BatchNormalization c;
    c.axis = Axis(shape.size());
    c.epsilon = 0.01;
    c.of_batch = trial_ % 4 == 3;
    const Sizes channels = {shape[Front(c.axis, shape.size())]};
    Add(c, {Data(shape), Data(channels), Data(channels), Data(channels), Positive(channels)});
  }
  void Draw(Of<LayerNormalization>) {
    LayerNormalization c;
    c.epsilon = 0.01;
    c.root_mean_square = Coin();
    Add(c, {Data({2, 3, 4}), Data({4}), Data({4})});
  }
  void Draw(Of<GroupNormalization>) {
    Add(GroupNormalization{2 * Integer(0, 1), 1, 0.01}, {Data({2, 4, 3}), Data({4}), Data({4})});
  }
  void Draw(Of<LocalResponseNormalization>) {
    Add(LocalResponseNormalization{3, -1, 0.5, 0.75, 1}, {Data({2, 3, 4})});
  }
  void Draw(Of<Unary>) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    for (int i = 0; i <= static_cast<int>(UnaryFunction::kIsInf); ++i) {
      const auto function = static_cast<UnaryFunction>(i);
      Array x = Data({2, 3, 4});
      if (function == UnaryFunction::kAcosh) {
        for (double& element : x.elements) element = 1.5 + std::abs(element);
      }
      Add(Unary{function, 0.3, 0.6}, {std::move(x)});
    }
    Add(Unary{UnaryFunction::kClip, 0, kInfinity}, {Data({2, 3, 4})});
    Add(Unary{UnaryFunction::kClip, -kInfinity, 0}, {Data({2, 3, 4})});
    Add(Unary{UnaryFunction::kClip, -kInfinity, kInfinity}, {Data({2, 3, 4})});
    Add(Unary{UnaryFunction::kClip, 0, 1}, {Data({2, 3, 4})});
    Add(Unary{UnaryFunction::kThresholded, 0, 0}, {Data({2, 3, 4})});
    Add(Unary{UnaryFunction::kThresholdedLeaky, 0, 0.2}, {Data({2, 3, 4})});
    Add(Unary{UnaryFunction::kShrink, 0, 0}, {Data({2, 3, 4})});
    Add(Unary{UnaryFunction::kPower, 1, 0}, {Positive({2, 3, 4})});
    Add(Unary{UnaryFunction::kLinear, 2, 0}, {Data({2, 3, 4})});
  }
  void Draw(Of<Binary>) {
    for (int i = 0; i <= static_cast<int>(BinaryFunction::kAtan2); ++i) {
      const Binary c{static_cast<BinaryFunction>(i)};
      Add(c, {Data({2, 3, 4}), Data({2, 3, 4})});
      Add(c, {Data({2, 3, 4}), Data({3, 1})});
      Add(c, {Data({3, 4}), Data({2, 1, 4})});
    }
    for (const auto function : {BinaryFunction::kAdd, BinaryFunction::kMaximum,
                                BinaryFunction::kMean, BinaryFunction::kMultiply}) {
      Add(Binary{function}, {Data({2, 3}), Data({2, 3}), Data({2, 3})});
    }
  }
  void Draw(Of<Select>) {
    Array condition = Places({2, 3, 4}, 2);
    condition.kind = ElementKind::kBoolean;
    Add(Select{}, {condition, Data({2, 3, 4}), Data({2, 3, 4})});
    Add(Select{}, {condition, Data({3, 4}), Data({2, 3, 4})});
  }
  void Draw(Of<Reduction>) {
    for (int i = 0; i <= static_cast<int>(Reduction::Kind::kAny); ++i) {
      Reduction c;
      c.kind = static_cast<Reduction::Kind>(i);
      c.keep = Coin();
      c.axes = {Axes::Which::kListed, {Axis(4), Axis(4)}, -1};
      Add(c, {Data(Shape(4))});
      c.axes = {Axes::Which::kSpatial, {}, Coin() ? 1 : -1};
      Add(c, {Data(Shape(4))});
      Add(c, {Data(Shape(3)), Integers({1})});
    }
    Reduction none;
    none.none_is_identity = Coin();
    Add(none, {Data(Shape(3))});
  }
  void Draw(Of<ArgExtreme>) { Add(ArgExtreme{Axis(3), Coin(), Coin(), Coin()}, {Data(Shape(3))}); }
  void Draw(Of<Softmax>) { Add(Softmax{Axis(3), Coin(), Coin()}, {Data(Shape(3))}); }
  void Draw(Of<CumulativeSum>) { Add(CumulativeSum{Axis(3), Coin(), Coin()}, {Data(Shape(3))}); }
  void Draw(Of<Reshape>) {
    const auto add = [&](const Sizes& from, const Sizes& to, bool of_example) {
      Reshape c;
      c.shape = to;
      c.of_example = of_example;
      Add(c, {Data(from)});
    };
    add({2, 3, 4, 5}, {60}, true);
    add({2, 1, 1, 5}, {5}, true);
    add({2, 3, 4, 5}, {12, 5}, true);
    add({2, 3, 4, 5}, {3, 20}, true);
    add({2, 3, 4, 5}, {-1, 5}, false);
    add({2, 3, 4, 5}, {24, 5}, false);
    add({2, 3, 4, 5}, {2, 3, 2, 2, 5}, false);
    add({2, 5}, {1, 1, 5}, true);
    add({2, 3, 4}, {4, 3}, true);
    add({2, 6}, {2, 3}, true);
    Reshape copied;
    copied.shape = {0, 0, -1};
    copied.zero_copies = true;
    Add(copied, {Data({2, 3, 4, 5})});
    Add(Reshape{}, {Data({2, 3, 4}), Integers({6, 4})});
  }
  void Draw(Of<MergeAxes>) {
    for (const auto& [first, last] : {std::pair(1, -1), std::pair(0, 1), std::pair(1, 2),
                                      std::pair(2, 2), std::pair(-2, -1), std::pair(2, 1)}) {
      Add(MergeAxes{first, last}, {Data({2, 3, 4, 5})});
      Add(MergeAxes{first, last}, {Data({2, 1, 1, 5})});
      Add(MergeAxes{first, last}, {Data({2, 5, 1, 1})});
    }
  }
  void Draw(Of<InsertAxes>) {
    Add(InsertAxes{{Axis(4)}}, {Data({2, 3, 4})});
    Add(InsertAxes{{1, -1}}, {Data({2, 3, 4})});
    Add(InsertAxes{}, {Data({2, 3}), Integers({0, 2})});
  }
  void Draw(Of<DropAxes>) {
    Add(DropAxes{{1}}, {Data({2, 1, 4, 1})});
    Add(DropAxes{{-1, 1}}, {Data({2, 1, 4, 1})});
    Add(DropAxes{}, {Data({2, 1, 4, 1, 3})});
    Add(DropAxes{}, {Data({2, 1, 4}), Integers({1})});
  }
  void Draw(Of<Transpose>) {
    Transpose c;
    c.order = {0, 1, 2, 3};
    std::shuffle(c.order.begin(), c.order.end(), engine_);
    Add(c, {Data({2, 3, 4, 5})});
    Add(Transpose{}, {Data({2, 3, 4})});
  }
  void Draw(Of<Concatenate>) {
    const std::int64_t axis = Axis(3);
    std::vector<Array> operands;
    for (int i = 0; i < 3; ++i) {
      Sizes shape = {2, 3, 4};
      shape[Front(axis, 3)] = Integer(2, 4);
      operands.push_back(Data(shape));
    }
    Add(Concatenate{axis}, std::move(operands));
  }
  void Draw(Of<Split>) {
    const Sizes sizes = {2, 1, 3};
    const auto result = static_cast<std::size_t>(Integer(0, 2));
    Add(Split{1, sizes}, {Data({2, 6, 4})}, result);
    Add(Split{-2}, {Data({2, 6, 4}), Integers(sizes)}, result);
  }
  void Draw(Of<Slice>) {
    Add(Slice{{1, 2}, {1, 0}, {-1, Slice::kToEnd}, {}}, {Data({2, 5, 5, 3})});
    Add(Slice{{-1}, {1}, {Slice::kToEnd}, {2}}, {Data({2, 3, 6})});
    Add(Slice{{1}, {-1}, {Slice::kToEnd}, {-1}}, {Data({2, 5, 3})});
    Add(Slice{{}, {0, 1}, {2, 3}, {}}, {Data({2, 5, 3})});
    Add(Slice{}, {Data({2, 5, 3}), Integers({1}), Integers({3}), Integers({-1})});
  }
  void Draw(Of<Pad>) {
    for (int i = 0; i <= static_cast<int>(Pad::Mode::kWrap); ++i) {
      Pad c;
      c.mode = static_cast<Pad::Mode>(i);
      c.axes = {1, 2};
      c.before = {1, 0};
      c.after = {2, 1};
      Add(c, {Data({2, 4, 4, 3})});
      Add(Pad{c.mode, {0, 0, 1}, {0, 0, 1}}, {Data({2, 3, 4})});
    }
    Add(Pad{Pad::Mode::kConstant, {1}, {1}, {-1}, 2}, {Data({2, 3, 4})});
    Add(Pad{Pad::Mode::kConstant, {-1, 0}, {0, -1}, {1, 2}}, {Data({2, 3, 4})});
    Array value = Zeros({});
    value.elements = {Coin() ? 0.0 : 1.5};
    Add(Pad{}, {Data({2, 3, 4}), Integers({0, 1, 0, 0, 1, 0}), value});
    Add(Pad{}, {Data({2, 3, 4}), Integers({1, 1}), value, Integers({-1})});
  }
  void Draw(Of<Resize>) {
    for (int i = 0; i < 12; ++i) {
      Resize c;
      c.mode = static_cast<Resize::Mode>(i % 3);
      c.place = static_cast<Resize::Place>(Integer(0, 3));
      if (i % 3 == 0 && Coin()) c.place = Resize::Place::kHalfPixelNearest;
      if (c.place == Resize::Place::kPytorchHalfPixel) c.place = Resize::Place::kHalfPixel;
      c.rounding = static_cast<Resize::Rounding>(Integer(0, 3));
      c.axes = {1, 2};
      if (i < 4) {
        c.scales = {2, 1.5};
        Add(c, {Data({2, 4, 4, 3})});
      } else if (i < 8) {
        c.sizes = {7, 4};
        Add(c, {Data({2, 4, 4, 3})});
      } else {
        c.axes = {};
        Array scales = Zeros({4});
        scales.elements = {1, 1, 2, 0.5};
        Add(c, {Data({2, 3, 4, 4}), scales});
        Add(c, {Data({2, 3, 4, 4}), Integers({2, 3, 6, 7})});
      }
    }
  }
  void Draw(Of<Gather>) {
    const std::int64_t axis = Axis(3);
    const Sizes shape = {2, 3, 4};
    const std::int64_t size = shape[Front(axis, 3)];
    Add(Gather{axis, 0}, {Data(shape), Places({2, 2}, size)});
    Add(Gather{axis, 0}, {Data(shape), Places({}, size)});
    Add(Gather{2, 1}, {Data(shape), Places({2, 5}, 4)});
  }
  void Draw(Of<GatherNd>) {
    Add(GatherNd{0}, {Data({3, 3, 4}), Places({5, 2}, 3)});
    Add(GatherNd{0}, {Data({3, 4, 5}), Places({2, 6, 1}, 3)});
    Add(GatherNd{1}, {Data({2, 3, 4}), Places({2, 5, 1}, 3)});
  }
  void Draw(Of<ScatterNd>) {
    Add(ScatterNd{Coin()}, {Data({4, 3, 5}), Integers({0, 2, 2}, {3, 1}), Data({3, 3, 5})});
    Add(ScatterNd{Coin()}, {Data({3, 3, 5}), Integers({0, 2, 1, 1}, {2, 2}), Data({2, 5})});
  }
  void Draw(Of<GatherElements>) {
    Add(GatherElements{1}, {Data({2, 3, 4}), Places({2, 5, 4}, 3)});
    Add(GatherElements{-1}, {Data({3, 3, 4}), Places({2, 3, 4}, 4)});
  }
  void Draw(Of<OneHot>) { Add(OneHot{Axis(3)}, {Places({2, 3}, 4), Integers({4}), Data({2})}); }
  void Draw(Of<Cast>) { Add(Cast{static_cast<ElementKind>(trial_ % 3)}, {Data({2, 3, 4})}); }
  void Draw(Of<network::ShapeOf>) { Add(network::ShapeOf{}, {Data({2, 3, 4})}); }
  void Draw(Of<Fill>) { Add(Fill{}, {Integers({2, 3}), Data({1})}); }
  void Draw(Of<Range>) { Add(Range{}, {Integers({0}), Integers({5}), Integers({2})}); }
  void Draw(Of<BroadcastTo>) {
    Add(BroadcastTo{{2, 3, 4}}, {Data({3, 1})});
    Add(BroadcastTo{{1, 4}}, {Data({2, 3, 4})});
    Add(BroadcastTo{}, {Data({3, 4}), Integers({2, 1, 4})});
  }
  void Draw(Of<Tile>) {
    Add(Tile{{1, 2, 1}}, {Data({2, 3, 4})});
    Add(Tile{}, {Data({2, 3, 4}), Integers({2, 1, 3})});
  }
  void Draw(Of<SpaceAndDepth>) {
    SpaceAndDepth c;
    c.to_space = Coin();
    c.channel_axis = Coin() ? 1 : -1;
    c.order = static_cast<SpaceAndDepth::Order>(trial_ % 2);
    const Sizes spatial = c.to_space ? Sizes{2, 3} : Sizes{4, 6};
    Add(c, {Data(DataIndex(2, c.to_space ? 8 : 2, spatial, c.channel_axis == 1))});
  }
  void Draw(Of<SpaceAndBatch>) {
    Add(SpaceAndBatch{false, {2, 2}, {0, 1}, {0, 1}}, {Data({2, 4, 4, 3})});
    Add(SpaceAndBatch{false, {2}, {0}, {0}}, {Data({2, 4, 3})});
    Add(SpaceAndBatch{true, {2, 2}, {0, 1}, {1, 0}}, {Data({8, 2, 3, 3})});
  }
  void Draw(Of<Recurrent>) {
    for (const auto cell :
         {Recurrent::Cell::kSimple, Recurrent::Cell::kLstm, Recurrent::Cell::kGru}) {
      Recurrent c;
      c.cell = cell;
      c.units = 3;
      c.transposed = Coin();
      c.reset_after = true;
      c.backward = Coin();
      c.time_first = Coin();
      const std::int64_t gates = cell == Recurrent::Cell::kLstm  ? 12
                                 : cell == Recurrent::Cell::kGru ? 9
                                                                 : 3;
      const auto kernel = [&](std::int64_t in) {
        return Data(c.transposed ? Sizes{gates, in} : Sizes{in, gates});
      };
      Add(c, {Data({2, 4, 5}), kernel(5), kernel(3), Data({gates}), Data({gates})});
    }
  }
  void Draw(Of<Quantize>) {
    Add(Quantize{1, -9, 9}, {Data({2, 3, 4}), Positive({3}), Places({3}, 3)});
  }
  void Draw(Of<Dequantize>) {
    Add(Dequantize{1}, {Places({2, 3, 4}, 9), Positive({3}), Places({3}, 3)});
  }
  void Draw(Of<Unknown>) {}

  std::mt19937 engine_;
  int trial_ = 0;
  std::vector<Case> cases_;
};

}  // namespace

std::vector<Case> DrawCases(unsigned seed) {
  return Drawing(seed).All(std::make_index_sequence<std::variant_size_v<Computation>>{});
}

std::string KindOf(const Computation& computation) {
  std::string kind(Name(computation));
  if (const auto* unary = std::get_if<Unary>(&computation)) {
    kind += " " + std::string(Name(unary->function));
  }
  if (const auto* binary = std::get_if<Binary>(&computation)) {
    kind += " " + std::string(Name(binary->function));
  }
  if (const auto* reduction = std::get_if<Reduction>(&computation)) {
    kind += " " + std::to_string(static_cast<int>(reduction->kind));
  }
  return kind;
}

}  // namespace ckpt::network::reference
