// A checkpoint whose statistics are others.
#include <map>
#include <utility>

#include "ckpt/calibrate.h"
#include "ckpt/calibration_mark.h"
#include "ckpt/elements.h"
#include "ckpt/forwarding_checkpoint.h"
#include "ckpt/sha256.h"
#include "core/held_bytes.h"

namespace ckpt {
namespace {

class Recalibrated : public RewrittenCheckpoint {
 public:
  Recalibrated(const Checkpoint& checkpoint, const std::vector<CalibratedLayer>& layers)
      : RewrittenCheckpoint(checkpoint) {
    for (const CalibratedLayer& layer : layers) {
      Replace(layer.mean, layer.stored.mean);
      Replace(layer.variance, layer.stored.variance);
    }
    Mark();
  }

  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override {
    const auto replaced = bytes_.find(id);
    if (replaced == bytes_.end()) return inner().Open(id);
    return std::unique_ptr<TensorStream>(std::make_unique<HeldBytes>(replaced->second));
  }

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

  std::map<TensorId, std::vector<std::byte>> bytes_;
};

}  // namespace

std::unique_ptr<Checkpoint> WithStatistics(const Checkpoint& checkpoint,
                                           const std::vector<CalibratedLayer>& layers) {
  return std::make_unique<Recalibrated>(checkpoint, layers);
}

}  // namespace ckpt
