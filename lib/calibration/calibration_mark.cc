#include "ckpt/calibration_mark.h"

#include <algorithm>
#include <map>
#include <utility>

#include "ckpt/forwarding_checkpoint.h"
#include "ckpt/sha256.h"

namespace ckpt {
namespace {

constexpr std::size_t kDigits = 64;
constexpr std::string_view kGap = "  ";
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 26;  // of one vector

bool IsDigest(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

class Marked : public RewrittenCheckpoint {
 public:
  Marked(std::unique_ptr<Checkpoint> checkpoint, std::string mark)
      : RewrittenCheckpoint(std::move(checkpoint)) {
    manifest_.metadata[std::string(kCalibrationMark)] = std::move(mark);
  }
  Marked(const Checkpoint& checkpoint, std::string mark) : RewrittenCheckpoint(checkpoint) {
    manifest_.metadata[std::string(kCalibrationMark)] = std::move(mark);
  }
};

}  // namespace

std::string MarkText(const std::vector<MarkedTensor>& tensors) {
  std::string text;
  for (const MarkedTensor& tensor : tensors) {
    if (tensor.name.find('\n') != std::string::npos) continue;
    text += tensor.sha256 + std::string(kGap) + tensor.name + '\n';
  }
  return text;
}

std::vector<MarkedTensor> ParseMark(std::string_view text) {
  std::vector<MarkedTensor> tensors;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.size() <= kDigits + kGap.size() || line.substr(kDigits, kGap.size()) != kGap ||
        !IsDigest(line.substr(0, kDigits))) {
      continue;
    }
    tensors.push_back(
        {std::string(line.substr(kDigits + kGap.size())), std::string(line.substr(0, kDigits))});
  }
  return tensors;
}

std::set<std::size_t> CalibratedNorms(const Checkpoint& checkpoint, const Analysis& analysis) {
  const Manifest& manifest = checkpoint.manifest();
  const auto mark = manifest.metadata.find(std::string(kCalibrationMark));
  if (mark == manifest.metadata.end()) return {};
  std::map<TensorId, std::string> digest_of;
  for (MarkedTensor& tensor : ParseMark(mark->second)) {
    if (const auto id = FindTensor(manifest, tensor.name))
      digest_of[*id] = std::move(tensor.sha256);
  }
  const auto holds = [&](const std::optional<TensorId>& id) {
    const auto marked = id ? digest_of.find(*id) : digest_of.end();
    if (marked == digest_of.end()) return false;
    const auto bytes = ReadBytes(checkpoint, *id, kMostBytes);
    return bytes && Sha256(*bytes) == marked->second;
  };
  std::set<std::size_t> norms;
  for (std::size_t i = 0; i < analysis.batch_norms.size(); ++i) {
    const BatchNorm& norm = analysis.batch_norms[i];
    if (holds(norm.moving_mean) && holds(norm.moving_variance)) norms.insert(i);
  }
  return norms;
}

std::unique_ptr<Checkpoint> WithMark(std::unique_ptr<Checkpoint> checkpoint,
                                     const std::vector<MarkedTensor>& tensors) {
  return std::make_unique<Marked>(std::move(checkpoint), MarkText(tensors));
}
std::unique_ptr<Checkpoint> WithMark(const Checkpoint& checkpoint,
                                     const std::vector<MarkedTensor>& tensors) {
  return std::make_unique<Marked>(checkpoint, MarkText(tensors));
}

}  // namespace ckpt
