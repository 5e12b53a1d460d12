#include "formats/darknet/weight_arrays.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace ckpt::formats {
namespace {

// What a layer yields.
struct Output {
  std::int64_t channels = 0, height = 0, width = 0;
};

class Builder {
 public:
  explicit Builder(DarknetFork fork) : fork_(fork) {}

  Status Begin(const CfgSection& net) {
    Output input;
    CKPT_ASSIGN_OR_RETURN(input.channels, net.Integer("channels", 0));
    CKPT_ASSIGN_OR_RETURN(input.height, net.Integer("height", 0));
    CKPT_ASSIGN_OR_RETURN(input.width, net.Integer("width", 0));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t inputs, net.Integer("inputs", 0));
    if (input.channels == 0 && inputs > 0) input = {inputs, 1, 1};
    if (input.channels == 0) {
      return Fail(ErrorCode::kCorrupt, "the section [net] gives no channels");
    }
    last_ = input;
    return {};
  }

  Status Add(const CfgSection& section) {
    layer_ = Numbered(outputs_.size(), section.kind);
    Output output = last_;
    CKPT_RETURN_IF_ERROR(Dispatch(section, output));
    CKPT_RETURN_IF_ERROR(CheckSize(output));
    last_ = output;
    outputs_.push_back(output);
    return {};
  }

  DarknetArrays Finish() { return std::move(found_); }

 private:
  static std::string Numbered(std::size_t index, const std::string& kind) {
    std::string number = std::to_string(index);
    if (number.size() < 3) number.insert(0, 3 - number.size(), '0');
    return number + "_" + kind;
  }

  Status Dispatch(const CfgSection& section, Output& output) {
    const std::string& kind = section.kind;
    if (kind == "convolutional" || kind == "conv") return Convolution(section, output, false);
    if (kind == "deconvolutional" || kind == "deconv") return Convolution(section, output, true);
    if (kind == "connected" || kind == "conn") return Connected(section, output);
    if (kind == "batchnorm") return LoneBatchNorm(output);
    if (kind == "route") return Route(section, output);
    if (kind == "shortcut") return Shortcut(section);
    if (kind == "scale_channels" || kind == "sam") return Product(section, output);
    if (kind == "maxpool" || kind == "max" || kind == "local_avgpool") {
      return Pool(section, output);
    }
    if (kind == "avgpool" || kind == "avg") {
      output.height = output.width = 1;
      return {};
    }
    if (kind == "upsample") return Upsample(section, output);
    if (kind == "reorg" || kind == "reorg3d" || kind == "reorg_old") return Reorg(section, output);
    if (kind == "crop") return Crop(section, output);
    if (kind == "dropout" || kind == "activation" || kind == "normalization" || kind == "norm" ||
        kind == "lrn" || kind == "l2norm" || kind == "empty" || kind == "silence" ||
        kind == "yolo" || kind == "region" || kind == "Gaussian_yolo" || kind == "detection" ||
        kind == "softmax" || kind == "soft" || kind == "cost" || kind == "logistic" ||
        kind == "logxent" || kind == "iseg" || kind == "contrastive") {
      return {};
    }
    return Fail(ErrorCode::kUnsupported, "the layer " + layer_ + " (line " +
                                             std::to_string(section.line) +
                                             ") is of a kind whose weights are not known here");
  }

  Result<std::int64_t> Positive(const CfgSection& section, const char* key,
                                std::int64_t otherwise) {
    CKPT_ASSIGN_OR_RETURN(const std::int64_t number, section.Integer(key, otherwise));
    if (number > 0) return number;
    return Fail(ErrorCode::kCorrupt, "the layer " + layer_ + " has " + key + "=0");
  }

  Status Refuse(const std::string& key) const {
    return Fail(ErrorCode::kUnsupported,
                "the layer " + layer_ + " has " + key + ", which is not understood");
  }

  Status Convolution(const CfgSection& section, Output& output, bool transposed) {
    for (const char* key : {"share_index", "dontloadscales", "antialiasing", "flipped"}) {
      CKPT_ASSIGN_OR_RETURN(const std::int64_t set, section.Integer(key, 0, true));
      if (set != 0) return Refuse(key);
    }
    CKPT_ASSIGN_OR_RETURN(const std::int64_t not_stored, section.Integer("dontload", 0));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t filters, Positive(section, "filters", 1));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t size, Positive(section, "size", 1));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t stride, Positive(section, "stride", 1));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t groups, Positive(section, "groups", 1));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t normalized, section.Integer("batch_normalize", 0));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t pad, section.Integer("pad", 0));
    CKPT_ASSIGN_OR_RETURN(std::int64_t padding, section.Integer("padding", 0));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t dilation, Positive(section, "dilation", 1));
    if (pad != 0) padding = size / 2;
    if (output.channels % groups != 0 || filters % groups != 0) {
      return Fail(ErrorCode::kCorrupt, "the layer " + layer_ + " has " + std::to_string(groups) +
                                           " groups, which do not divide its channels");
    }
    const std::int64_t fan_in = output.channels / groups;
    output.channels = filters;
    if (transposed) {
      output.height = (output.height - 1) * stride + size - 2 * padding;
      output.width = (output.width - 1) * stride + size - 2 * padding;
    } else {
      const std::int64_t extent = dilation * (size - 1) + 1;
      output.height = (output.height + 2 * padding - extent) / stride + 1;
      output.width = (output.width + 2 * padding - extent) / stride + 1;
    }
    CKPT_RETURN_IF_ERROR(CheckSize(output));
    if (not_stored != 0) return {};
    CKPT_RETURN_IF_ERROR(Store("biases", {filters}));
    if (normalized != 0) CKPT_RETURN_IF_ERROR(Statistics(filters));
    return Store("weights", {filters, fan_in, size, size});
  }

  Status Connected(const CfgSection& section, Output& output) {
    CKPT_ASSIGN_OR_RETURN(const std::int64_t outputs, Positive(section, "output", 1));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t normalized, section.Integer("batch_normalize", 0));
    std::int64_t inputs = 0;
    if (__builtin_mul_overflow(output.channels, output.height, &inputs) ||
        __builtin_mul_overflow(inputs, output.width, &inputs) || inputs <= 0) {
      return Fail(ErrorCode::kCorrupt,
                  "the layer " + layer_ + " has no inputs that can be counted");
    }
    output = {outputs, 1, 1};
    CKPT_RETURN_IF_ERROR(Store("biases", {outputs}));
    CKPT_RETURN_IF_ERROR(Store("weights", {outputs, inputs}));
    return normalized != 0 ? Statistics(outputs) : Status();
  }

  Status LoneBatchNorm(const Output& output) {
    found_.has_lone_batch_norm = true;
    if (fork_ == DarknetFork::kAlexeyAb) {
      CKPT_RETURN_IF_ERROR(Store("biases", {output.channels}));
    }
    return Statistics(output.channels);
  }

  Result<Output> OutputOf(std::int64_t index) const {
    const auto count = static_cast<std::int64_t>(outputs_.size());
    if (index < 0) index += count;
    if (index >= 0 && index < count) return outputs_[static_cast<std::size_t>(index)];
    return Fail(ErrorCode::kCorrupt,
                "the layer " + layer_ + " reads a layer that does not come before it");
  }

  Status Route(const CfgSection& section, Output& output) {
    CKPT_ASSIGN_OR_RETURN(const std::vector<std::int64_t> layers, section.Integers("layers"));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t groups, Positive(section, "groups", 1));
    if (layers.empty()) return Fail(ErrorCode::kCorrupt, "the layer " + layer_ + " reads nothing");
    std::int64_t channels = 0;
    for (const std::int64_t index : layers) {
      CKPT_ASSIGN_OR_RETURN(const Output read, OutputOf(index));
      if (__builtin_add_overflow(channels, read.channels, &channels)) return Refuse("its channels");
      output = read;
    }
    output.channels = channels / groups;
    return {};
  }

  Status Shortcut(const CfgSection& section) {
    CKPT_ASSIGN_OR_RETURN(const std::vector<std::int64_t> from, section.Integers("from"));
    if (!section.Text("weights_type").empty() && section.Text("weights_type") != "none") {
      return Refuse("weights_type");
    }
    for (const std::int64_t index : from) CKPT_RETURN_IF_ERROR(OutputOf(index));
    return {};
  }

  // AlexeyAB's products of two layers: `from` times what the layer before yields, one number for
  // each channel (scale_channels) or for each element (sam).
  Status Product(const CfgSection& section, Output& output) {
    CKPT_ASSIGN_OR_RETURN(const std::vector<std::int64_t> from, section.Integers("from"));
    if (from.size() != 1) {
      return Fail(ErrorCode::kCorrupt, "the layer " + layer_ + " does not read one layer");
    }
    CKPT_ASSIGN_OR_RETURN(Output read, OutputOf(from.front()));
    if (read.channels != output.channels) {
      CKPT_ASSIGN_OR_RETURN(const std::int64_t per_pixel, section.Integer("scale_wh", 0));
      if (per_pixel == 0 || section.kind == "sam") {
        return Fail(ErrorCode::kCorrupt, "the layer " + layer_ + " multiplies " +
                                             std::to_string(read.channels) + " channels by " +
                                             std::to_string(output.channels));
      }
    }
    output = read;
    return {};
  }

  Status Crop(const CfgSection& section, Output& output) {
    CKPT_ASSIGN_OR_RETURN(output.height, Positive(section, "crop_height", 1));
    CKPT_ASSIGN_OR_RETURN(output.width, Positive(section, "crop_width", 1));
    return {};
  }

  Status Pool(const CfgSection& section, Output& output) {
    CKPT_ASSIGN_OR_RETURN(const std::int64_t stride, Positive(section, "stride", 1));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t size, Positive(section, "size", stride));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t padding, section.Integer("padding", size - 1));
    output.height = (output.height + padding - size) / stride + 1;
    output.width = (output.width + padding - size) / stride + 1;
    return {};
  }

  Status Upsample(const CfgSection& section, Output& output) {
    CKPT_ASSIGN_OR_RETURN(const std::int64_t stride, section.Integer("stride", 2, true));
    const bool down = stride < 0;
    const std::int64_t factor = down ? -stride : stride;
    if (factor == 0) return Fail(ErrorCode::kCorrupt, "the layer " + layer_ + " has stride=0");
    output.height = down ? output.height / factor : output.height * factor;
    output.width = down ? output.width / factor : output.width * factor;
    return {};
  }

  Status Reorg(const CfgSection& section, Output& output) {
    CKPT_ASSIGN_OR_RETURN(const std::int64_t stride, Positive(section, "stride", 1));
    CKPT_ASSIGN_OR_RETURN(const std::int64_t reverse, section.Integer("reverse", 0));
    if (reverse != 0) return Refuse("reverse");
    if (__builtin_mul_overflow(output.channels, stride * stride, &output.channels)) {
      return Refuse("its channels");
    }
    output.height /= stride;
    output.width /= stride;
    return {};
  }

  // Sizes that grow out of bounds are of no real network.
  Status CheckSize(const Output& output) const {
    constexpr std::int64_t kMost = INT32_MAX;
    for (const std::int64_t size : {output.channels, output.height, output.width}) {
      if (size > kMost || size < -kMost) return Refuse("an output that is too large");
    }
    return {};
  }

  Status Statistics(std::int64_t channels) {
    CKPT_RETURN_IF_ERROR(Store("scales", {channels}));
    CKPT_RETURN_IF_ERROR(Store("rolling_mean", {channels}));
    return Store("rolling_variance", {channels});
  }

  Status Store(const char* name, std::initializer_list<std::int64_t> dims) {
    auto shape = Shape::FromDims(dims);
    if (!shape) {
      return Fail(ErrorCode::kCorrupt, "the layer " + layer_ + ": " + shape.error().message);
    }
    found_.arrays.push_back({layer_, name, *std::move(shape), outputs_.size()});
    return {};
  }

  DarknetFork fork_;
  DarknetArrays found_;
  Output last_;
  std::vector<Output> outputs_;  // of the layers so far
  std::string layer_;            // the name of the one that is read
};

}  // namespace

Result<DarknetArrays> ArraysOfLayers(const std::vector<CfgSection>& sections, DarknetFork fork) {
  if (sections.empty() || (sections.front().kind != "net" && sections.front().kind != "network")) {
    return Fail(ErrorCode::kCorrupt, "does not begin with a section [net]");
  }
  Builder builder(fork);
  CKPT_RETURN_IF_ERROR(builder.Begin(sections.front()));
  for (std::size_t i = 1; i < sections.size(); ++i) CKPT_RETURN_IF_ERROR(builder.Add(sections[i]));
  return builder.Finish();
}

}  // namespace ckpt::formats
