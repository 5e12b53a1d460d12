// A checkpoint whose statistics are others.
#include <map>
#include <utility>

#include "ckpt/calibrate.h"
#include "ckpt/calibration_mark.h"
#include "ckpt/elements.h"
#include "ckpt/sha256.h"
#include "core/held_bytes.h"

namespace ckpt {
namespace {

class Recalibrated : public Checkpoint {
 public:
  Recalibrated(const Checkpoint& checkpoint, const std::vector<CalibratedLayer>& layers)
      : checkpoint_(checkpoint), manifest_(checkpoint.manifest()) {
    set_input_name(checkpoint.input_name());
    for (const CalibratedLayer& layer : layers) {
      Replace(layer.mean, layer.stored.mean);
      Replace(layer.variance, layer.stored.variance);
    }
    Mark();
  }

  std::string_view format() const noexcept override { return checkpoint_.format(); }
  const Manifest& manifest() const noexcept override { return manifest_; }
  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override {
    const auto replaced = bytes_.find(id);
    if (replaced == bytes_.end()) return checkpoint_.Open(id);
    return std::unique_ptr<TensorStream>(std::make_unique<HeldBytes>(replaced->second));
  }
  Result<network::Network> MakeNetwork() const override { return checkpoint_.MakeNetwork(); }

 private:
  // Tensors that share the bytes get the new ones, too.
  void Replace(TensorId id, const std::vector<double>& values) {
    TensorInfo& info = manifest_.tensors[id.index];
    const std::vector<std::byte> bytes = Encoded(info.dtype, values);
    const TensorId first = info.alias_of.value_or(id);
    for (std::uint32_t i = 0; i < manifest_.tensors.size(); ++i) {
      TensorInfo& other = manifest_.tensors[i];
      if (TensorId{i} != id && TensorId{i} != first && other.alias_of != first) continue;
      other.checksum.reset();
      bytes_[TensorId{i}] = bytes;
    }
  }

  // Beside what was marked before.
  void Mark() {
    std::string& mark = manifest_.metadata[std::string(kCalibrationMark)];
    std::map<std::string, std::string> digest_of;
    for (MarkedTensor& one : ParseMark(mark)) digest_of[one.name] = std::move(one.sha256);
    for (const auto& [id, bytes] : bytes_) {
      digest_of[manifest_.tensors[id.index].name] = Sha256(bytes);
    }
    std::vector<MarkedTensor> tensors;
    for (auto& [name, digest] : digest_of) tensors.push_back({name, digest});
    mark = MarkText(tensors);
  }

  const Checkpoint& checkpoint_;
  Manifest manifest_;
  std::map<TensorId, std::vector<std::byte>> bytes_;
};

}  // namespace

std::unique_ptr<Checkpoint> WithStatistics(const Checkpoint& checkpoint,
                                           const std::vector<CalibratedLayer>& layers) {
  return std::make_unique<Recalibrated>(checkpoint, layers);
}

}  // namespace ckpt
