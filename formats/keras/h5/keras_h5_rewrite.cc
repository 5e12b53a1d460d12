#include "formats/keras/h5/keras_h5.h"
#include "formats/keras/h5/weight_order_rewrite.h"
#include "formats/keras/model/config_rewrite.h"

namespace ckpt::formats {
namespace {

std::string* DocumentText(std::vector<Document>& documents, std::string_view name) {
  for (Document& document : documents) {
    if (document.name == name) return &document.text;
  }
  return nullptr;
}

}  // namespace

Result<std::vector<Document>> RewriteKerasH5(const Manifest& manifest, const GraphEdits& edits) {
  std::vector<Document> documents = manifest.documents;
  if (edits.removed.empty() && edits.gained_bias.empty() && edits.to_affine.empty() &&
      edits.to_inference.empty()) {
    return documents;
  }
  std::string* const config_text = DocumentText(documents, "model_config");
  std::string* const order_text = DocumentText(documents, keras::kWeightOrderDocument);
  if (!config_text || !order_text || !manifest.graph) {
    return Fail(ErrorCode::kInternal, "edits of a graph that the file does not have");
  }
  CKPT_ASSIGN_OR_RETURN(const auto config,
                        keras::ParseModelConfig(*config_text, manifest.framework_version));
  if (config->graph.layers.size() != manifest.graph->layers.size()) {
    return Fail(ErrorCode::kInternal, "the graph is not that of model_config");
  }
  CKPT_ASSIGN_OR_RETURN(const keras::WeightOrder order, keras::ParseWeightOrder(*order_text));
  CKPT_ASSIGN_OR_RETURN(keras::RewrittenConfig rewritten, keras::RewriteConfig(*config, edits));
  CKPT_ASSIGN_OR_RETURN(const keras::WeightOrder new_order,
                        keras::RewriteWeightOrder(*config, edits, rewritten.order, order));
  *config_text = std::move(rewritten.text);
  *order_text = keras::WeightOrderText(new_order);
  return documents;
}

}  // namespace ckpt::formats
