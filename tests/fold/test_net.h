// A small network with random weights: its graph and checkpoint for the library, and its evaluation
// by reference_ops.h, before a fold and after it.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ckpt/batch_norm.h"
#include "ckpt/convert.h"
#include "ckpt/fold.h"
#include "tests/fold/reference_ops.h"
#include "tests/network/reference_operations.h"
#include "tests/support/memory_checkpoint.h"

namespace ckpt::testing {

// What a TestNet is made of.
enum class LayerKind : std::uint8_t {
  kInput,
  kConv,
  kConvTranspose,
  kDepthwiseConv,
  kSeparableConv,
  kDense,
  kBatchNorm,
  kIdentity,
  kActivation,
  kAdd,
  kConcat,
  kMaxPool,  // windows of 2, "same"
  kAveragePool,
  kGlobalMaxPool,
  kGlobalAveragePool,
  kZeroPad,   // one in front, two behind
  kUpsample,  // by 2
  kFlatten,   // axis 1: it moves to the end first
  kOther,
};

struct ConvOptions {
  std::int64_t out = 6;  // out channels, or the multiplier of a depthwise convolution
  Index kernel = {3, 2};
  KernelLayout layout = KernelLayout::kSpatialInOut;
  std::int64_t groups = 1;
  Border border = Border::kValid;
  std::int64_t stride = 1;
  bool bias = true;
  std::string activation = "linear";
  std::int64_t axis = -1;
  std::int64_t output_padding = 0;
};

struct BatchNormOptions {
  std::int64_t axis = -1;
  bool scale = true, center = true;
  double epsilon = 1e-3;
  bool zero_shift = false;      // beta = 0 and mean = 0
  bool positive_gamma = false;  // else of either sign
};

class TestNet {
 public:
  explicit TestNet(unsigned seed = 1, Dtype dtype = Dtype::kF64) : random_(seed), dtype_(dtype) {
    graph_.source = "test graph";
  }

  ValueId Input(const Index& shape) {
    const LayerId layer = AddLayer("input" + std::to_string(inputs_.size()), LayerKind::kInput);
    Array x(shape);
    for (double& element : x.data) element = Uniform(-1, 1);
    inputs_[static_cast<NodeId>(graph_.nodes.size())] = x;
    return Call(layer, {});
  }

  ValueId Conv(const std::string& name, ValueId x, const ConvOptions& options) {
    return Call(ConvLayer(name, LayerKind::kConv, x, options), {x});
  }
  ValueId Depthwise(const std::string& name, ValueId x, ConvOptions options) {
    options.layout = KernelLayout::kSpatialInMultiplier;
    return Call(ConvLayer(name, LayerKind::kDepthwiseConv, x, options), {x});
  }
  ValueId ConvTranspose(const std::string& name, ValueId x, const ConvOptions& options) {
    return Call(ConvLayer(name, LayerKind::kConvTranspose, x, options), {x});
  }
  // A 1x1 "pointwise" kernel behind a depthwise one that no batch norm reaches.
  ValueId Separable(const std::string& name, ValueId x, const ConvOptions& options) {
    const LayerId layer = ConvLayer(name, LayerKind::kSeparableConv, x, options);
    Index shape = Joined(options.kernel, {x_shape(x).back(), 1});
    Tensor(layer, "depthwise_kernel", shape, -1, 1);
    return Call(layer, {x});
  }
  ValueId Dense(const std::string& name, ValueId x, ConvOptions options) {
    options.kernel = {};
    return Call(ConvLayer(name, LayerKind::kDense, x, options), {x});
  }

  LayerId BatchNormLayer(const std::string& name, std::int64_t channels,
                         const BatchNormOptions& options = {}) {
    const LayerId layer = AddLayer(name, LayerKind::kBatchNorm);
    Layer& record = graph_.layers[layer];
    record.axis = options.axis;
    record.epsilon = options.epsilon;
    record.has_scale = options.scale;
    record.has_center = options.center;
    record.computation = network::BatchNormalization{options.axis, options.epsilon};
    if (options.scale) {
      std::vector<double>& gamma = Tensor(layer, "gamma", {channels}, 0.5, 2);
      for (std::size_t c = 1; c < gamma.size() && !options.positive_gamma; c += 3) gamma[c] *= -1;
    }
    const double shift = options.zero_shift ? 0 : 1;
    if (options.center) Tensor(layer, "beta", {channels}, -shift, shift);
    Tensor(layer, "moving_mean", {channels}, -shift, shift);
    Tensor(layer, "moving_variance", {channels}, 0.1, 3);
    return layer;
  }
  ValueId BatchNorm(const std::string& name, ValueId x, const BatchNormOptions& options = {}) {
    const auto rank = static_cast<std::int64_t>(x_shape(x).size());
    const auto axis =
        static_cast<std::size_t>(options.axis < 0 ? options.axis + rank : options.axis);
    return Call(BatchNormLayer(name, x_shape(x)[axis], options), {x});
  }

  ValueId Activation(const std::string& name, ValueId x, const std::string& function) {
    const LayerId layer = AddLayer(name, LayerKind::kActivation);
    graph_.layers[layer].activation = function;
    graph_.layers[layer].computation = network::Unary{};
    return Call(layer, {x});
  }
  // Dropout, ...: a layer of this kind without attributes but its channel axis.
  ValueId Simple(const std::string& name, LayerKind kind, const std::vector<ValueId>& inputs,
                 std::optional<std::int64_t> axis = -1) {
    const LayerId layer = AddLayer(name, kind);
    graph_.layers[layer].axis = axis;
    graph_.layers[layer].computation = ComputationOf(kind, axis.value_or(-1), x_shape(inputs[0]));
    return Call(layer, inputs);
  }

  // A layer that the network's vocabulary says.
  ValueId Computed(const std::string& name, network::Computation computation,
                   const std::vector<ValueId>& inputs) {
    const LayerId layer = AddLayer(name, LayerKind::kOther);
    graph_.layers[layer].computation = std::move(computation);
    return Call(layer, inputs);
  }

  ValueId Call(LayerId layer, const std::vector<ValueId>& inputs) {
    const auto node = static_cast<NodeId>(graph_.nodes.size());
    const auto output = static_cast<ValueId>(graph_.values.size());
    graph_.nodes.push_back({.layer = layer, .inputs = inputs, .output = output});
    for (const ValueId input : inputs) graph_.values[input].consumers.push_back(node);
    std::vector<Array> arrays;
    for (const ValueId input : inputs) arrays.push_back(values_[input]);
    values_.push_back(Evaluate(node, arrays, Originals(), {}));
    Value value;
    value.producer = node;
    value.rank = static_cast<std::int64_t>(values_.back().shape.size());
    graph_.values.push_back(std::move(value));
    return output;
  }
  void Output(ValueId value) {
    graph_.values[value].is_model_output = true;
    outputs_.push_back(value);
  }

  // For tests that bend the graph or the weights. Weights before Checkpoint() is called.
  ModelGraph& graph() { return graph_; }
  std::vector<double>& weights(const std::string& name) { return tensors_.at(name).data; }
  void ForgetRanks() {
    for (Value& value : graph_.values) value.rank.reset();
  }
  LayerId layer(const std::string& name) const { return *graph_.FindLayer(name); }
  const Index& x_shape(ValueId value) const { return values_[value].shape; }

  // The checkpoint with the graph, made once.
  MemoryCheckpoint& Checkpoint() {
    if (checkpoint_) return *checkpoint_;
    checkpoint_ = std::make_unique<MemoryCheckpoint>();
    for (const auto& [name, array] : tensors_) {
      checkpoint_->Add(name, array.shape, array.data, dtype_);
    }
    checkpoint_->Seal();
    for (auto& [layer, local] : owners_) {
      const auto id = *FindTensor(checkpoint_->manifest(), graph_.layers[layer].name + "/" + local);
      graph_.layers[layer].tensors.emplace(local, id);
    }
    checkpoint_->mutable_manifest().graph = graph_;
    return *checkpoint_;
  }

  using Tensors = std::map<std::string, std::vector<double>>;

  // The model's outputs for its random inputs.
  std::vector<Array> Run() { return Run(Stored(), {}); }
  std::vector<Array> Run(const Tensors& tensors, const GraphEdits& edits) const {
    std::vector<Array> values;
    for (NodeId node = 0; node < graph_.nodes.size(); ++node) {
      std::vector<Array> inputs;
      for (const ValueId input : graph_.nodes[node].inputs) inputs.push_back(values[input]);
      values.push_back(Evaluate(node, inputs, tensors, edits));
    }
    std::vector<Array> outputs;
    for (const ValueId output : outputs_) outputs.push_back(values[output]);
    return outputs;
  }

  // Every tensor as it stands in the checkpoint, rounded to its type.
  Tensors Stored() {
    Tensors stored;
    const Manifest& manifest = Checkpoint().manifest();
    for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
      stored[manifest.tensors[i].name] = *ReadDoubles(*checkpoint_, TensorId{i}, 1 << 20);
    }
    return stored;
  }

  // Every tensor as it stands once `plan` is carried out.
  Tensors Written(const FoldPlan& plan) {
    Tensors written = Stored();
    for (const TensorId id : plan.consumed) {
      written.erase(checkpoint_->manifest().tensors[id.index].name);
    }
    ConversionPlan conversion;
    conversion.tensors = plan.tensors;
    for (std::size_t i = 0; i < plan.tensors.size(); ++i) {
      written[plan.tensors[i].info.name] = ReadPlanned(*checkpoint_, conversion, i);
    }
    return written;
  }

  static std::vector<double> ReadPlanned(const ckpt::Checkpoint& checkpoint,
                                         const ConversionPlan& plan, std::size_t index) {
    const TensorInfo& info = plan.tensors[index].info;
    auto stream = OpenPlanned(checkpoint, plan, index);
    EXPECT_TRUE(stream) << ToString(stream.error());
    std::vector<std::byte> bytes;
    while (stream) {
      const auto piece = (*stream)->Next();
      EXPECT_TRUE(piece) << ToString(piece.error());
      if (!piece || piece->empty()) break;
      bytes.insert(bytes.end(), piece->begin(), piece->end());
    }
    EXPECT_EQ(bytes.size(), info.byte_size) << info.name;
    std::vector<double> values(info.shape.element_count());
    DecodeToDouble(info.dtype, bytes, values);
    return values;
  }

  double Uniform(double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random_);
  }

 private:
  struct Attributes {
    Border border = Border::kValid;
    std::int64_t stride = 1, output_padding = 0;
    LayerKind kind = LayerKind::kOther;
  };

  LayerId AddLayer(const std::string& name, LayerKind kind) {
    Layer layer;
    layer.name = name;
    layer.is_input = kind == LayerKind::kInput;
    graph_.layers.push_back(std::move(layer));
    attributes_.emplace_back().kind = kind;
    return static_cast<LayerId>(graph_.layers.size() - 1);
  }

  std::vector<double>& Tensor(LayerId layer, const std::string& local, const Index& shape,
                              double low, double high) {
    Array array(shape);
    for (double& element : array.data) element = Uniform(low, high);
    owners_.emplace_back(layer, local);
    return tensors_.emplace(graph_.layers[layer].name + "/" + local, std::move(array))
        .first->second.data;
  }

  LayerId ConvLayer(const std::string& name, LayerKind kind, ValueId x,
                    const ConvOptions& options) {
    const LayerId layer = AddLayer(name, kind);
    Layer& record = graph_.layers[layer];
    record.layout = options.layout;
    record.groups = options.groups;
    record.activation = options.activation;
    record.axis = options.axis;
    record.can_gain_bias = true;
    record.has_kernel = true;
    attributes_[layer] = {options.border, options.stride, options.output_padding, kind};
    SayConvolution(kind, options, record);
    const Index& shape_of_x = x_shape(x);
    const std::int64_t in = shape_of_x[options.axis < 0 ? shape_of_x.size() - 1 : 1];
    const std::int64_t g = options.groups;
    Index shape = options.kernel;
    if (kind == LayerKind::kSeparableConv) shape.assign(shape.size(), 1);
    std::int64_t out = options.out;
    switch (options.layout) {
      case KernelLayout::kSpatialInOut:
        shape = Joined(shape, {in / g, out});
        break;
      case KernelLayout::kSpatialOutIn:
        shape = Joined(shape, {out, in});
        break;
      case KernelLayout::kSpatialInMultiplier:
        shape = Joined(shape, {in, out});
        out *= in;
        break;
      case KernelLayout::kOutInSpatial:
        shape = Joined({out, in / g}, shape);
        break;
      case KernelLayout::kInOutSpatial:
        shape = Joined({in, out / g}, shape);
        break;
    }
    Tensor(layer, "kernel", shape, -1, 1);
    if (options.bias) Tensor(layer, "bias", {out}, -2, 2);
    return layer;
  }

  static void SayConvolution(LayerKind kind, const ConvOptions& options, Layer& layer) {
    if (kind == LayerKind::kDense) {
      layer.computation = network::MatrixProduct{};
      return;
    }
    const network::Sizes stride(options.kernel.size(), options.stride);
    if (kind == LayerKind::kConvTranspose) {
      network::TransposedConvolution transposed;
      transposed.stride = stride;
      transposed.more.assign(options.kernel.size(), options.output_padding);
      transposed.groups = options.groups;
      transposed.layout = options.layout;
      transposed.channel_axis = options.axis;
      layer.computation = transposed;
      return;
    }
    network::Convolution convolution;
    convolution.stride = stride;
    if (options.border == Border::kSame)
      convolution.padding.rule = network::PaddingRule::kSameUpper;
    convolution.groups = options.groups;
    convolution.layout = options.layout;
    convolution.channel_axis = options.axis;
    if (kind == LayerKind::kSeparableConv) {
      layer.depthwise_first = convolution;
      layer.depthwise_first->layout = KernelLayout::kSpatialInMultiplier;
      convolution.stride = {};
      convolution.padding = {};
    }
    layer.computation = convolution;
  }

  static network::Computation ComputationOf(LayerKind kind, std::int64_t axis,
                                            const Index& x_shape) {
    network::Sizes spatial;
    for (std::size_t i = axis == 1 ? 2 : 1; i + (axis == 1 ? 0 : 1) < x_shape.size(); ++i) {
      spatial.push_back(static_cast<std::int64_t>(i));
    }
    network::Reduction reduction;
    reduction.axes = {network::Axes::Which::kSpatial, {}, axis};
    reduction.keep = false;
    network::Pool pool;
    pool.size = pool.stride = network::Sizes(spatial.size(), 2);
    pool.padding.rule = network::PaddingRule::kSameUpper;
    pool.channel_axis = axis;
    switch (kind) {
      case LayerKind::kIdentity:
        return network::Unary{};
      case LayerKind::kAdd:
        return network::Binary{network::BinaryFunction::kAdd};
      case LayerKind::kConcat:
        return network::Concatenate{axis};
      case LayerKind::kAveragePool:
        pool.kind = network::Pool::Kind::kAverage;
        return pool;
      case LayerKind::kMaxPool:
        return pool;
      case LayerKind::kGlobalMaxPool:
        reduction.kind = network::Reduction::Kind::kMaximum;
        return reduction;
      case LayerKind::kGlobalAveragePool:
        return reduction;
      case LayerKind::kZeroPad: {
        network::Pad pad;
        pad.axes = spatial;
        pad.before.assign(spatial.size(), 1);
        pad.after.assign(spatial.size(), 2);
        return pad;
      }
      case LayerKind::kUpsample: {
        network::Resize resize;
        resize.axes = spatial;
        resize.scales.assign(spatial.size(), 2);
        return resize;
      }
      case LayerKind::kFlatten:
        return network::MergeAxes{1, -1};
      default:
        return network::Unknown{};
    }
  }

  Tensors Originals() const {
    Tensors originals;
    for (const auto& [name, array] : tensors_) originals[name] = array.data;
    return originals;
  }

  static std::vector<double> Find(const Tensors& tensors, const std::string& name) {
    const auto found = tensors.find(name);
    return found == tensors.end() ? std::vector<double>() : found->second;
  }

  Array Evaluate(NodeId node, const std::vector<Array>& inputs, const Tensors& tensors,
                 const GraphEdits& edits) const {
    const LayerId id = graph_.nodes[node].layer;
    const Layer& layer = graph_.layers[id];
    if (layer.is_input) return inputs_.at(node);
    const LayerKind kind = attributes_[id].kind;
    const bool channels_first = layer.axis == 1 && kind != LayerKind::kBatchNorm &&
                                kind != LayerKind::kConcat && kind != LayerKind::kFlatten;
    if (!channels_first) return Activate(layer, Apply(id, inputs, tensors, edits));
    const Array moved = MovedAxis(inputs[0], 1, inputs[0].shape.size() - 1);
    const Array y = Activate(layer, Apply(id, {moved}, tensors, edits));
    return y.shape.size() == 2 ? y : MovedAxis(y, y.shape.size() - 1, 1);
  }

  static Array Activate(const Layer& layer, Array y) {
    if (layer.activation == "relu") {
      for (double& element : y.data) element = std::max(element, 0.0);
    }
    return y;
  }

  Array Apply(LayerId id, const std::vector<Array>& inputs, const Tensors& tensors,
              const GraphEdits& edits) const {
    const Layer& layer = graph_.layers[id];
    const Attributes& attributes = attributes_[id];
    const auto find = [&](const char* local) { return Find(tensors, layer.name + "/" + local); };
    const auto kernel = [&] {
      return Kernel{Array(tensors_.at(layer.name + "/kernel").shape, find("kernel")), layer.layout,
                    layer.groups};
    };
    const auto is_in = [&](const std::vector<LayerId>& layers) {
      return std::find(layers.begin(), layers.end(), id) != layers.end();
    };
    // A layer without a bias has none unless the edits say that it gained one.
    std::vector<double> bias = find("bias");
    if (!tensors_.contains(layer.name + "/bias") && !is_in(edits.gained_bias)) bias.clear();
    const Array& x = inputs[0];
    const Index stride(x.shape.size() < 2 ? 0 : x.shape.size() - 2, attributes.stride);
    const Index two(stride.size(), 2);
    switch (attributes.kind) {
      case LayerKind::kConv:
      case LayerKind::kDepthwiseConv:
        return testing::Conv(x, kernel(), bias, stride, attributes.border);
      case LayerKind::kSeparableConv: {
        Array depthwise(tensors_.at(layer.name + "/depthwise_kernel").shape,
                        find("depthwise_kernel"));
        const Array between = testing::Conv(x, {depthwise, KernelLayout::kSpatialInMultiplier}, {},
                                            stride, attributes.border);
        return testing::Conv(between, kernel(), bias, Index(stride.size(), 1), Border::kValid);
      }
      case LayerKind::kConvTranspose:
        return testing::ConvTranspose(x, kernel(), bias, stride, attributes.output_padding);
      case LayerKind::kDense:
        return testing::Dense(x, kernel(), bias);
      case LayerKind::kBatchNorm: {
        if (is_in(edits.removed)) return x;
        const auto axis = static_cast<std::size_t>(
            *layer.axis < 0 ? *layer.axis + static_cast<std::int64_t>(x.shape.size())
                            : *layer.axis);
        return BatchNormalization(x, axis, find("gamma"), find("beta"), find("moving_mean"),
                                  find("moving_variance"), *layer.epsilon);
      }
      case LayerKind::kIdentity:
      case LayerKind::kActivation:
        return x;
      case LayerKind::kAdd: {
        Array sum = x;
        for (std::size_t i = 1; i < inputs.size(); ++i) {
          for (std::size_t e = 0; e < sum.data.size(); ++e) sum.data[e] += inputs[i].data.at(e);
        }
        return sum;
      }
      case LayerKind::kConcat:
        return Concat(inputs,
                      static_cast<std::size_t>(
                          *layer.axis < 0 ? *layer.axis + static_cast<std::int64_t>(x.shape.size())
                                          : *layer.axis));
      case LayerKind::kMaxPool:
        return Pool(x, two, two, Border::kSame, true);
      case LayerKind::kAveragePool:
        return Pool(x, two, two, Border::kSame, false);
      case LayerKind::kGlobalMaxPool:
      case LayerKind::kGlobalAveragePool: {
        const Array y = Pool(x, SpatialOf(x), SpatialOf(x), Border::kValid,
                             attributes.kind == LayerKind::kGlobalMaxPool);
        return Array({x.shape.front(), x.shape.back()}, y.data);
      }
      case LayerKind::kZeroPad:
        return ZeroPad(x, 1, 2);
      case LayerKind::kUpsample:
        return Repeat(x, 2);
      case LayerKind::kFlatten: {
        const Array y = layer.axis == 1 ? MovedAxis(x, 1, x.shape.size() - 1) : x;
        return Array({x.shape[0], static_cast<std::int64_t>(x.data.size()) / x.shape[0]}, y.data);
      }
      case LayerKind::kOther:
        return ApplyComputation(layer, inputs);
      case LayerKind::kInput:
        return x;
    }
    return x;
  }

  static Array ApplyComputation(const Layer& layer, const std::vector<Array>& inputs) {
    if (std::holds_alternative<network::Unknown>(layer.computation)) return inputs[0];
    std::vector<execution::Array> operands;
    for (const Array& x : inputs) operands.push_back({x.shape, x.data});
    network::reference::Operands pointers;
    for (const execution::Array& x : operands) pointers.push_back(&x);
    const execution::Array y = network::reference::Evaluated(layer.computation, pointers);
    return Array(y.shape, y.elements);
  }

  std::mt19937 random_;
  Dtype dtype_;
  ModelGraph graph_;
  std::vector<Attributes> attributes_;  // by layer
  std::map<NodeId, Array> inputs_;
  std::vector<Array> values_;
  std::vector<ValueId> outputs_;
  std::map<std::string, Array> tensors_;
  std::vector<std::pair<LayerId, std::string>> owners_;
  std::unique_ptr<MemoryCheckpoint> checkpoint_;
};

inline Result<FoldPlan> PlanFoldOf(TestNet& net, FoldOptions options = {}) {
  options.fold = true;
  return PlanFold(net.Checkpoint(), Analyse(net.Checkpoint().manifest()), options);
}

inline double MaxAbs(const std::vector<Array>& arrays) {
  double largest = 0;
  for (const Array& array : arrays) {
    for (const double element : array.data) largest = std::max(largest, std::fabs(element));
  }
  return largest;
}

inline double MaxDifference(const std::vector<Array>& a, const std::vector<Array>& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t e = 0; e < a[i].data.size(); ++e) {
      largest = std::max(largest, std::fabs(a[i].data[e] - b.at(i).data.at(e)));
    }
  }
  return largest;
}

// Folds, carries the plan out and compares the outputs. In float64 a right fold differs by some
// 1e-15 and a wrong one by about 1.
inline FoldPlan ExpectSameFunction(TestNet& net, FoldOptions options = {}) {
  const auto before = net.Run();
  auto plan = PlanFoldOf(net, std::move(options));
  EXPECT_TRUE(plan) << (plan ? "" : ToString(plan.error()));
  if (!plan) return {};
  const auto after = net.Run(net.Written(*plan), plan->edits);
  EXPECT_LE(MaxDifference(before, after), 1e-12 * std::max(1.0, MaxAbs(before)));
  EXPECT_GT(MaxAbs(before), 0);
  return *std::move(plan);
}

inline std::vector<std::string> FoldedScopes(const FoldPlan& plan) {
  std::vector<std::string> scopes;
  for (const Folded& folded : plan.folded) scopes.push_back(folded.batch_norm);
  return scopes;
}
inline std::string ReasonOf(const FoldPlan& plan, const std::string& scope) {
  for (const Kept& kept : plan.kept) {
    if (kept.batch_norm == scope) return kept.reason;
  }
  return "(not kept)";
}

}  // namespace ckpt::testing
