#include "formats/darknet/cfg_graph.h"

#include "ckpt/find_layers.h"
#include "ckpt/layer_computation.h"
#include "formats/darknet/inference_network.h"

namespace ckpt::formats {

Result<ModelGraph> DarknetModelGraph(const std::vector<CfgSection>& sections,
                                     const Manifest& manifest) {
  CKPT_ASSIGN_OR_RETURN(
      const network::Network net,
      TranslateDarknet(sections, manifest, network::NetworkBuilder::Contradictions::kUnknown));
  LayerFacts facts;
  facts.can_gain_bias = true;
  ModelGraph graph = FindLayers(net, facts).graph;
  graph.origin = GraphOrigin::kDarknetCfg;
  graph.source = "Darknet cfg";
  for (Layer& layer : graph.layers) {
    if (IsBatchNorm(layer)) layer.epsilon = std::nullopt;
  }
  return graph;
}

}  // namespace ckpt::formats
