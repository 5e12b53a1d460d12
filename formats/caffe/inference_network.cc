#include "formats/caffe/inference_network.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "formats/caffe/net_graph.h"

namespace ckpt::formats {
namespace {

using namespace network;
using network::ValueId;  // not the layer graph's

// The message's integer; what no real net has becomes 2^40.
std::int64_t Whole(double number) {
  constexpr double kMost = 1099511627776;
  return std::abs(number) < kMost ? static_cast<std::int64_t>(number) : std::int64_t{1} << 40;
}

// Of a repeated field for all `count` spatial axes, of which one number may stand for all; or of
// the fields of height and width.
Sizes AlongAxes(const CaffeLayer& layer, std::uint32_t message, std::uint32_t field,
                std::uint32_t height, std::size_t count, std::int64_t otherwise) {
  const auto of_height = layer.attributes.find({message, height});
  if (count == 2 && of_height != layer.attributes.end()) {
    const auto number = [&](std::uint32_t at) {
      return Whole(CaffeNumber(layer, message, at, static_cast<double>(otherwise)));
    };
    return {number(height), number(height + 1)};
  }
  const auto found = layer.attributes.find({message, field});
  if (found == layer.attributes.end() || found->second.empty()) return Sizes(count, otherwise);
  Sizes sizes;
  for (const double size : found->second) sizes.push_back(Whole(size));
  if (sizes.size() == 1) sizes.resize(count, sizes.front());
  return sizes;
}

Sizes Listed(const CaffeLayer& layer, std::uint32_t message, std::uint32_t field) {
  const auto found = layer.attributes.find({message, field});
  Sizes sizes;
  if (found == layer.attributes.end()) return sizes;
  for (const double size : found->second) sizes.push_back(Whole(size));
  return sizes;
}

std::int64_t AxisOf(const CaffeLayer& layer, std::uint32_t message, std::uint32_t field,
                    std::int64_t otherwise) {
  const double axis = CaffeNumber(layer, message, field, static_cast<double>(otherwise));
  return axis >= -64 && axis <= 64 ? static_cast<std::int64_t>(axis) : otherwise;
}

class Translator {
 public:
  Translator(const std::vector<CaffeLayer>& layers, const Manifest& manifest,
             NetworkBuilder::Contradictions contradictions)
      : layers_(layers), manifest_(manifest), builder_(Origin::kCaffeNet, contradictions) {}

  CaffeNetwork Run() {
    for (const CaffeLayer& layer : layers_) {
      const bool loss = layer.type.ends_with("Loss") || layer.type == "Accuracy";
      if (loss) builder_.AddNote(layer.name + ": only trains");
      if (layer.train_only || loss) continue;
      Add(layer);
    }
    for (const auto& [blob, value] : values_) {
      if (!read_.contains(value) && !inputs_.contains(value)) builder_.AddOutput(blob, value);
    }
    return {std::move(builder_).Finish(), std::move(net_layers_)};
  }

 private:
  void StartLayer(std::string name, std::string type, std::size_t index) {
    builder_.StartLayer(std::move(name), std::move(type));
    net_layers_.push_back(index);
  }

  void Add(const CaffeLayer& layer) {
    const std::string& type = layer.type;
    if (type == "Input" || type == "Data" || type == "DummyData") {
      for (const std::string& top : layer.tops) AddInput(top, Listed(layer, kInputParam, 1));
      return;
    }
    bottoms_.clear();
    for (const std::string& bottom : layer.bottoms) {
      if (!values_.contains(bottom)) AddInput(bottom, {});
      bottoms_.push_back(values_.at(bottom));
      read_.insert(bottoms_.back());
    }
    layer_ = &layer;
    if (type == "InnerProduct" && !bottoms_.empty()) FlattenFirst();
    StartLayer(layer.name, type, static_cast<std::size_t>(&layer - layers_.data()));
    if (type == "Slice") return AddSlices();
    const ValueId value = bottoms_.empty() ? NotUnderstood("it reads nothing") : Translate();
    for (const std::string& top : layer.tops) values_[top] = value;
  }

  void AddInput(const std::string& name, Sizes shape) {
    if (!shape.empty()) shape[0] = kUnknownSize;
    values_[name] = builder_.AddInput(name, shape.empty() ? PartialShape() : PartialShape(shape));
    inputs_.insert(values_[name]);
  }

  ValueId NotUnderstood(std::string why) {
    return Yield(Unknown{layer_->type, std::move(why)}, bottoms_);
  }
  ValueId Yield(Computation computation, std::vector<ValueId> operands) {
    return builder_.Add(std::move(computation), std::move(operands), layer_->name);
  }
  ValueId x() const { return bottoms_.front(); }

  // A blob, with axes of size 1 behind its own; none where the layer has not as many.
  ValueId Blob(std::size_t index, std::size_t more_axes = 0) {
    if (index >= layer_->blobs.size()) return kNoValue;
    const auto id = FindTensor(manifest_, layer_->blobs[index].tensor);
    if (!id) return kNoValue;
    const TensorInfo& info = manifest_.tensors[id->index];
    Sizes shape(info.shape.dims().begin(), info.shape.dims().end());
    if (more_axes == 0) return builder_.AddStored(info.name, {*id, {}, {}}, shape);
    shape.resize(shape.size() + more_axes, 1);
    return builder_.AddStored(info.name, {*id, shape, {}}, shape);
  }
  std::size_t BlobRank(std::size_t index) const { return layer_->blobs[index].shape.rank(); }

  ValueId Translate() {
    const std::string& type = layer_->type;
    if (type == "Convolution") return Slide(Convolution{}, KernelLayout::kOutInSpatial);
    if (type == "Deconvolution") return Slide(TransposedConvolution{}, KernelLayout::kInOutSpatial);
    if (type == "InnerProduct") return Connect();
    if (type == "BatchNorm") return Normalize();
    if (type == "Scale") return Scale();
    if (type == "Bias") return Along(BinaryFunction::kAdd, 0, AxisOf(*layer_, kBiasParam, 1, 1));
    if (type == "Pooling") return PoolOver();
    if (type == "LRN") return RespondLocally();
    if (type == "Eltwise") return Combine();
    if (type == "Reshape") return ReshapeTo();
    if (type == "Permute") return Permute();
    if (type == "Softmax") return Yield(Softmax{AxisOf(*layer_, kSoftmaxParam, 2, 1)}, {x()});
    if (type == "Concat") {
      return Yield(
          Concatenate{AxisOf(*layer_, kConcatParam, 2, AxisOf(*layer_, kConcatParam, 1, 1))},
          bottoms_);
    }
    if (type == "Flatten") {
      return Yield(
          MergeAxes{AxisOf(*layer_, kFlattenParam, 1, 1), AxisOf(*layer_, kFlattenParam, 2, -1)},
          {x()});
    }
    return Activate();
  }

  ValueId Activate() {
    const std::string& type = layer_->type;
    if (type == "ReLU") {
      const double slope = CaffeNumber(*layer_, kReluParam, 1, 0);
      if (slope == 0) return Yield(Unary{UnaryFunction::kRelu}, {x()});
      return Yield(Unary{UnaryFunction::kLeakyRelu, slope}, {x()});
    }
    if (type == "PReLU") {
      const bool shared = !layer_->blobs.empty() && layer_->blobs[0].shape.element_count() == 1;
      return Along(BinaryFunction::kLeakyRelu, 0, shared ? 0 : 1);
    }
    if (type == "ELU") {
      return Yield(Unary{UnaryFunction::kElu, CaffeNumber(*layer_, kEluParam, 1, 1)}, {x()});
    }
    if (type == "Power") {
      const double power = CaffeNumber(*layer_, kPowerParam, 1, 1);
      const Unary line{UnaryFunction::kLinear, CaffeNumber(*layer_, kPowerParam, 2, 1),
                       CaffeNumber(*layer_, kPowerParam, 3, 0)};
      if (power == 1) return Yield(line, {x()});
      return Yield(Unary{UnaryFunction::kPower, power}, {builder_.Add(line, {x()})});
    }
    if (type == "Sigmoid") return Yield(Unary{UnaryFunction::kSigmoid}, {x()});
    if (type == "TanH") return Yield(Unary{UnaryFunction::kTanh}, {x()});
    if (type == "AbsVal") return Yield(Unary{UnaryFunction::kAbs}, {x()});
    if (type == "BNLL") return Yield(Unary{UnaryFunction::kSoftplus}, {x()});
    if (type == "Dropout" || type == "Split") return Yield(Unary{}, {x()});
    return NotUnderstood("nothing of the vocabulary says it");
  }

  // What a convolution and a deconvolution have in common; the layout is the kernel's.
  template <class T>
  ValueId Slide(T convolution, KernelLayout layout) {
    if (AxisOf(*layer_, kConvolutionParam, 16, 1) != 1 || layer_->blobs.empty() ||
        BlobRank(0) < 3) {
      return NotUnderstood("its axis or its kernel");
    }
    const std::size_t axes = BlobRank(0) - 2;
    convolution.stride = AlongAxes(*layer_, kConvolutionParam, 6, 13, axes, 1);
    convolution.dilation = AlongAxes(*layer_, kConvolutionParam, 18, 0, axes, 1);
    convolution.padding.before = AlongAxes(*layer_, kConvolutionParam, 3, 9, axes, 0);
    convolution.padding.after = convolution.padding.before;
    convolution.groups = Whole(CaffeNumber(*layer_, kConvolutionParam, 5, 1));
    convolution.layout = layout;
    convolution.channel_axis = 1;
    return Yield(std::move(convolution), {x(), Blob(0), Blob(1)});
  }

  // A dense layer flattens what it reads.
  void FlattenFirst() {
    StartLayer(layer_->name + "/flatten", "flatten", kNoCaffeLayer);
    const std::int64_t first = AxisOf(*layer_, kInnerProductParam, 5, 1);
    bottoms_ = {builder_.Add(MergeAxes{first, -1}, {x()})};
    // The rank follows, whatever that of the data is.
    if (first >= 0) builder_.Record(x(), Sizes(static_cast<std::size_t>(first) + 1, kUnknownSize));
  }
  ValueId Connect() {
    if (layer_->blobs.empty()) return NotUnderstood("the file holds no weights of it");
    MatrixProduct product;
    product.transpose_b = CaffeNumber(*layer_, kInnerProductParam, 6, 0) == 0;
    const ValueId bias = Blob(1);
    if (bias == kNoValue) return Yield(product, {x(), Blob(0)});
    const ValueId y = builder_.Add(product, {x(), Blob(0)});
    return Yield(Binary{BinaryFunction::kAdd}, {y, bias});
  }

  ValueId Normalize() {
    const std::size_t blobs = layer_->blobs.size();
    if (blobs != kStatisticsAndFactor && blobs != kBlobsWithScaleAndBias) {
      return NotUnderstood("it has " + std::to_string(blobs) + " blobs");
    }
    BatchNormalization norm;
    norm.axis = 1;
    norm.epsilon = CaffeNumber(*layer_, kBatchNormParam, 3, 1e-5F);
    norm.momentum = CaffeNumber(*layer_, kBatchNormParam, 2, 0.999F);
    norm.of_batch = CaffeNumber(*layer_, kBatchNormParam, 1, 1) == 0;
    const bool own_scale = blobs == kBlobsWithScaleAndBias;
    if (own_scale) norm.epsilon = std::max<double>(norm.epsilon, 1e-5F);
    return Yield(norm, {x(), own_scale ? Blob(3) : kNoValue, own_scale ? Blob(4) : kNoValue,
                        Blob(0), Blob(1)});
  }

  // A function of x and a blob or another bottom whose first axis is `axis` of x.
  ValueId Along(BinaryFunction function, std::size_t blob, std::int64_t axis) {
    const auto rank = builder_.RankOf(x());
    if (!rank || axis < -*rank || axis >= *rank) return NotUnderstood("its axis");
    const std::int64_t first = axis < 0 ? axis + *rank : axis;
    const bool by_bottom = bottoms_.size() == 2;
    if (!by_bottom && blob >= layer_->blobs.size()) return NotUnderstood("it has no blob");
    const auto own = by_bottom ? builder_.RankOf(bottoms_[1])
                               : std::optional(static_cast<std::int64_t>(RankOfBlob(blob)));
    if (!own || first + *own > *rank) return NotUnderstood("the ranks of what it combines");
    const auto more = static_cast<std::size_t>(*rank - first - *own);
    if (!by_bottom) return Yield(Binary{function}, {x(), Blob(blob, more)});
    InsertAxes insert;
    for (std::size_t i = 1; i <= more; ++i) insert.axes.push_back(-static_cast<std::int64_t>(i));
    const ValueId other = more == 0 ? bottoms_[1] : builder_.Add(std::move(insert), {bottoms_[1]});
    return Yield(Binary{function}, {x(), other});
  }
  std::size_t RankOfBlob(std::size_t blob) const {
    const auto id = FindTensor(manifest_, layer_->blobs[blob].tensor);
    return id ? manifest_.tensors[id->index].shape.rank() : BlobRank(blob);
  }

  ValueId Scale() {
    const std::int64_t axis = AxisOf(*layer_, kScaleParam, 1, 1);
    const bool by_bottom = bottoms_.size() == 2;
    const std::size_t bias = by_bottom ? 0 : 1;
    const ValueId scaled = Along(BinaryFunction::kMultiply, 0, axis);
    if (CaffeNumber(*layer_, kScaleParam, 4, 0) == 0 && layer_->blobs.size() <= bias) return scaled;
    if (layer_->blobs.size() <= bias) return NotUnderstood("it has no bias");
    bottoms_ = {scaled};
    return Along(BinaryFunction::kAdd, bias, axis);
  }

  ValueId PoolOver() {
    const double kind = CaffeNumber(*layer_, kPoolingParam, 1, 0);
    if (kind != 0 && kind != 1) return NotUnderstood("it draws random numbers");
    if (CaffeNumber(*layer_, kPoolingParam, 12, 0) != 0) {
      Reduction reduction;
      reduction.kind = kind == 0 ? Reduction::Kind::kMaximum : Reduction::Kind::kMean;
      reduction.axes = {Axes::Which::kSpatial, {}, 1};
      return Yield(reduction, {x()});
    }
    Pool pool;
    pool.kind = kind == 0 ? Pool::Kind::kMaximum : Pool::Kind::kAverage;
    pool.size = AlongAxes(*layer_, kPoolingParam, 2, 5, 2, 0);
    pool.stride = AlongAxes(*layer_, kPoolingParam, 3, 7, 2, 1);
    pool.padding.before = pool.padding.after = AlongAxes(*layer_, kPoolingParam, 4, 9, 2, 0);
    pool.ceil = CaffeNumber(*layer_, kPoolingParam, 13, 0) == 0;
    pool.count_padding = true;
    pool.channel_axis = 1;
    for (std::size_t i = 0; i < 2; ++i) {
      if (pool.stride[i] > pool.size[i])
        return NotUnderstood("windows that may lie beside the data");
    }
    return Yield(std::move(pool), {x()});
  }

  ValueId RespondLocally() {
    if (CaffeNumber(*layer_, kLrnParam, 4, 0) != 0) return NotUnderstood("it is of each channel");
    LocalResponseNormalization norm;
    norm.size = Whole(CaffeNumber(*layer_, kLrnParam, 1, 5));
    if (norm.size < 1) return NotUnderstood("its window");
    norm.channel_axis = 1;
    norm.alpha = CaffeNumber(*layer_, kLrnParam, 2, 1) / static_cast<double>(norm.size);
    norm.beta = CaffeNumber(*layer_, kLrnParam, 3, 0.75);
    norm.bias = CaffeNumber(*layer_, kLrnParam, 5, 1);
    return Yield(norm, {x()});
  }

  ValueId Combine() {
    constexpr double kProduct = 0, kSum = 1;
    const double operation = CaffeNumber(*layer_, kEltwiseParam, 1, kSum);
    const auto weights = layer_->attributes.find({kEltwiseParam, 2});
    std::vector<ValueId> operands = bottoms_;
    if (weights != layer_->attributes.end() && operation == kSum) {
      if (weights->second.size() != operands.size()) return NotUnderstood("its coefficients");
      for (std::size_t i = 0; i < operands.size(); ++i) {
        const double weight = weights->second[i];
        if (weight == 1) continue;
        operands[i] = builder_.Add(Unary{UnaryFunction::kLinear, weight, 0}, {operands[i]});
      }
    }
    return Yield(Binary{operation == kProduct ? BinaryFunction::kMultiply
                        : operation == kSum   ? BinaryFunction::kAdd
                                              : BinaryFunction::kMaximum},
                 std::move(operands));
  }

  ValueId ReshapeTo() {
    if (AxisOf(*layer_, kReshapeParam, 2, 0) != 0 || AxisOf(*layer_, kReshapeParam, 3, -1) != -1) {
      return NotUnderstood("it reshapes some of the axes");
    }
    Reshape reshape;
    reshape.shape = Listed(*layer_, kReshapeParam, 1);
    reshape.zero_copies = true;
    return Yield(std::move(reshape), {x()});
  }

  // Axes that are not listed follow in their order.
  ValueId Permute() {
    Transpose transpose{Listed(*layer_, kPermuteParam, 1)};
    const auto rank = builder_.RankOf(x());
    if (!rank) return NotUnderstood("the rank of its data is not known");
    for (std::int64_t axis = 0; axis < *rank; ++axis) {
      const auto& order = transpose.order;
      if (std::find(order.begin(), order.end(), axis) == order.end()) {
        transpose.order.push_back(axis);
      }
    }
    return Yield(std::move(transpose), {x()});
  }

  void AddSlices() {
    Split split{AxisOf(*layer_, kSliceParam, 3, AxisOf(*layer_, kSliceParam, 1, 1)), {}};
    std::int64_t before = 0;
    for (const std::int64_t point : Listed(*layer_, kSliceParam, 2)) {
      split.sizes.push_back(point - before);
      before = point;
    }
    if (!split.sizes.empty()) split.sizes.push_back(kUnknownSize);
    if (bottoms_.size() != 1 || layer_->tops.empty()) return;
    const auto parts = builder_.AddMany(std::move(split), {x()}, layer_->tops.size(), layer_->name);
    for (std::size_t i = 0; i < parts.size(); ++i) values_[layer_->tops[i]] = parts[i];
  }

  const std::vector<CaffeLayer>& layers_;
  const Manifest& manifest_;
  NetworkBuilder builder_;
  std::vector<std::size_t> net_layers_;    // by layer of the network
  std::map<std::string, ValueId> values_;  // of blob names, as last written
  std::set<ValueId> read_, inputs_;
  const CaffeLayer* layer_ = nullptr;  // the one that is translated, and what it reads
  std::vector<ValueId> bottoms_;
};

}  // namespace

CaffeNetwork TranslateCaffe(const std::vector<CaffeLayer>& layers, const Manifest& manifest,
                            NetworkBuilder::Contradictions contradictions) {
  return Translator(layers, manifest, contradictions).Run();
}

}  // namespace ckpt::formats
