#include "formats/mxnet/inference_network.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>

namespace ckpt::formats {
namespace {

using namespace network;
using network::ValueId;  // not the layer graph's

// The attributes of a node, which are texts.
class Attributes {
 public:
  explicit Attributes(const SymbolNode& node) : node_(node) {}

  std::string Text(const char* key, std::string otherwise = {}) const {
    const auto found = node_.attributes.find(key);
    return found == node_.attributes.end() || found->second == "None" ? std::move(otherwise)
                                                                      : found->second;
  }
  bool Flag(const char* key, bool otherwise) const {
    const std::string text = Text(key);
    if (text.empty()) return otherwise;
    return text == "True" || text == "true" || text == "1";
  }
  double Real(const char* key, double otherwise) const {
    const std::string text = Text(key);
    double number = otherwise;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    return failed == std::errc() && end == text.data() + text.size() ? number : otherwise;
  }
  std::int64_t Integer(const char* key, std::int64_t otherwise) const {
    const Sizes all = List(key);
    return all.size() == 1 ? all.front() : otherwise;
  }
  // The integers of "(2, 2)".
  Sizes List(const char* key) const {
    const std::string text = Text(key);
    Sizes numbers;
    for (const char *at = text.data(), *end = at + text.size(); at < end;) {
      std::int64_t number = 0;
      const auto [stopped, failed] = std::from_chars(at, end, number);
      if (failed == std::errc()) numbers.push_back(number);
      at = failed == std::errc() ? stopped : at + 1;
    }
    return numbers;
  }

 private:
  const SymbolNode& node_;
};

std::optional<Unary> ActivationOf(const std::string& type) {
  if (type == "relu") return Unary{UnaryFunction::kRelu};
  if (type == "sigmoid") return Unary{UnaryFunction::kSigmoid};
  if (type == "tanh") return Unary{UnaryFunction::kTanh};
  if (type == "softrelu") return Unary{UnaryFunction::kSoftplus};
  if (type == "softsign") return Unary{UnaryFunction::kSoftsign};
  if (type == "mish") return Unary{UnaryFunction::kMish};
  return std::nullopt;
}

std::optional<UnaryFunction> UnaryOf(const std::string& op) {
  static const std::map<std::string, UnaryFunction> kFunctions = {
      {"relu", UnaryFunction::kRelu},
      {"sigmoid", UnaryFunction::kSigmoid},
      {"tanh", UnaryFunction::kTanh},
      {"softsign", UnaryFunction::kSoftsign},
      {"exp", UnaryFunction::kExp},
      {"log", UnaryFunction::kLog},
      {"sqrt", UnaryFunction::kSqrt},
      {"rsqrt", UnaryFunction::kRsqrt},
      {"square", UnaryFunction::kSquare},
      {"abs", UnaryFunction::kAbs},
      {"negative", UnaryFunction::kNegate},
      {"erf", UnaryFunction::kErf},
      {"floor", UnaryFunction::kFloor},
      {"ceil", UnaryFunction::kCeil},
      {"Dropout", UnaryFunction::kIdentity},
      {"identity", UnaryFunction::kIdentity},
      {"_copy", UnaryFunction::kIdentity},
      {"BlockGrad", UnaryFunction::kIdentity},
      {"MakeLoss", UnaryFunction::kIdentity},
      {"LinearRegressionOutput", UnaryFunction::kIdentity},
      {"LogisticRegressionOutput", UnaryFunction::kSigmoid}};
  const auto found = kFunctions.find(op);
  return found == kFunctions.end() ? std::nullopt : std::optional(found->second);
}

std::optional<BinaryFunction> BinaryOf(const std::string& op) {
  static const std::map<std::string, BinaryFunction> kFunctions = {
      {"elemwise_add", BinaryFunction::kAdd},
      {"_Plus", BinaryFunction::kAdd},
      {"_plus", BinaryFunction::kAdd},
      {"broadcast_add", BinaryFunction::kAdd},
      {"add_n", BinaryFunction::kAdd},
      {"ElementWiseSum", BinaryFunction::kAdd},
      {"elemwise_sub", BinaryFunction::kSubtract},
      {"broadcast_sub", BinaryFunction::kSubtract},
      {"elemwise_mul", BinaryFunction::kMultiply},
      {"broadcast_mul", BinaryFunction::kMultiply},
      {"elemwise_div", BinaryFunction::kDivide},
      {"broadcast_div", BinaryFunction::kDivide},
      {"broadcast_maximum", BinaryFunction::kMaximum},
      {"broadcast_minimum", BinaryFunction::kMinimum}};
  const auto found = kFunctions.find(op);
  return found == kFunctions.end() ? std::nullopt : std::optional(found->second);
}

class Translator {
 public:
  Translator(const Symbol& symbol, const Manifest& manifest,
             NetworkBuilder::Contradictions contradictions)
      : nodes_(symbol.nodes),
        heads_(symbol.heads),
        manifest_(manifest),
        builder_(Origin::kMxNetSymbol, contradictions),
        values_(nodes_.size()) {}

  MxnetNetwork Run() {
    FindFurtherOutputs();
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (nodes_[i].op != "null") AddNode(i);  // a variable is made when it is read
    }
    for (const auto& [node, output] : heads_) {
      const ValueId value = ValueOf(node, output);
      std::string name = nodes_[node].name + "_output";
      if (output != 0) name += std::to_string(output);
      builder_.AddOutput(std::move(name), value);
    }
    return {std::move(builder_).Finish(), std::move(layer_nodes_)};
  }

 private:
  void StartLayer(std::string name, std::string type, std::size_t node) {
    builder_.StartLayer(std::move(name), std::move(type));
    layer_nodes_.push_back(node);
  }

  void FindFurtherOutputs() {
    const auto add = [this](const auto& entries) {
      for (const auto& entry : entries) {
        if (entry.second != 0) further_.emplace(entry, kNoValue);
      }
    };
    for (const SymbolNode& node : nodes_) add(node.inputs);
    add(heads_);
    for (auto& [entry, value] : further_) {
      const SymbolNode& node = nodes_[entry.first];
      if (node.op == "null") value = AddFurther(node, {});
    }
  }
  ValueId AddFurther(const SymbolNode& node, std::vector<ValueId> operands) {
    StartLayer(node.name, node.op, kNoSymbolNode);
    return builder_.Add(Unknown{node.op, "a further output of it is read"}, std::move(operands));
  }

  void AddNode(std::size_t i) {
    node_ = &nodes_[i];
    x_ = node_->inputs.empty() ? kNoValue : Operand(0);
    if (node_->op == "FullyConnected" && x_ != kNoValue && Given().Flag("flatten", true)) {
      StartLayer(node_->name + "/flatten", "flatten", kNoSymbolNode);
      x_ = builder_.Add(MergeAxes{}, {x_});
      builder_.Record(x_, Sizes{kUnknownSize, kUnknownSize});  // whatever the data's rank is
    }
    StartLayer(node_->name, node_->op, i);
    values_[i] = x_ == kNoValue ? std::vector{NotUnderstood("it reads nothing")} : Translate();
    for (auto at = further_.lower_bound({i, values_[i].size()});
         at != further_.end() && at->first.first == i; ++at) {
      at->second = AddFurther(*node_, {values_[i][0]});
    }
  }

  ValueId ValueOf(std::size_t node, std::size_t output) {
    if (nodes_[node].op == "null" && values_[node].empty()) values_[node] = {Variable(node)};
    if (output < values_[node].size()) return values_[node][output];
    return further_.at({node, output});
  }

  ValueId Variable(std::size_t node) {
    const std::string& name = nodes_[node].name;
    if (const auto id = FindTensor(manifest_, name)) {
      const auto dims = manifest_.tensors[id->index].shape.dims();
      return builder_.AddStored(name, {*id, {}, {}}, {dims.begin(), dims.end()});
    }
    Sizes shape = Attributes(nodes_[node]).List("__shape__");
    for (std::int64_t& size : shape) size = size <= 0 ? kUnknownSize : size;
    if (!shape.empty()) shape[0] = kUnknownSize;
    return builder_.AddInput(name, shape.empty() ? PartialShape() : PartialShape(shape));
  }

  // Operand `i` of the node; none where it has not as many.
  ValueId Operand(std::size_t i) {
    if (i >= node_->inputs.size()) return kNoValue;
    return ValueOf(node_->inputs[i].first, node_->inputs[i].second);
  }
  Attributes Given() const { return Attributes(*node_); }

  ValueId Yield(Computation computation, std::vector<ValueId> operands) {
    return builder_.Add(std::move(computation), std::move(operands), node_->name);
  }
  ValueId NotUnderstood(std::string why) {
    return Yield(Unknown{node_->op, std::move(why)},
                 x_ == kNoValue ? std::vector<ValueId>{} : std::vector{x_});
  }

  std::vector<ValueId> Translate() {
    if (node_->op == "SliceChannel" || node_->op == "split") return Parts();
    return {Single()};
  }

  ValueId Single() {
    const std::string& op = node_->op;
    if (op == "Convolution" || op == "Convolution_v1") return Convolve();
    if (op == "Deconvolution") return Deconvolve();
    if (op == "FullyConnected") return Connect();
    if (op == "BatchNorm" || op == "BatchNorm_v1") return Normalize();
    if (op == "Pooling" || op == "Pooling_v1") return PoolOver();
    if (op == "LeakyReLU") return LeakyRelu();
    if (op == "Activation") {
      const auto function = ActivationOf(Given().Text("act_type"));
      return function ? Yield(*function, {x_}) : NotUnderstood("its function");
    }
    if (op.starts_with("softmax") || op.starts_with("Softmax") || op == "log_softmax") {
      return SoftmaxOver();
    }
    if (const auto function = UnaryOf(op)) return Yield(Unary{*function}, {x_});
    if (const auto function = BinaryOf(op)) return Combine(*function);
    if (op.ends_with("_scalar")) return CombineWithScalar();
    return Moved();
  }

  ValueId Moved() {
    const std::string& op = node_->op;
    const Attributes given = Given();
    if (op == "Flatten" || op == "flatten") return Yield(MergeAxes{}, {x_});
    if (op == "Reshape" || op == "reshape") return ReshapeTo();
    if (op == "Concat" || op == "concat") {
      std::vector<ValueId> parts;
      for (std::size_t i = 0; i < node_->inputs.size(); ++i) parts.push_back(Operand(i));
      return Yield(Concatenate{given.Integer("dim", 1)}, std::move(parts));
    }
    if (op == "transpose") return Yield(Transpose{given.List("axes")}, {x_});
    if (op == "expand_dims") return Yield(InsertAxes{{given.Integer("axis", 0)}}, {x_});
    if (op == "squeeze") return Yield(DropAxes{given.List("axis")}, {x_});
    if (op == "slice_axis") {
      Slice slice;
      slice.axes = {given.Integer("axis", 0)};
      slice.begin = {given.Integer("begin", 0)};
      slice.end = {given.Integer("end", Slice::kToEnd)};
      return Yield(std::move(slice), {x_});
    }
    if (op == "clip") {
      constexpr double kAny = std::numeric_limits<double>::infinity();
      return Yield(
          Unary{UnaryFunction::kClip, given.Real("a_min", -kAny), given.Real("a_max", kAny)}, {x_});
    }
    if (op == "mean" || op == "sum") return Reduce();
    if (op == "LRN") return RespondLocally();
    if (op == "LayerNorm") {
      LayerNormalization norm{{given.Integer("axis", -1)}, given.Real("eps", 1e-5)};
      return Yield(std::move(norm), {x_, Operand(1), Operand(2)});
    }
    if (op == "UpSampling") return Upsample();
    return NotUnderstood("nothing of the vocabulary says it");
  }

  bool ChannelsFirst() const {
    const std::string layout = Given().Text("layout");
    return layout.empty() || layout.starts_with("NC");
  }

  ValueId Convolve() {
    const Attributes given = Given();
    if (!ChannelsFirst()) return NotUnderstood("its layout");
    Convolution convolution;
    convolution.stride = given.List("stride");
    convolution.dilation = given.List("dilate");
    convolution.padding.before = convolution.padding.after = given.List("pad");
    convolution.groups = given.Integer("num_group", 1);
    convolution.layout = KernelLayout::kOutInSpatial;
    convolution.channel_axis = 1;
    const bool biased = !given.Flag("no_bias", false);
    return Yield(std::move(convolution), {x_, Operand(1), biased ? Operand(2) : kNoValue});
  }

  ValueId Deconvolve() {
    const Attributes given = Given();
    if (!ChannelsFirst() || !given.List("target_shape").empty()) {
      return NotUnderstood("its layout or its target's shape");
    }
    TransposedConvolution transposed;
    transposed.stride = given.List("stride");
    transposed.dilation = given.List("dilate");
    transposed.padding.before = transposed.padding.after = given.List("pad");
    transposed.more = given.List("adj");
    transposed.groups = given.Integer("num_group", 1);
    transposed.layout = KernelLayout::kInOutSpatial;
    transposed.channel_axis = 1;
    const bool biased = !given.Flag("no_bias", true);
    return Yield(std::move(transposed), {x_, Operand(1), biased ? Operand(2) : kNoValue});
  }

  ValueId Connect() {
    MatrixProduct product;
    product.transpose_b = true;
    if (Given().Flag("no_bias", false)) return Yield(product, {x_, Operand(1)});
    const ValueId y = builder_.Add(product, {x_, Operand(1)});
    return Yield(Binary{BinaryFunction::kAdd}, {y, Operand(2)});
  }

  // A gamma that is fixed is read as ones (see params.cc).
  ValueId Normalize() {
    const Attributes given = Given();
    BatchNormalization norm;
    norm.axis = given.Integer("axis", 1);
    norm.epsilon = given.Real("eps", 1e-3);
    norm.momentum = given.Real("momentum", 0.9);
    return Yield(norm, {x_, Operand(1), Operand(2), Operand(3), Operand(4)});
  }

  ValueId PoolOver() {
    const Attributes given = Given();
    const std::string type = given.Text("pool_type", "max");
    if (!ChannelsFirst() || (type != "max" && type != "avg")) return NotUnderstood("its type");
    if (given.Flag("global_pool", false)) {
      Reduction reduction;
      reduction.kind = type == "max" ? Reduction::Kind::kMaximum : Reduction::Kind::kMean;
      reduction.axes = {Axes::Which::kSpatial, {}, 1};
      return Yield(reduction, {x_});
    }
    Pool pool;
    pool.kind = type == "max" ? Pool::Kind::kMaximum : Pool::Kind::kAverage;
    pool.size = given.List("kernel");
    pool.stride = given.List("stride");
    pool.padding.before = pool.padding.after = given.List("pad");
    const std::string convention = given.Text("pooling_convention", "valid");
    pool.ceil = convention == "full";
    pool.count_padding = given.Flag("count_include_pad", true);
    pool.channel_axis = 1;
    if (convention == "same") return NotUnderstood("its convention");
    // With the full convention a last window that meets no data stays, unlike here.
    for (std::size_t i = 0; pool.ceil && i < pool.size.size(); ++i) {
      const std::int64_t stride = i < pool.stride.size() ? pool.stride[i] : 1;
      const auto& pad = pool.padding.before;
      if (stride > pool.size[i] || (i < pad.size() && pad[i] > 0)) {
        return NotUnderstood("windows that may lie beside the data");
      }
    }
    return Yield(std::move(pool), {x_});
  }

  ValueId LeakyRelu() {
    const Attributes given = Given();
    const std::string type = given.Text("act_type", "leaky");
    const double slope = given.Real("slope", 0.25);
    if (type == "leaky") return Yield(Unary{UnaryFunction::kLeakyRelu, slope}, {x_});
    if (type == "elu") return Yield(Unary{UnaryFunction::kElu, slope}, {x_});
    if (type == "gelu") return Yield(Unary{UnaryFunction::kGelu}, {x_});
    if (type == "selu") {
      return Yield(Unary{UnaryFunction::kSelu, 1.6732632423543772848170429916717,
                         1.0507009873554804934193349852946},
                   {x_});
    }
    if (type == "rrelu") {  // at inference the middle of its range
      const double middle =
          (given.Real("lower_bound", 0.125) + given.Real("upper_bound", 0.334)) / 2;
      return Yield(Unary{UnaryFunction::kLeakyRelu, middle}, {x_});
    }
    const auto rank = builder_.RankOf(x_);
    const ValueId slopes = Operand(1);
    if (type != "prelu" || !rank || builder_.RankOf(slopes) != 1) {
      return NotUnderstood("its function");
    }
    InsertAxes insert;
    for (std::int64_t i = 2; i < *rank; ++i) insert.axes.push_back(1 - i);
    const ValueId spread = insert.axes.empty() ? slopes : builder_.Add(insert, {slopes});
    return Yield(Binary{BinaryFunction::kLeakyRelu}, {x_, spread});
  }

  ValueId SoftmaxOver() {
    const Attributes given = Given();
    Softmax softmax;
    softmax.log = node_->op == "log_softmax";
    if (node_->op == "softmax" || softmax.log) {
      if (given.Real("temperature", 1) != 1) return NotUnderstood("its temperature");
      softmax.axis = given.Integer("axis", -1);
    } else if (node_->op == "SoftmaxActivation") {
      softmax.axis = given.Text("mode", "instance") == "channel" ? 1 : -1;
    } else if (given.Flag("multi_output", false)) {
      softmax.axis = 1;
    } else if (!given.Flag("preserve_shape", false) && builder_.RankOf(x_) != 2) {
      return NotUnderstood("it flattens its data");
    }
    return Yield(softmax, {x_});
  }

  ValueId Combine(BinaryFunction function) {
    std::vector<ValueId> operands;
    for (std::size_t i = 0; i < node_->inputs.size(); ++i) operands.push_back(Operand(i));
    if (operands.size() == 1) return Yield(Unary{}, std::move(operands));
    return Yield(Binary{function}, std::move(operands));
  }

  ValueId CombineWithScalar() {
    const double scalar = Given().Real("scalar", 1);
    std::string op = node_->op;
    std::transform(op.begin(), op.end(), op.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (op == "_mul_scalar") return Yield(Unary{UnaryFunction::kLinear, scalar, 0}, {x_});
    if (op == "_div_scalar") {
      return Yield(Binary{BinaryFunction::kDivide}, {x_, builder_.AddScalar(scalar)});
    }
    if (op == "_plus_scalar") return Yield(Unary{UnaryFunction::kLinear, 1, scalar}, {x_});
    if (op == "_minus_scalar") return Yield(Unary{UnaryFunction::kLinear, 1, -scalar}, {x_});
    if (op == "_rminus_scalar") return Yield(Unary{UnaryFunction::kLinear, -1, scalar}, {x_});
    if (op == "_power_scalar") return Yield(Unary{UnaryFunction::kPower, scalar}, {x_});
    return NotUnderstood("nothing of the vocabulary says it");
  }

  // Sizes of 0 are copied and one of -1 is the rest; the other codes are MXNet's own.
  ValueId ReshapeTo() {
    Reshape reshape;
    reshape.shape = Given().List("shape");
    reshape.zero_copies = true;
    const bool coded = std::any_of(reshape.shape.begin(), reshape.shape.end(),
                                   [](std::int64_t size) { return size < -1; });
    if (coded || reshape.shape.empty() || Given().Flag("reverse", false)) {
      return NotUnderstood("its shape");
    }
    return Yield(std::move(reshape), {x_});
  }

  ValueId Reduce() {
    const Attributes given = Given();
    Reduction reduction;
    reduction.kind = node_->op == "mean" ? Reduction::Kind::kMean : Reduction::Kind::kSum;
    reduction.axes.listed = given.List("axis");
    reduction.keep = given.Flag("keepdims", false);
    if (given.Flag("exclude", false)) return NotUnderstood("the axes that it leaves out");
    return Yield(std::move(reduction), {x_});
  }

  ValueId RespondLocally() {
    const Attributes given = Given();
    LocalResponseNormalization norm;
    norm.size = given.Integer("nsize", 5);
    if (norm.size < 1) return NotUnderstood("its window");
    norm.channel_axis = 1;
    norm.alpha = given.Real("alpha", 1e-4) / static_cast<double>(norm.size);
    norm.beta = given.Real("beta", 0.75);
    norm.bias = given.Real("knorm", 2);
    return Yield(norm, {x_});
  }

  ValueId Upsample() {
    const Attributes given = Given();
    const auto scale = static_cast<double>(given.Integer("scale", 1));
    if (given.Text("sample_type") != "nearest" || node_->inputs.size() != 1) {
      return NotUnderstood("its type");
    }
    Resize resize;
    resize.place = Resize::Place::kAsymmetric;
    resize.axes = {2, 3};
    resize.scales = {scale, scale};
    return Yield(std::move(resize), {x_});
  }

  std::vector<ValueId> Parts() {
    const Attributes given = Given();
    const std::int64_t count = given.Integer("num_outputs", 0), axis = given.Integer("axis", 1);
    constexpr std::int64_t kMostParts = 1 << 20;  // of all nodes: a few bytes can ask for thousands
    if (count < 1 || count > kMostParts - parts_) {
      return {NotUnderstood("how many parts there are")};
    }
    parts_ += count;
    auto parts =
        builder_.AddMany(Split{axis, {}}, {x_}, static_cast<std::size_t>(count), node_->name);
    if (!given.Flag("squeeze_axis", false)) return parts;
    for (ValueId& part : parts) part = builder_.Add(DropAxes{{axis}}, {part});
    return parts;
  }

  const std::vector<SymbolNode>& nodes_;
  const std::vector<std::pair<std::size_t, std::size_t>>& heads_;
  const Manifest& manifest_;
  NetworkBuilder builder_;
  std::vector<std::size_t> layer_nodes_;                            // by layer of the network
  std::vector<std::vector<ValueId>> values_;                        // by node and output
  std::map<std::pair<std::size_t, std::size_t>, ValueId> further_;  // outputs but the first
  const SymbolNode* node_ = nullptr;  // the one that is translated, and what it reads first
  ValueId x_;
  std::int64_t parts_ = 0;
};

}  // namespace

MxnetNetwork TranslateMxnet(const Symbol& symbol, const Manifest& manifest,
                            NetworkBuilder::Contradictions contradictions) {
  return Translator(symbol, manifest, contradictions).Run();
}

}  // namespace ckpt::formats
