// Attention and dot products of Keras.
//
// Sources: keras/layers/attention and keras/layers/merging/dot.py of Keras 2.15 and 3.
#include <cmath>
#include <utility>

#include "formats/keras/model/layer_call.h"

namespace ckpt::formats::keras {

using network::BinaryFunction;
using network::kNoValue;
using network::Sizes;
using network::UnaryFunction;
using NetworkValue = network::ValueId;

namespace {

// What a causal mask takes off a score: far more than exp() keeps.
constexpr double kMasked = -1e9;
constexpr std::int64_t kLargestMask = std::int64_t{1} << 20;

// Scores [..., T, S] with those of later steps taken away; kNoValue where T and S are not known.
NetworkValue Causal(const LayerCall& call, NetworkValue scores) {
  const network::PartialShape shape = call.builder.ShapeOf(scores);
  if (!shape || shape->size() < 2) return kNoValue;
  const std::int64_t queries = (*shape)[shape->size() - 2], keys = shape->back();
  if (queries < 1 || keys < 1 || queries > kLargestMask || keys > kLargestMask / queries) {
    return kNoValue;
  }
  network::InlineConstant mask{{queries, keys}, {}};
  for (std::int64_t i = 0; i < queries; ++i) {
    for (std::int64_t j = 0; j < keys; ++j) mask.elements.push_back(j > i ? kMasked : 0);
  }
  return call.Add(network::Binary{BinaryFunction::kAdd},
                  {scores, call.builder.AddInline(std::move(mask))}, "causal");
}

// The flag of the call, or of the config (Keras before 2.10).
bool IsCausal(const LayerCall& call) {
  return call.ArgumentOf(SIZE_MAX, "use_causal_mask").is_given() || call.Flag("causal", false);
}

bool DropsInTraining(const LayerCall& call) {
  return call.Number("dropout", 0) != 0 && call.ArgumentOf(SIZE_MAX, "training").is_given();
}

// Scores [..., T, S] and values [..., S, V] to the weighted sum, or kNoValue.
struct Weighted {
  NetworkValue weights = kNoValue;
  std::string why = {};
};
Weighted WeightsOf(const LayerCall& call, NetworkValue scores) {
  if (IsCausal(call)) scores = Causal(call, scores);
  if (scores == kNoValue) return {kNoValue, "its causal mask has no known size"};
  return {call.Add(network::Softmax{-1}, {scores}, "weights")};
}

// The layers that project queries, keys, values and the sum: "query/kernel"; numbered in a .keras
// file, where they are called by the attributes that hold them.
class MultiHead {
 public:
  explicit MultiHead(const LayerCall& call) : call_(call) {}

  NetworkValue Translate() const {
    if (const std::string why = Hindrance(); !why.empty()) return call_.Unknown(why);
    const NetworkValue q = call_.ArgumentOf(0, "query").tensors[0];
    const NetworkValue v = call_.ArgumentOf(1, "value").tensors[0];
    const Argument given_key = call_.ArgumentOf(2, "key");
    const NetworkValue k = given_key.is_given() ? given_key.tensors[0] : v;
    const NetworkValue query = Projected(q, "query"), key = Projected(k, "key"),
                       value = Projected(v, "value");
    if (query == kNoValue || key == kNoValue || value == kNoValue) return Lacks();
    const double factor = 1 / std::sqrt(static_cast<double>(*call_.Integer("key_dim")));
    const NetworkValue scaled =
        call_.Add(network::Unary{UnaryFunction::kLinear, factor, 0}, {query}, "scaled");
    const NetworkValue scores =
        call_.Add(network::Einsum{"bqhd,bkhd->bhqk"}, {scaled, key}, "scores");
    const Weighted weighted = WeightsOf(call_, scores);
    if (!weighted.why.empty()) return call_.Unknown(weighted.why);
    const NetworkValue heads =
        call_.Add(network::Einsum{"bhqk,bkhd->bqhd"}, {weighted.weights, value}, "heads");
    const NetworkValue output = Output(heads);
    if (output == kNoValue) return Lacks();
    if (call_.ArgumentOf(SIZE_MAX, "return_attention_scores").is_given()) {
      call_.further = {weighted.weights};
    }
    return output;
  }

 private:
  NetworkValue Lacks() const { return call_.Unknown("the file lacks a tensor of it"); }

  std::string Hindrance() const {
    if (!call_.HasNoArgumentsBut(3, {"query", "key", "value", "return_attention_scores", "training",
                                     "use_causal_mask"})) {
      return "it is called with a mask";
    }
    const Argument query = call_.ArgumentOf(0, "query"), value = call_.ArgumentOf(1, "value"),
                   key = call_.ArgumentOf(2, "key");
    if (!query.is_tensor || !value.is_tensor || (key.is_given() && !key.is_tensor)) {
      return "it is called with no query or value";
    }
    for (const NetworkValue input : call_.inputs) {
      if (call_.builder.RankOf(input) != 3) return "it attends to something else than a sequence";
    }
    if (call_.Integer("key_dim").value_or(0) < 1) return "its key_dim is not known";
    if (call_.Flag("use_gate", false)) return "it has a gate";
    if (call_.Value("sliding_window")) return "it attends to a window";
    if (DropsInTraining(call_)) return "it is called in training mode, where it drops";
    return {};
  }

  NetworkValue Part(std::string_view name, std::string_view weight, std::size_t place) const {
    return call_.WeightWithin(
        [name](std::string_view part) {
          if (part.starts_with('_')) part.remove_prefix(1);
          if (part.ends_with("_dense")) part.remove_suffix(6);
          if (part.starts_with("attention_")) part.remove_prefix(10);
          return part == name;
        },
        weight, place);
  }

  // [B, T, D] by the kernel [D, H, K] and the bias [H, K].
  NetworkValue Projected(NetworkValue value, std::string_view name) const {
    return WithBias(value, name, "btd,dhk->bthk");
  }
  // [B, T, H, K] by [H, K, O] and [O].
  NetworkValue Output(NetworkValue heads) const {
    return WithBias(heads, "output", "bthk,hko->bto");
  }
  NetworkValue WithBias(NetworkValue value, std::string_view name, std::string equation) const {
    const NetworkValue kernel = Part(name, "kernel", 0), bias = Part(name, "bias", 1);
    if (kernel == kNoValue || call_.builder.RankOf(kernel) != 3) return kNoValue;
    if (call_.Flag("use_bias", true) == (bias == kNoValue)) return kNoValue;
    const bool last = name == "output";
    const NetworkValue product =
        call_.Add(network::Einsum{std::move(equation)}, {value, kernel},
                  bias == kNoValue && last ? std::string() : std::string(name));
    if (bias == kNoValue) return product;
    return call_.Add(network::Binary{BinaryFunction::kAdd}, {product, bias},
                     last ? std::string() : std::string(name) + "_bias");
  }

  const LayerCall& call_;
};

// Luong's and Bahdanau's attention, called with [query, value] or [query, value, key].
class ScoredAttention {
 public:
  explicit ScoredAttention(const LayerCall& call)
      : call_(call), additive_(call.class_name == "AdditiveAttention") {}

  NetworkValue Translate() const {
    if (const std::string why = Hindrance(); !why.empty()) return call_.Unknown(why);
    const NetworkValue query = call_.inputs[0], value = call_.inputs[1];
    const NetworkValue key = call_.inputs.size() > 2 ? call_.inputs[2] : value;
    const bool sums = additive_ || call_.Text("score_mode").value_or("dot") == "concat";
    const NetworkValue scores = sums ? Summed(query, key) : Multiplied(query, key);
    if (scores == kNoValue) return call_.Unknown("the file lacks a tensor of it");
    const Weighted weighted = WeightsOf(call_, scores);
    if (!weighted.why.empty()) return call_.Unknown(weighted.why);
    if (call_.ArgumentOf(SIZE_MAX, "return_attention_scores").is_given()) {
      call_.further = {weighted.weights};
    }
    return call_.Add(network::MatrixProduct{}, {weighted.weights, value});
  }

 private:
  std::string Hindrance() const {
    if (!call_.HasNoArgumentsBut(1, {"return_attention_scores", "training", "use_causal_mask"})) {
      return "it is called with a mask";
    }
    if (call_.inputs.size() < 2 || call_.inputs.size() > 3) {
      return "it is called with other tensors than query, value and key";
    }
    for (const NetworkValue input : call_.inputs) {
      if (call_.builder.RankOf(input) != 3) return "it attends to something else than a sequence";
    }
    const std::string mode = call_.Text("score_mode").value_or("dot");
    if (mode != "dot" && mode != "concat") return "its score_mode is not known";
    if (DropsInTraining(call_)) return "it is called in training mode, where it drops";
    return {};
  }

  bool IsScaled() const { return call_.Flag("use_scale", additive_); }
  // The weights are numbered in a .keras file: the scale, then that of the concatenation.
  NetworkValue Scale() const { return call_.WeightWithin({}, "scale", 0); }
  NetworkValue Product(NetworkValue a, NetworkValue b, std::string_view part) const {
    return call_.Add(network::Binary{BinaryFunction::kMultiply}, {a, b}, part);
  }

  NetworkValue Multiplied(NetworkValue query, NetworkValue key) const {
    network::MatrixProduct product;
    product.transpose_b = true;
    const NetworkValue scores = call_.Add(product, {query, key}, "scores");
    if (!IsScaled()) return scores;
    const NetworkValue scale = Scale();
    return scale == kNoValue ? kNoValue : Product(scores, scale, "scaled");
  }

  // The sum over the channels of tanh(query + key) for each pair, with the weights there are.
  NetworkValue Summed(NetworkValue query, NetworkValue key) const {
    const NetworkValue wide = call_.Add(network::InsertAxes{{2}}, {query}, "queries");
    const NetworkValue tall = call_.Add(network::InsertAxes{{1}}, {key}, "keys");
    NetworkValue pairs = call_.Add(network::Binary{BinaryFunction::kAdd}, {wide, tall}, "pairs");
    const NetworkValue scale = IsScaled() ? Scale() : kNoValue;
    if (IsScaled() && scale == kNoValue) return kNoValue;
    if (IsScaled() && !additive_) pairs = Product(pairs, scale, "scaled");
    pairs = call_.Add(network::Unary{UnaryFunction::kTanh}, {pairs}, "tanh");
    if (IsScaled() && additive_) pairs = Product(pairs, scale, "scaled");
    network::Reduction sum;
    sum.kind = network::Reduction::Kind::kSum;
    sum.axes.listed = {-1};
    sum.keep = false;
    const NetworkValue scores = call_.Add(sum, {pairs}, "scores");
    if (additive_) return scores;
    const NetworkValue weight = call_.WeightWithin({}, "concat_score_weight", IsScaled() ? 1 : 0);
    return weight == kNoValue ? kNoValue : Product(scores, weight, "weighted");
  }

  const LayerCall& call_;
  bool additive_;
};

// Batches of products along one axis of each, as Keras' batch_dot: the other axes of the first,
// then those of the second; [N, 1] of two matrices.
NetworkValue Dot(const LayerCall& call) {
  if (call.inputs.size() != 2) return call.Unknown("it is called with other than two tensors");
  const auto axes = call.ListOrInteger("axes");
  const auto first = call.builder.RankOf(call.inputs[0]),
             second = call.builder.RankOf(call.inputs[1]);
  if (!axes || axes->empty() || axes->size() > 2)
    return call.Unknown("its axes are not understood");
  if (!first || !second || *first > 8 || *second > 8) {
    return call.Unknown("the ranks of what it multiplies are not known");
  }
  std::int64_t along[2] = {axes->front(), axes->back()};
  const std::int64_t ranks[2] = {*first, *second};
  std::string letters[2];
  NetworkValue operands[2] = {call.inputs[0], call.inputs[1]};
  std::string result = "b";
  char next = 'c';
  for (std::size_t i = 0; i < 2; ++i) {
    if (along[i] < 0) along[i] += ranks[i];
    if (along[i] < 1 || along[i] >= ranks[i]) return call.Unknown("its axes are not understood");
    letters[i] = "b";
    for (std::int64_t axis = 1; axis < ranks[i]; ++axis) {
      letters[i] += axis == along[i] ? 'a' : next++;
      if (axis != along[i]) result += letters[i].back();
    }
    if (call.Flag("normalize", false))
      operands[i] = call.Normalized(operands[i], {along[i]}, 1e-7, "unit");
  }
  const network::Einsum product{letters[0] + "," + letters[1] + "->" + result};
  if (result.size() > 1) return call.Add(product, {operands[0], operands[1]});
  const NetworkValue flat = call.Add(product, {operands[0], operands[1]}, "product");
  return call.Add(network::InsertAxes{{1}}, {flat});
}

}  // namespace

NetworkValue TranslateAttention(const LayerCall& call) {
  if (call.class_name == "MultiHeadAttention") return MultiHead(call).Translate();
  if (call.class_name == "Attention" || call.class_name == "AdditiveAttention") {
    return ScoredAttention(call).Translate();
  }
  if (call.class_name == "Dot") return Dot(call);
  return kNoValue;
}

}  // namespace ckpt::formats::keras
