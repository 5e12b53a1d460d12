#include "fold/kept_batch_norm.h"

#include <algorithm>
#include <cmath>

#include "ckpt/elements.h"
#include "fold/linear_layer.h"
#include "fold/reason.h"

namespace ckpt {
namespace {

class Writer {
 public:
  Writer(const Manifest& manifest, const SharedTensors& shared, const BatchNorm& batch_norm,
         std::optional<Dtype> cast)
      : manifest_(manifest), shared_(shared), batch_norm_(batch_norm), cast_(cast) {}

  // Under the name of `existing`, or as a new tensor called `leaf` beside the moving mean.
  Status Put(std::optional<TensorId> existing, const std::string& leaf,
             std::vector<double> values) {
    TensorInfo info = existing ? InfoOf(*existing) : NewTensor(leaf);
    if (existing && shared_.Contains(*existing)) {
      if (InGraph() == nullptr || !InGraph()->can_rebind) {
        return Refuse(Quoted(info.name) + " is shared with another layer");
      }
      // The layer itself may read one tensor twice, as gamma and as beta.
      const std::string name = FreeName(manifest_, shared_, info.name, *batch_norm_.layer);
      info.name = info.stored_as =
          Wrote(name) ? FreeName(manifest_, shared_, info.name + "_" + leaf, *batch_norm_.layer)
                      : name;
      info.alias_of.reset();
      changed_.rebound.push_back({*batch_norm_.layer, leaf, info.name});
    }
    if (!existing && InGraph() != nullptr && InGraph()->can_rebind) {
      info.name = info.stored_as = OwnName(leaf);
      changed_.rebound.push_back({*batch_norm_.layer, leaf, info.name});
    }
    return Encode(std::move(info), std::move(values));
  }

  // A factor or a summand per channel in place of `leaf`, of the shape that broadcasts, under a
  // name that does not speak of a batch norm: who reads the file would miss the statistics.
  Status PutAffine(const std::string& leaf, const std::string& new_leaf,
                   std::vector<double> values) {
    TensorInfo info = NewTensor(new_leaf);
    info.name = info.stored_as = OwnName(new_leaf);
    changed_.rebound.push_back({*batch_norm_.layer, leaf, info.name});
    std::vector<std::int64_t> dims(*InGraph()->axes_behind_channels + 1, 1);
    dims.front() = static_cast<std::int64_t>(values.size());
    info.shape = *Shape::FromDims(std::move(dims));
    return Encode(std::move(info), std::move(values));
  }

  Status Encode(TensorInfo info, std::vector<double> values) {
    if (const auto taken = FindTensor(manifest_, info.name); taken && !IsOwn(*taken)) {
      return Refuse("another tensor is called " + Quoted(info.name));
    }
    info.dtype = cast_.value_or(info.dtype);
    info.byte_size = info.shape.element_count() * BitSize(info.dtype) / 8;
    info.checksum.reset();
    info.data_file.clear();
    if (LossOfEncoding(info.dtype, values).overflowed != 0 ||
        !std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); })) {
      return Refuse("values of " + Quoted(info.name) + " exceed " + std::string(Name(info.dtype)));
    }
    changed_.tensors.push_back({std::move(info), Constant{std::move(values)}});
    return {};
  }

  void Consume(std::optional<TensorId> id) {
    if (id) changed_.consumed.push_back(*id);
  }
  ChangedBatchNorm& changed() { return changed_; }

  const Layer* InGraph() const {
    return manifest_.graph && batch_norm_.layer ? &manifest_.graph->layers[*batch_norm_.layer]
                                                : nullptr;
  }

 private:
  const TensorInfo& InfoOf(TensorId id) const { return manifest_.tensors[id.index]; }

  bool Wrote(const std::string& name) const {
    return std::any_of(changed_.tensors.begin(), changed_.tensors.end(),
                       [&](const FoldedTensor& tensor) { return tensor.info.name == name; });
  }

  bool IsOwn(TensorId id) const {
    return batch_norm_.gamma == id || batch_norm_.beta == id || batch_norm_.moving_mean == id ||
           batch_norm_.moving_variance == id;
  }

  // Of a vector that the layer did not have: beside the mean, or after its name, so that two layers
  // of a plan do not want one name.
  std::string OwnName(const std::string& leaf) const {
    const TensorInfo& mean = InfoOf(*batch_norm_.moving_mean);
    const NameParts parts = SplitName(mean.name);
    const bool is_shared = shared_.Contains(*batch_norm_.moving_mean);
    const bool conventional = !parts.parent.empty() && !is_shared &&
                              (parts.leaf == "moving_mean" || parts.leaf == "running_mean");
    std::string wanted =
        conventional ? parts.parent + parts.separator + leaf : mean.name + "_" + leaf;
    if (is_shared) wanted += "_" + std::to_string(*batch_norm_.layer);
    return FreeName(manifest_, shared_, wanted, *batch_norm_.layer);
  }

  TensorInfo NewTensor(const std::string& leaf) const {
    TensorInfo info = InfoOf(*batch_norm_.moving_mean);
    const NameParts parts = SplitName(info.name);
    info.name = info.stored_as = parts.parent + parts.separator + leaf;
    if (!info.local_name.empty()) info.local_name = leaf;
    info.trainable.reset();
    return info;
  }

  const Manifest& manifest_;
  const SharedTensors& shared_;
  const BatchNorm& batch_norm_;
  std::optional<Dtype> cast_;
  ChangedBatchNorm changed_;
};

}  // namespace

Result<ChangedBatchNorm> WithMerged(const Manifest& manifest, const SharedTensors& shared,
                                    const BatchNorm& batch_norm, const BatchNormFunction& function,
                                    std::optional<Dtype> cast) {
  if (!batch_norm.gamma || !batch_norm.beta) {
    return AsAffine(manifest, shared, batch_norm, function, cast);
  }
  Writer writer(manifest, shared, batch_norm, cast);
  CKPT_RETURN_IF_ERROR(writer.Put(batch_norm.gamma, "gamma", function.gamma));
  CKPT_RETURN_IF_ERROR(writer.Put(batch_norm.beta, "beta", function.beta));
  return std::move(writer.changed());
}

Result<ChangedBatchNorm> AsAffine(const Manifest& manifest, const SharedTensors& shared,
                                  const BatchNorm& batch_norm, const BatchNormFunction& function,
                                  std::optional<Dtype> cast) {
  const std::size_t channels = function.channels();
  std::vector<double> offset(channels);
  for (std::size_t c = 0; c < channels; ++c) offset[c] = function.Shift(c);

  Writer writer(manifest, shared, batch_norm, cast);
  if (writer.InGraph() != nullptr && writer.InGraph()->axes_behind_channels) {
    CKPT_RETURN_IF_ERROR(writer.PutAffine("gamma", "scale", function.scale));
    CKPT_RETURN_IF_ERROR(writer.PutAffine("beta", "offset", std::move(offset)));
    for (const auto& id :
         {batch_norm.gamma, batch_norm.beta, batch_norm.moving_mean, batch_norm.moving_variance}) {
      writer.Consume(id);
    }
    writer.changed().to_affine = true;
  } else if (manifest.graph && batch_norm.layer) {
    if (batch_norm.spread != SpreadKind::kVariance || !(batch_norm.epsilon->value < 1)) {
      return Refuse("its epsilon leaves no room for a variance + epsilon of 1");
    }
    CKPT_RETURN_IF_ERROR(writer.Put(batch_norm.gamma, "gamma", function.scale));
    CKPT_RETURN_IF_ERROR(writer.Put(batch_norm.beta, "beta", std::move(offset)));
    CKPT_RETURN_IF_ERROR(
        writer.Put(batch_norm.moving_mean, "moving_mean", std::vector<double>(channels, 0.0)));
    CKPT_RETURN_IF_ERROR(writer.Put(batch_norm.moving_variance, "moving_variance",
                                    std::vector<double>(channels, 1 - batch_norm.epsilon->value)));
    writer.changed().to_affine = true;
  } else if (manifest.graph) {
    return Refuse("no layer of the graph in the file reads scale and offset in its place");
  } else {
    CKPT_RETURN_IF_ERROR(writer.Put({}, "scale", function.scale));
    CKPT_RETURN_IF_ERROR(writer.Put({}, "offset", std::move(offset)));
    for (const auto& id : {batch_norm.gamma, batch_norm.beta, batch_norm.moving_mean,
                           batch_norm.moving_variance, batch_norm.batch_counter}) {
      writer.Consume(id);
    }
  }
  for (const TensorId id : batch_norm.extras) writer.Consume(id);
  return std::move(writer.changed());
}

}  // namespace ckpt
