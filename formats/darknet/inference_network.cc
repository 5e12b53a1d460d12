#include "formats/darknet/inference_network.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace ckpt::formats {
namespace {

using namespace network;
using network::ValueId;  // not the layer graph's

// Inside the root, on the GPU and in AlexeyAB's fork; see also the manifest's metadata.
constexpr double kEpsilon = 1e-5;

std::optional<Unary> ActivationOf(const std::string& name) {
  if (name == "relu") return Unary{UnaryFunction::kRelu};
  if (name == "relu6") return Unary{UnaryFunction::kClip, 0, 6};
  if (name == "hardtan") return Unary{UnaryFunction::kClip, -1, 1};
  if (name == "leaky") return Unary{UnaryFunction::kLeakyRelu, 0.1};
  if (name == "relie") return Unary{UnaryFunction::kLeakyRelu, 0.01};
  if (name == "logistic") return Unary{UnaryFunction::kSigmoid};
  if (name == "tanh") return Unary{UnaryFunction::kTanh};
  if (name == "elu") return Unary{UnaryFunction::kElu, 1};
  if (name == "selu") return Unary{UnaryFunction::kSelu, 1.6732, 1.0507};
  if (name == "swish") return Unary{UnaryFunction::kSilu, 1};
  if (name == "mish") return Unary{UnaryFunction::kMish};
  if (name == "gelu") return Unary{UnaryFunction::kGeluTanh};
  return std::nullopt;
}

// A number that the cfg writes with a point; `otherwise` where it is not there or is none.
double RealOf(const CfgSection& section, const char* key, double otherwise) {
  const std::string text = section.Text(key);
  double number = otherwise;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  return failed == std::errc() && end == text.data() + text.size() ? number : otherwise;
}

class Translator {
 public:
  Translator(const Manifest& manifest, NetworkBuilder::Contradictions contradictions)
      : manifest_(manifest), builder_(Origin::kDarknetConfig, contradictions) {}

  Status Begin(const CfgSection& net) {
    CKPT_ASSIGN_OR_RETURN(std::int64_t channels, net.Integer("channels", 0));
    CKPT_ASSIGN_OR_RETURN(std::int64_t height, net.Integer("height", 0));
    CKPT_ASSIGN_OR_RETURN(std::int64_t width, net.Integer("width", 0));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t inputs, net.Integer("inputs", 0));
    if (channels == 0) {
      channels = inputs;
      height = width = 1;
    }
    const auto known = [](std::int64_t size) { return size == 0 ? kUnknownSize : size; };
    last_ = builder_.AddInput("input", Sizes{kUnknownSize, channels, known(height), known(width)});
    return {};
  }

  Status Add(const CfgSection& section) {
    std::string number = std::to_string(outputs_.size());
    if (number.size() < 3) number.insert(0, 3 - number.size(), '0');
    layer_ = number + "_" + section.kind;
    if (section.kind == "connected" || section.kind == "conn") FlattenFirst();
    builder_.StartLayer(layer_, section.kind);
    CKPT_ASSIGN_OR_RETURN(last_, Dispatch(section));
    outputs_.push_back(last_);
    return {};
  }

  Result<Network> Finish() && {
    if (ports_.empty() || ports_.back().second != last_) ports_.emplace_back(layer_, last_);
    for (const auto& [name, value] : ports_) builder_.AddOutput(name, value);
    return std::move(builder_).Finish();
  }

 private:
  Result<ValueId> Dispatch(const CfgSection& section) {
    const std::string& kind = section.kind;
    if (kind == "convolutional" || kind == "conv") return Convolve(section);
    if (kind == "deconvolutional" || kind == "deconv") {
      return NormalizeAndActivate(section, NotUnderstood(section, "how its weights lie"), 1);
    }
    if (kind == "connected" || kind == "conn") return Connect(section);
    if (kind == "batchnorm") return Normalize(last_, 1, layer_);
    if (kind == "route") return Route(section);
    if (kind == "shortcut") return Shortcut(section);
    if (kind == "scale_channels" || kind == "sam") return Multiply(section);
    if (kind == "maxpool" || kind == "max" || kind == "local_avgpool") return PoolOver(section);
    if (kind == "avgpool" || kind == "avg") {
      Reduction mean;
      mean.axes = {Axes::Which::kSpatial, {}, 1};
      return builder_.Add(mean, {last_}, layer_);
    }
    if (kind == "upsample") return Upsample(section);
    if (kind == "reorg" || kind == "reorg_old") return Reorganise(section);
    if (kind == "crop") return Crop(section);
    if (kind == "activation") return Activate(section, last_, "linear", layer_);
    if (kind == "softmax" || kind == "soft") return SoftmaxOver(section);
    if (kind == "yolo") return Detect(section);
    if (kind == "dropout" || kind == "cost") {
      builder_.AddNote(layer_ + ": only trains");
      return builder_.Add(Unary{}, {last_}, layer_);
    }
    const ValueId unknown = NotUnderstood(section, "nothing of the vocabulary says it");
    if (kind == "region" || kind == "Gaussian_yolo" || kind == "detection") {
      ports_.emplace_back(layer_, unknown);
    }
    return unknown;
  }

  ValueId NotUnderstood(const CfgSection& section, std::string why) {
    return builder_.Add(Unknown{section.kind, std::move(why)}, {last_}, layer_);
  }

  // One of the layer's arrays; none where the file stores none ("dontload").
  ValueId Array(const char* name) {
    const auto id = FindTensor(manifest_, layer_ + "/" + name);
    if (!id) return kNoValue;
    const auto dims = manifest_.tensors[id->index].shape.dims();
    return builder_.AddStored(layer_ + "/" + name, {*id, {}, {}}, {dims.begin(), dims.end()});
  }

  ValueId Normalize(ValueId x, std::int64_t axis, std::string name) {
    builder_.StartLayer(layer_ + "/batch_normalize", "batch_normalize");
    BatchNormalization norm;
    norm.axis = axis;
    norm.epsilon = kEpsilon;
    const ValueId gamma = Array("scales"), beta = Array("biases"), mean = Array("rolling_mean"),
                  variance = Array("rolling_variance");
    if (mean == kNoValue || variance == kNoValue) {
      const Unknown unknown{"batch_normalize", "the file holds no statistics of it"};
      return builder_.Add(unknown, {x}, std::move(name));
    }
    return builder_.Add(norm, {x, gamma, beta, mean, variance}, std::move(name));
  }

  ValueId Activate(const CfgSection& section, ValueId x, const char* otherwise, std::string name) {
    const std::string activation = section.Text("activation", otherwise);
    if (activation == "linear") return x;
    builder_.StartLayer(layer_ + "/" + activation, activation);
    if (activation == "loggy") {
      const ValueId sigmoid = builder_.Add(Unary{UnaryFunction::kSigmoid}, {x});
      return builder_.Add(Unary{UnaryFunction::kLinear, 2, -1}, {sigmoid}, std::move(name));
    }
    const auto function = ActivationOf(activation);
    if (function) return builder_.Add(*function, {x}, std::move(name));
    return builder_.Add(Unknown{activation, "an activation of Darknet's own"}, {x},
                        std::move(name));
  }

  static Result<Sizes> Strides(const CfgSection& section) {
    CKPT_ASSIGN_OR_RETURN(const std::int64_t stride, section.Integer("stride", 1));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t down, section.Integer("stride_y", stride));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t right, section.Integer("stride_x", stride));
    return Sizes{down, right};
  }

  Result<ValueId> Convolve(const CfgSection& section) {
    CKPT_ASSIGN_OR_RETURN(const ValueId x, ConvolveAlone(section));
    return NormalizeAndActivate(section, x, 1);
  }

  // With its bias where no batch norm follows.
  Result<ValueId> ConvolveAlone(const CfgSection& section) {
    for (const char* key : {"binary", "xnor", "bin_output", "rotate", "sway", "stretch"}) {
      CKPT_ASSIGN_OR_RETURN(const std::int64_t set, section.Integer(key, 0, true));
      if (set != 0) return NotUnderstood(section, std::string("it has ") + key);
    }
    Convolution convolution;
    CKPT_ASSIGN_OR_RETURN(const std::int64_t size, section.Integer("size", 1));
    CKPT_ASSIGN_OR_RETURN(convolution.stride, Strides(section));
    CKPT_ASSIGN_OR_RETURN(convolution.groups, section.Integer("groups", 1));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t dilation, section.Integer("dilation", 1));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t pad, section.Integer("pad", 0));
    CKPT_ASSIGN_OR_RETURN(std::int64_t padding, section.Integer("padding", 0));
    if (pad != 0) padding = size / 2;
    convolution.dilation = {dilation, dilation};
    convolution.padding.before = convolution.padding.after = {padding, padding};
    convolution.layout = KernelLayout::kOutInSpatial;
    convolution.channel_axis = 1;
    CKPT_ASSIGN_OR_RETURN(const std::int64_t normalized, section.Integer("batch_normalize", 0));
    const ValueId kernel = Array("weights");
    if (kernel == kNoValue) return NotUnderstood(section, "the file holds no weights of it");
    return builder_.Add(convolution, {last_, kernel, normalized == 0 ? Array("biases") : kNoValue},
                        layer_);
  }

  // What Darknet counts as parts of a convolution or a connected layer.
  Result<ValueId> NormalizeAndActivate(const CfgSection& section, ValueId x, std::int64_t axis) {
    CKPT_ASSIGN_OR_RETURN(const std::int64_t normalized, section.Integer("batch_normalize", 0));
    if (normalized != 0) x = Normalize(x, axis, layer_ + "/batch_normalize");
    return Activate(section, x, "logistic", layer_ + "/activation");
  }

  // A connected layer flattens what it reads.
  void FlattenFirst() {
    builder_.StartLayer(layer_ + "/flatten", "flatten");
    last_ = builder_.Add(MergeAxes{}, {last_});
  }

  Result<ValueId> Connect(const CfgSection& section) {
    const ValueId kernel = Array("weights");
    if (kernel == kNoValue) return NotUnderstood(section, "the file holds no weights of it");
    MatrixProduct product;
    product.transpose_b = true;
    ValueId x = builder_.Add(product, {last_, kernel}, layer_);
    CKPT_ASSIGN_OR_RETURN(const std::int64_t normalized, section.Integer("batch_normalize", 0));
    if (normalized == 0) x = builder_.Add(Binary{BinaryFunction::kAdd}, {x, Array("biases")});
    CKPT_ASSIGN_OR_RETURN(x, NormalizeAndActivate(section, x, -1));
    // Darknet goes on with one pixel of so many channels.
    builder_.StartLayer(layer_ + "/pixel", "reshape");
    return builder_.Add(InsertAxes{{2, 3}}, {x});
  }

  Result<ValueId> OutputOf(std::int64_t index) const {
    const auto count = static_cast<std::int64_t>(outputs_.size());
    if (index < 0) index += count;
    if (index >= 0 && index < count) return outputs_[static_cast<std::size_t>(index)];
    return Fail(ErrorCode::kCorrupt,
                "the layer " + layer_ + " reads a layer that does not come before it");
  }

  Result<ValueId> Route(const CfgSection& section) {
    CKPT_ASSIGN_OR_RETURN(const std::vector<std::int64_t> layers, section.Integers("layers"));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t groups, section.Integer("groups", 1));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t group, section.Integer("group_id", 0));
    constexpr std::int64_t kMostParts = 1 << 20;  // of all layers
    if (groups < 1 || group >= groups ||
        groups > (kMostParts - parts_) / static_cast<std::int64_t>(layers.size() + 1)) {
      return Fail(ErrorCode::kCorrupt, "the layer " + layer_ + " has no such group");
    }
    std::vector<ValueId> parts;
    for (const std::int64_t index : layers) {
      CKPT_ASSIGN_OR_RETURN(const ValueId read, OutputOf(index));
      parts.push_back(read);
      if (groups == 1) continue;
      parts_ += groups;
      parts.back() = builder_.AddMany(
          Split{1, {}}, {read}, static_cast<std::size_t>(groups))[static_cast<std::size_t>(group)];
    }
    if (parts.size() == 1) return builder_.Add(Unary{}, std::move(parts), layer_);
    return builder_.Add(Concatenate{1}, std::move(parts), layer_);
  }

  Result<ValueId> Shortcut(const CfgSection& section) {
    CKPT_ASSIGN_OR_RETURN(const std::vector<std::int64_t> from, section.Integers("from"));
    if (RealOf(section, "alpha", 1) != 1 || RealOf(section, "beta", 1) != 1) {
      return NotUnderstood(section, "its summands are weighted");
    }
    std::vector<ValueId> summands = {last_};
    for (const std::int64_t index : from) {
      CKPT_ASSIGN_OR_RETURN(const ValueId read, OutputOf(index));
      if (builder_.ShapeOf(read) != builder_.ShapeOf(last_)) {
        return NotUnderstood(section, "its summands have different shapes");
      }
      summands.push_back(read);
    }
    if (summands.size() < 2) return NotUnderstood(section, "it adds nothing");
    const ValueId sum = builder_.Add(Binary{BinaryFunction::kAdd}, std::move(summands), layer_);
    return Activate(section, sum, "linear", layer_ + "/activation");
  }

  // One number for each channel, each pixel or each element.
  Result<ValueId> Multiply(const CfgSection& section) {
    CKPT_ASSIGN_OR_RETURN(const std::vector<std::int64_t> from, section.Integers("from"));
    if (from.size() != 1) {
      return Fail(ErrorCode::kCorrupt, "the layer " + layer_ + " does not read one layer");
    }
    CKPT_ASSIGN_OR_RETURN(const ValueId read, OutputOf(from.front()));
    const ValueId product = builder_.Add(Binary{BinaryFunction::kMultiply}, {read, last_}, layer_);
    return Activate(section, product, "linear", layer_ + "/activation");
  }

  // `padding` is the amount on both sides together.
  Result<ValueId> PoolOver(const CfgSection& section) {
    for (const char* key : {"maxpool_depth", "antialiasing"}) {
      CKPT_ASSIGN_OR_RETURN(const std::int64_t set, section.Integer(key, 0));
      if (set != 0) return NotUnderstood(section, std::string("it has ") + key);
    }
    Pool pool;
    CKPT_ASSIGN_OR_RETURN(pool.stride, Strides(section));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t stride, section.Integer("stride", 1));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t size, section.Integer("size", stride));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t padding, section.Integer("padding", size - 1));
    const bool average = section.kind == "local_avgpool";
    pool.kind = average ? Pool::Kind::kAverage : Pool::Kind::kMaximum;
    pool.size = {size, size};
    pool.padding.before = {padding / 2, padding / 2};
    pool.padding.after = {padding - padding / 2, padding - padding / 2};
    pool.channel_axis = 1;
    return builder_.Add(pool, {last_}, layer_);
  }

  Result<ValueId> Upsample(const CfgSection& section) {
    CKPT_ASSIGN_OR_RETURN(const std::int64_t stride, section.Integer("stride", 2, true));
    if (stride < 1) return NotUnderstood(section, "its stride is no factor");
    Resize resize;
    resize.place = Resize::Place::kAsymmetric;
    resize.axes = {2, 3};
    resize.scales = {static_cast<double>(stride), static_cast<double>(stride)};
    const double scale = RealOf(section, "scale", 1);
    if (scale == 1) return builder_.Add(resize, {last_}, layer_);
    const ValueId larger = builder_.Add(resize, {last_});
    return builder_.Add(Unary{UnaryFunction::kLinear, scale, 0}, {larger}, layer_);
  }

  // The data are read as fewer channels of a larger image, whose blocks become channels; the result
  // is read as a smaller image again.
  Result<ValueId> Reorganise(const CfgSection& section) {
    CKPT_ASSIGN_OR_RETURN(const std::int64_t block, section.Integer("stride", 1));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t reverse, section.Integer("reverse", 0));
    const PartialShape shape = builder_.ShapeOf(last_);
    const bool sized = shape && shape->size() == 4 && (*shape)[1] > 0 && (*shape)[2] > 0 &&
                       (*shape)[3] > 0 && std::max({(*shape)[1], (*shape)[2], (*shape)[3]}) < 65536;
    if (reverse != 0 || !sized || block < 1 || block > 256 || (*shape)[1] % (block * block) != 0 ||
        (*shape)[2] % block != 0 || (*shape)[3] % block != 0) {
      return NotUnderstood(section, "its blocks do not fit its data");
    }
    const std::int64_t area = block * block;
    Reshape wide, narrow;
    wide.of_example = narrow.of_example = true;
    wide.shape = {(*shape)[1] / area, (*shape)[2] * block, (*shape)[3] * block};
    narrow.shape = {(*shape)[1] * area, (*shape)[2] / block, (*shape)[3] / block};
    SpaceAndDepth blocks;
    blocks.to_space = false;
    blocks.block = block;
    blocks.channel_axis = 1;
    const ValueId larger = builder_.Add(std::move(wide), {last_});
    return builder_.Add(std::move(narrow), {builder_.Add(blocks, {larger})}, layer_);
  }

  // The middle, stretched to [-1, 1].
  Result<ValueId> Crop(const CfgSection& section) {
    CKPT_ASSIGN_OR_RETURN(const std::int64_t height, section.Integer("crop_height", 1));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t width, section.Integer("crop_width", 1));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t as_it_is, section.Integer("noadjust", 0));
    const PartialShape shape = builder_.ShapeOf(last_);
    if (!shape || shape->size() != 4 || (*shape)[2] < height || (*shape)[3] < width) {
      return NotUnderstood(section, "it crops what is not known to be larger");
    }
    const std::int64_t down = ((*shape)[2] - height) / 2, right = ((*shape)[3] - width) / 2;
    Slice slice;
    slice.axes = {2, 3};
    slice.begin = {down, right};
    slice.end = {down + height, right + width};
    if (as_it_is != 0) return builder_.Add(slice, {last_}, layer_);
    const ValueId middle = builder_.Add(slice, {last_});
    return builder_.Add(Unary{UnaryFunction::kLinear, 2, -1}, {middle}, layer_);
  }

  Result<ValueId> SoftmaxOver(const CfgSection& section) {
    CKPT_ASSIGN_OR_RETURN(const std::int64_t groups, section.Integer("groups", 1));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t spatial, section.Integer("spatial", 0));
    const double temperature = RealOf(section, "temperature", 1);
    if (groups != 1 || spatial != 0 || temperature != 1 || !section.Text("tree").empty()) {
      return NotUnderstood(section, "its groups, tree or temperature");
    }
    const ValueId flat = builder_.Add(MergeAxes{}, {last_});
    return builder_.Add(Softmax{}, {flat}, layer_);
  }

  // The logistic function of x, y, the objectness and the classes of each anchor; width and height
  // stay.
  Result<ValueId> Detect(const CfgSection& section) {
    CKPT_ASSIGN_OR_RETURN(const std::int64_t classes, section.Integer("classes", 20));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t num, section.Integer("num", 1));
    CKPT_ASSIGN_OR_RETURN(const std::vector<std::int64_t> mask, section.Integers("mask"));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t new_coords, section.Integer("new_coords", 0));
    const std::int64_t anchors = mask.empty() ? num : static_cast<std::int64_t>(mask.size());
    const PartialShape shape = builder_.ShapeOf(last_);
    const bool fits = shape && shape->size() == 4 && classes < 65536 && anchors < 65536 &&
                      (*shape)[1] == anchors * (classes + 5) && (*shape)[2] > 0 && (*shape)[3] > 0;
    if (!fits || new_coords != 0 || RealOf(section, "scale_x_y", 1) != 1) {
      const ValueId unknown = NotUnderstood(section, "its coordinates");
      ports_.emplace_back(layer_, unknown);
      return unknown;
    }
    Reshape apart, together;
    apart.of_example = together.of_example = true;
    apart.shape = {anchors, classes + 5, (*shape)[2], (*shape)[3]};
    together.shape = {(*shape)[1], (*shape)[2], (*shape)[3]};
    const ValueId boxes = builder_.Add(std::move(apart), {last_});
    const auto parts = builder_.AddMany(Split{2, {2, 2, classes + 1}}, {boxes}, 3);
    const ValueId places = builder_.Add(Unary{UnaryFunction::kSigmoid}, {parts[0]});
    const ValueId scores = builder_.Add(Unary{UnaryFunction::kSigmoid}, {parts[2]});
    const ValueId joined = builder_.Add(Concatenate{2}, {places, parts[1], scores});
    const ValueId detected = builder_.Add(std::move(together), {joined}, layer_);
    ports_.emplace_back(layer_, detected);
    return detected;
  }

  const Manifest& manifest_;
  NetworkBuilder builder_;
  ValueId last_;
  std::string layer_;
  std::vector<ValueId> outputs_;  // of the layers so far
  std::vector<std::pair<std::string, ValueId>> ports_;
  std::int64_t parts_ = 0;  // that routes part their layers into
};

}  // namespace

Result<Network> TranslateDarknet(const std::vector<CfgSection>& sections, const Manifest& manifest,
                                 NetworkBuilder::Contradictions contradictions) {
  if (sections.empty()) return Fail(ErrorCode::kCorrupt, "does not begin with a section [net]");
  Translator translator(manifest, contradictions);
  CKPT_RETURN_IF_ERROR(translator.Begin(sections.front()));
  for (std::size_t i = 1; i < sections.size(); ++i) {
    CKPT_RETURN_IF_ERROR(translator.Add(sections[i]));
  }
  return std::move(translator).Finish();
}

}  // namespace ckpt::formats
