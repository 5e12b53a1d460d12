#include "cli/calibration_layers.h"

#include <fnmatch.h>

#include <algorithm>
#include <set>
#include <utility>

#include "ckpt/audit.h"

namespace ckpt::cli {
namespace {

// Rules whose findings say that statistics were never computed.
bool SaysNeverComputed(const Rule& rule) {
  return rule.name == "never-updated" || rule.name == "looks-never-updated" ||
         rule.name == "partly-updated" || rule.name == "statistics-missing";
}

bool IsNamed(const LayerChoice& choice, const std::string& scope) {
  return std::any_of(choice.scopes.begin(), choice.scopes.end(), [&](const std::string& glob) {
    return ::fnmatch(glob.c_str(), scope.c_str(), 0) == 0;
  });
}

std::set<std::size_t> WantedOf(const Checkpoint& checkpoint, const Analysis& analysis,
                               const LayerChoice& choice) {
  std::set<std::size_t> wanted;
  const auto& norms = analysis.batch_norms;
  for (std::size_t i = 0; i < norms.size(); ++i) {
    if (choice.all ? !norms[i].frozen : IsNamed(choice, norms[i].scope)) wanted.insert(i);
  }
  if (choice.all || !choice.scopes.empty()) return wanted;
  for (const Finding& finding : ckpt::Audit(checkpoint, analysis, {}).findings) {
    if (SaysNeverComputed(*finding.rule)) {
      wanted.insert(finding.layers.begin(), finding.layers.end());
    }
  }
  return wanted;
}

// Its own averages of the batches would be of other statistics than those that serve.
bool Renormalises(const Manifest& manifest, const BatchNorm& norm) {
  return std::any_of(norm.extras.begin(), norm.extras.end(), [&](TensorId id) {
    return manifest.tensors[id.index].name.find("renorm") != std::string::npos;
  });
}

// Which variance a training step of the framework would have stored. TensorFlow's fused kernel,
// which tf.layers and Keras 2 use for images in float32, and PyTorch divide by n - 1.
VarianceRule RuleOf(const network::Network& net, const Manifest& manifest,
                    const std::optional<Framework>& framework, const NormPlace& place) {
  if (framework == Framework::kPyTorch) return VarianceRule::kUnbiased;
  bool fused = false;
  if (net.origin == network::Origin::kTensorFlowGraph) {
    const auto layer = net.operation(place.operation).layer;
    fused = !place.written_out && net.layers[layer].op_type.starts_with("FusedBatchNorm");
  } else if (net.origin == network::Origin::kKerasConfig) {
    const network::PartialShape& shape = net.value(place.input).shape;
    const bool spatial = shape && (shape->size() == 4 || shape->size() == 5);
    fused = manifest.framework_version.starts_with("2.") && spatial &&
            manifest.tensors[place.variance.index].dtype != Dtype::kF64;
  }
  return fused ? VarianceRule::kUnbiased : VarianceRule::kBiased;
}

Result<NormPlace> NormPlaceOf(const network::Network& network, const Manifest& manifest,
                              const BatchNorm& norm) {
  const auto unfit = [&](const std::string& why) {
    return Fail(ErrorCode::kUnfit, "\"" + norm.scope + "\" " + why);
  };
  if (!norm.moving_mean || !norm.moving_variance) {
    return unfit("cannot be calibrated: the file does not hold its statistics");
  }
  if (Renormalises(manifest, norm)) {
    return unfit("cannot be calibrated: its renormalisation keeps averages that belong to them");
  }
  auto place = FindNorm(network, *norm.moving_mean, *norm.moving_variance);
  if (!place) return unfit(place.error().message);
  place->layer = norm.scope;
  return place;
}

}  // namespace

Result<std::vector<NormPlace>> ChooseLayers(const network::Network& network,
                                            const Checkpoint& checkpoint, const Analysis& analysis,
                                            const std::vector<TensorId>& added,
                                            const LayerChoice& choice) {
  std::set<std::size_t> wanted = WantedOf(checkpoint, analysis, choice);
  for (std::size_t i = 0; i < analysis.batch_norms.size(); ++i) {
    const BatchNorm& norm = analysis.batch_norms[i];
    const auto was_added = [&](const std::optional<TensorId>& id) {
      return id && std::find(added.begin(), added.end(), *id) != added.end();
    };
    if (was_added(norm.moving_mean) || was_added(norm.moving_variance)) wanted.insert(i);
  }
  if (wanted.empty()) {
    return Fail(ErrorCode::kUnfit,
                "there is nothing to calibrate: no batch norm looks as if it was never updated; "
                "--all or --layers GLOB names others");
  }
  std::vector<NormPlace> places;
  for (const std::size_t layer : wanted) {
    CKPT_ASSIGN_OR_RETURN(NormPlace place,
                          NormPlaceOf(network, checkpoint.manifest(), analysis.batch_norms[layer]));
    place.rule =
        choice.variance.value_or(RuleOf(network, checkpoint.manifest(), analysis.framework, place));
    places.push_back(std::move(place));
  }
  return places;
}

}  // namespace ckpt::cli
