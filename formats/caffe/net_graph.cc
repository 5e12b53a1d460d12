#include "formats/caffe/net_graph.h"

#include <algorithm>
#include <set>
#include <utility>

namespace ckpt::formats {
namespace {

class Builder {
 public:
  explicit Builder(const std::vector<CaffeLayer>& layers) : layers_(layers) {
    result_.graph.origin = GraphOrigin::kCaffeNet;
    result_.graph.source = "Caffe NetParameter";
    result_.layers.resize(layers.size());
  }

  CaffeGraph Build() {
    FindScales();
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      if (!layers_[i].train_only) Add(i);
    }
    for (Value& value : result_.graph.values) {
      if (value.consumers.empty()) value.is_model_output = true;
    }
    return std::move(result_);
  }

 private:
  // Blob names are written again and again (tops that are bottoms), so a name stands for what was
  // last written to it.
  void FindScales() {
    std::map<std::string, std::size_t> writer;  // of a name: index of the layer
    std::map<std::size_t, std::vector<std::size_t>> readers;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const CaffeLayer& layer = layers_[i];
      if (layer.train_only) continue;
      for (const std::string& bottom : layer.bottoms) {
        const auto found = writer.find(bottom);
        if (found != writer.end()) readers[found->second].push_back(i);
      }
      for (const std::string& top : layer.tops) writer[top] = i;
    }
    for (const auto& [from, by] : readers) {
      const bool has_own_scale = layers_[from].blobs.size() > kStatisticsAndFactor;
      if (by.size() != 1 || layers_[from].type != "BatchNorm" || has_own_scale) continue;
      const CaffeLayer& scale = layers_[by.front()];
      const bool per_channel =
          CaffeNumber(scale, kScaleParam, 1, 1) == 1 && CaffeNumber(scale, kScaleParam, 2, 1) == 1;
      if (scale.type == "Scale" && scale.bottoms.size() == 1 && !scale.blobs.empty() &&
          per_channel) {
        result_.scale_of.emplace(by.front(), from);
        joined_.insert(from);
      }
    }
  }

  void Add(std::size_t i) {
    const CaffeLayer& layer = layers_[i];
    if (const auto scale = result_.scale_of.find(i); scale != result_.scale_of.end()) {
      result_.layers[i] = result_.layers[scale->second];
      const auto value = values_.find(layer.bottoms.front());
      if (value != values_.end()) {
        for (const std::string& top : layer.tops) values_[top] = value->second;
      }
      return;
    }
    std::vector<ValueId> inputs;
    for (const std::string& bottom : layer.bottoms) {
      const auto found = values_.find(bottom);
      if (found != values_.end()) {
        inputs.push_back(found->second);
      } else {
        inputs.push_back(result_.graph.AddCall({bottom, "input", OpKind::kInput}, {}));
        values_[bottom] = inputs.back();
      }
    }
    Layer described = Describe(layer, i);
    std::optional<std::int64_t> rank;
    if (described.kind == OpKind::kDense) {
      // It flattens what it reads; nothing is folded through that.
      inputs = {result_.graph.AddCall({layer.name + "/flatten", "flatten"}, std::move(inputs))};
      // By default all axes behind the examples: the last axis is the first behind them.
      if (CaffeNumber(layer, kInnerProductParam, 5, 1) == 1) rank = 2;
    }
    result_.layers[i] = static_cast<LayerId>(result_.graph.layers.size());
    const ValueId output = result_.graph.AddCall(std::move(described), std::move(inputs), rank);
    for (const std::string& top : layer.tops) values_[top] = output;
  }

  Layer Describe(const CaffeLayer& layer, std::size_t index) const {
    Layer out;
    out.name = layer.name;
    out.op_type = layer.type;
    const std::string& type = layer.type;
    if (type == "Convolution" || type == "Deconvolution") {
      DescribeConvolution(layer, out);
    } else if (type == "InnerProduct") {
      const bool transposed = CaffeNumber(layer, kInnerProductParam, 6, 0) != 0;
      out.kind = OpKind::kDense;
      out.layout = transposed ? KernelLayout::kSpatialInOut : KernelLayout::kOutInSpatial;
      out.axis = -1;
      out.can_gain_bias = true;
    } else if (type == "BatchNorm") {
      DescribeBatchNorm(layer, index, out);
    } else if (type == "ReLU" || type == "PReLU" || type == "Sigmoid" || type == "TanH" ||
               type == "ELU") {
      out.kind = OpKind::kActivation;
      out.activation = type;
    } else if (type == "Dropout" || type == "Split") {
      out.kind = OpKind::kIdentity;
    } else if (type == "Input" || type == "Data" || type == "DummyData") {
      out.kind = OpKind::kInput;
    } else if (type == "Concat") {
      out.kind = OpKind::kConcat;
      out.axis = static_cast<std::int64_t>(CaffeNumber(layer, kConcatParam, 2, 1) == 1 ? 1 : 0);
      if (out.axis == 0) out.kind = OpKind::kOther;
    } else if (type == "Eltwise") {
      constexpr double kSum = 1;
      const bool weighted = layer.attributes.contains({kEltwiseParam, 2});
      out.kind = CaffeNumber(layer, kEltwiseParam, 1, kSum) == kSum && !weighted ? OpKind::kAdd
                                                                                 : OpKind::kOther;
    }
    return out;
  }

  void DescribeBatchNorm(const CaffeLayer& layer, std::size_t index, Layer& out) const {
    out.kind = OpKind::kBatchNorm;
    out.axis = 1;
    out.epsilon = CaffeNumber(layer, kBatchNormParam, 3, 1e-5F);
    out.momentum = CaffeNumber(layer, kBatchNormParam, 2, 0.999F);
    if (layer.blobs.size() > kStatisticsAndFactor) {
      DescribeOwnScale(layer, out);
    } else {
      // Scale and offset are layers of their own; without them there are none to expect.
      out.has_scale = out.has_center = joined_.contains(index);
    }
    if (CaffeNumber(layer, kBatchNormParam, 1, 1) == 0) {
      out.not_affine = "use_global_stats is false: it normalises with the batch at serving too";
    }
  }

  // NVIDIA's fork: gamma and beta are the blobs behind the factor, and epsilon has a least value.
  static void DescribeOwnScale(const CaffeLayer& layer, Layer& out) {
    constexpr double kLeastEpsilon = 1e-5F;
    out.has_scale = out.has_center = true;
    out.epsilon = std::max(*out.epsilon, kLeastEpsilon);
    if (layer.blobs.size() != kBlobsWithScaleAndBias) {
      out.not_affine =
          "it has " + std::to_string(layer.blobs.size()) + " blobs, whose meaning is not known";
    } else if (layer.blobs.front().shape.element_count() == 1) {
      out.not_affine = "its five blobs have one number each, so that their order is not known";
    }
  }

  static void DescribeConvolution(const CaffeLayer& layer, Layer& out) {
    const bool transposed = layer.type == "Deconvolution";
    out.kind = transposed ? OpKind::kConvTranspose : OpKind::kConv;
    out.layout = transposed ? KernelLayout::kInOutSpatial : KernelLayout::kOutInSpatial;
    const double groups = CaffeNumber(layer, kConvolutionParam, 5, 1);
    out.groups = groups >= 1 && groups <= 1e9 ? static_cast<std::int64_t>(groups) : 1;
    bool padded = false, strided = false;
    for (const std::uint32_t pad : {3U, 9U, 10U}) {
      padded = padded || CaffeNumber(layer, kConvolutionParam, pad, 0) != 0;
    }
    for (const std::uint32_t stride : {6U, 13U, 14U}) {
      strided = strided || CaffeNumber(layer, kConvolutionParam, stride, 1) != 1;
    }
    out.padding = padded ? Padding::kZeros : Padding::kNone;
    out.unit_stride = !strided;
    out.axis = 1;
    out.can_gain_bias = true;
    if (CaffeNumber(layer, kConvolutionParam, 16, 1) != 1) out.kind = OpKind::kOther;
  }

  const std::vector<CaffeLayer>& layers_;
  CaffeGraph result_;
  std::set<std::size_t> joined_;           // BatchNorm layers that have a Scale
  std::map<std::string, ValueId> values_;  // of blob names, as last written
};

}  // namespace

double CaffeNumber(const CaffeLayer& layer, std::uint32_t message, std::uint32_t field,
                   double otherwise) {
  const auto found = layer.attributes.find({message, field});
  if (found == layer.attributes.end() || found->second.empty()) return otherwise;
  return found->second.back();
}

CaffeGraph BuildCaffeGraph(const std::vector<CaffeLayer>& layers) {
  return Builder(layers).Build();
}

}  // namespace ckpt::formats
