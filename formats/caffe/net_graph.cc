#include "formats/caffe/net_graph.h"

#include <string>
#include <utility>

#include "ckpt/find_layers.h"
#include "formats/caffe/inference_network.h"

namespace ckpt::formats {
namespace {

// What the record says of a batch norm beyond its operation.
void DescribeBatchNorm(const CaffeLayer& record, const Manifest& manifest, Layer& layer) {
  const std::size_t blobs = record.blobs.size();
  if (CaffeNumber(record, kBatchNormParam, 1, 1) == 0) {
    layer.not_affine = "use_global_stats is false: it normalises with the batch at serving too";
  }
  if (blobs != kStatisticsAndFactor && blobs != kBlobsWithScaleAndBias) {
    layer.computation = network::BatchNormalization{1};
    layer.axis = 1;
    layer.epsilon = CaffeNumber(record, kBatchNormParam, 3, 1e-5F);
    layer.momentum = CaffeNumber(record, kBatchNormParam, 2, 0.999F);
    layer.has_scale = layer.has_center = false;
    layer.not_affine = "it has " + std::to_string(blobs) + " blobs, whose meaning is not known";
    for (std::size_t i = 0; i < 2 && i < blobs; ++i) {
      const auto id = FindTensor(manifest, record.blobs[i].tensor);
      if (id) layer.tensors.emplace(i == 0 ? "moving_mean" : "moving_variance", *id);
    }
  }
  if (blobs == kBlobsWithScaleAndBias && record.blobs.front().shape.element_count() == 1) {
    layer.not_affine = "its five blobs have one number each, so that their order is not known";
  }
}

}  // namespace

std::map<std::size_t, std::size_t> ScalesOfBatchNorms(const std::vector<CaffeLayer>& layers) {
  // Blob names are written again and again (tops that are bottoms), so a name stands for what was
  // last written to it.
  std::map<std::string, std::size_t> writer;  // of a name: index of the layer
  std::map<std::size_t, std::vector<std::size_t>> readers;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const CaffeLayer& layer = layers[i];
    if (layer.train_only) continue;
    for (const std::string& bottom : layer.bottoms) {
      const auto found = writer.find(bottom);
      if (found != writer.end()) readers[found->second].push_back(i);
    }
    for (const std::string& top : layer.tops) writer[top] = i;
  }
  std::map<std::size_t, std::size_t> scales;
  for (const auto& [from, by] : readers) {
    const bool has_own_scale = layers[from].blobs.size() > kStatisticsAndFactor;
    if (by.size() != 1 || layers[from].type != "BatchNorm" || has_own_scale) continue;
    const CaffeLayer& scale = layers[by.front()];
    const bool per_channel =
        CaffeNumber(scale, kScaleParam, 1, 1) == 1 && CaffeNumber(scale, kScaleParam, 2, 1) == 1;
    if (scale.type == "Scale" && scale.bottoms.size() == 1 && !scale.blobs.empty() && per_channel) {
      scales.emplace(by.front(), from);
    }
  }
  return scales;
}

ModelGraph CaffeModelGraph(const std::vector<CaffeLayer>& layers, const Manifest& manifest) {
  const CaffeNetwork net =
      TranslateCaffe(layers, manifest, network::NetworkBuilder::Contradictions::kUnknown);
  LayerFacts facts;
  facts.can_gain_bias = true;
  ModelGraph graph = FindLayers(*net.network, facts).graph;
  graph.origin = GraphOrigin::kCaffeNet;
  graph.source = "Caffe NetParameter";
  for (LayerId id = 0; id < net.layers.size(); ++id) {
    if (net.layers[id] == kNoCaffeLayer) continue;
    const CaffeLayer& record = layers[net.layers[id]];
    if (record.type == "BatchNorm") DescribeBatchNorm(record, manifest, graph.layers[id]);
  }
  return graph;
}

double CaffeNumber(const CaffeLayer& layer, std::uint32_t message, std::uint32_t field,
                   double otherwise) {
  const auto found = layer.attributes.find({message, field});
  if (found == layer.attributes.end() || found->second.empty()) return otherwise;
  return found->second.back();
}

}  // namespace ckpt::formats
