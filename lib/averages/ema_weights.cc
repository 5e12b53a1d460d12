#include "averages/ema_weights.h"

#include "core/name_list.h"
#include "roles/averages.h"

namespace ckpt {
namespace {

bool IsWeight(Role role) {
  return role == Role::kKernel || role == Role::kBias || role == Role::kGamma ||
         role == Role::kBeta;
}

tl::unexpected<Error> Unfit(const std::string& tensor, std::string message) {
  return Fail(Error{ErrorCode::kUnfit, std::move(message)}.Of(tensor));
}

// An optimizer may keep the averages among its own variables, and a file may lack what tells of
// which weights those are: which layers are frozen, for one. Where some are told, all that belong
// to weights are; a learning rate belongs to none.
std::string WhyNone(const Manifest& manifest, const Analysis& analysis) {
  std::size_t told = 0, untold = 0;
  for (const TensorRole& role : analysis.roles) {
    if (role.role == Role::kOptimizerSlot) ++(role.of ? told : untold);
  }
  std::string why = "the checkpoint holds no moving averages of its weights";
  if (told == 0 && untold > 1) {
    why = "moving averages of the weights cannot be told in the checkpoint: for " +
          std::to_string(untold) +
          " variables of its optimizer the file does not record of which weight they are (it names "
          "no frozen layers, for one); a file of the whole model does";
  }
  return why + (manifest.note.empty() ? "" : " (" + manifest.note + ")");
}

}  // namespace

Result<std::map<TensorId, TensorId>> FindShadows(const Manifest& manifest,
                                                 const Analysis& analysis) {
  std::map<TensorId, TensorId> shadows;
  for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
    const TensorRole& role = analysis.roles[i];
    if (role.role != Role::kEmaShadow || !role.of) continue;
    const TensorInfo& shadow = manifest.tensors[i];
    const TensorInfo& variable = manifest.tensors[role.of->index];
    if (shadow.shape != variable.shape) {
      return Unfit(shadow.name, "is the moving average of \"" + variable.name +
                                    "\" and differs from it in shape");
    }
    // A count of batches that was averaged like a weight counts nothing.
    if (IsFloat(shadow.dtype) != IsFloat(variable.dtype)) continue;
    const auto [entry, added] = shadows.emplace(*role.of, TensorId{i});
    if (!added) {
      return Unfit(variable.name, "has several moving averages, \"" +
                                      manifest.tensors[entry->second.index].name + "\" and \"" +
                                      shadow.name + "\"; which one to use is not known");
    }
  }
  if (shadows.empty() && !analysis.averaged) {
    return Fail(Error{ErrorCode::kUnfit, WhyNone(manifest, analysis)}.About(Setting::kAverages));
  }
  return shadows;
}

std::vector<std::size_t> LayersWithRawStatistics(const Analysis& analysis,
                                                 const std::map<TensorId, TensorId>& shadows) {
  const auto has = [&](const std::optional<TensorId>& id) { return id && shadows.contains(*id); };
  std::vector<std::size_t> layers;
  for (std::size_t i = 0; i < analysis.batch_norms.size(); ++i) {
    const BatchNorm& layer = analysis.batch_norms[i];
    const bool raw = (layer.moving_mean && !has(layer.moving_mean)) ||
                     (layer.moving_variance && !has(layer.moving_variance));
    if (raw && (has(layer.gamma) || has(layer.beta))) layers.push_back(i);
  }
  return layers;
}

std::vector<std::string> NotesOnShadows(const Manifest& manifest, const Analysis& analysis,
                                        const std::map<TensorId, TensorId>& shadows) {
  std::vector<std::string> notes;
  if (shadows.empty()) {
    if (analysis.averaged) {
      notes.push_back("the model's own weights are the averages: " + analysis.averaged->detail);
    }
    return notes;
  }
  NameList without, raw;
  std::size_t weights = 0;
  for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
    if (!IsWeight(analysis.roles[i].role)) continue;
    ++weights;
    if (!shadows.contains(TensorId{i})) without.Add(manifest.tensors[i].name);
  }
  if (without.count() != 0) {
    notes.push_back(
        std::to_string(without.count()) + " of " + std::to_string(weights) +
        " weights have no moving average and are written as they are: " + without.text());
  }
  for (const std::size_t layer : LayersWithRawStatistics(analysis, shadows)) {
    raw.Add(analysis.batch_norms[layer].scope);
  }
  if (raw.count() != 0) {
    notes.push_back(
        "the moving statistics have no average; those of the raw model stand beside averaged "
        "weights in " +
        raw.text() + ". Statistics computed over data with the averaged weights fit them better");
  }
  for (const auto& [variable, shadow] : shadows) {
    if (!IsExchangedAtEpochEnd(manifest.tensors[shadow.index].name)) continue;
    notes.push_back(
        "mmcv's EMAHook exchanges averages and weights at the end of an epoch, before the "
        "checkpoint is saved: if it did, the model's own names hold the averages, and a conversion "
        "of the weights themselves writes them");
    break;
  }
  return notes;
}

EmaWeights::EmaWeights(const Checkpoint& checkpoint, std::map<TensorId, TensorId> shadows)
    : RewrittenCheckpoint(checkpoint), shadows_(std::move(shadows)) {
  for (const auto& [variable, shadow] : shadows_) {
    TensorInfo& info = manifest_.tensors[variable.index];
    const TensorInfo& average = checkpoint.manifest().tensors[shadow.index];
    info.dtype = average.dtype;
    info.byte_size = average.byte_size;
    info.checksum = average.checksum;
    info.data_file = average.data_file;
    info.data_present = average.data_present;
    info.alias_of.reset();
  }
}

}  // namespace ckpt
