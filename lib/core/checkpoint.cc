#include "ckpt/checkpoint.h"

#include <algorithm>

#include "ckpt/elements.h"
#include "ckpt/graph_only.h"

namespace ckpt {

std::string_view Name(Framework framework) noexcept {
  switch (framework) {
    case Framework::kTensorFlow:
      return "TensorFlow";
    case Framework::kKeras:
      return "Keras";
    case Framework::kPyTorch:
      return "PyTorch";
    case Framework::kFlax:
      return "Flax";
    case Framework::kCaffe:
      return "Caffe";
    case Framework::kDarknet:
      return "Darknet";
    case Framework::kMxNet:
      return "MXNet";
    case Framework::kChainer:
      return "Chainer";
  }
  return "TensorFlow";
}

std::optional<TensorId> FindTensor(const Manifest& manifest, std::string_view name) {
  const auto& tensors = manifest.tensors;
  const auto found = std::lower_bound(
      tensors.begin(), tensors.end(), name,
      [](const TensorInfo& info, std::string_view key) { return info.name < key; });
  if (found != tensors.end() && found->name == name) {
    return TensorId{static_cast<std::uint32_t>(found - tensors.begin())};
  }
  for (std::uint32_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].stored_as == name) return TensorId{i};
  }
  return std::nullopt;
}

bool IsGraphOnly(const Manifest& manifest) {
  return manifest.ops && manifest.problems.empty() && !manifest.tensors.empty() &&
         std::none_of(manifest.tensors.begin(), manifest.tensors.end(),
                      [](const TensorInfo& info) { return info.data_present; });
}

Error WhyAbsent(const Manifest& manifest, TensorId id) {
  const TensorInfo& info = manifest.tensors[id.index];
  Error error = Error{ErrorCode::kInternal, "its bytes are not there"}.In(info.data_file);
  if (IsGraphOnly(manifest)) {
    error =
        Error{ErrorCode::kUnfit, "has no value: this is a graph by itself, without a checkpoint"}
            .In(manifest.resolved);
  }
  for (const Problem& problem : manifest.problems) {
    const auto& lost = problem.tensors;
    if (std::find(lost.begin(), lost.end(), id) == lost.end()) continue;
    error = problem.error;
    break;
  }
  error.tensor = info.name;
  return error;
}

Result<std::vector<std::byte>> ReadBytes(const Checkpoint& checkpoint, TensorId id,
                                         std::uint64_t max_bytes) {
  const TensorInfo& info = checkpoint.manifest().tensors[id.index];
  if (info.byte_size > max_bytes) {
    return Fail(Error{ErrorCode::kLimitExceeded,
                      "has " + std::to_string(info.byte_size) + " bytes where at most " +
                          std::to_string(max_bytes) + " are read at once"}
                    .In(info.data_file)
                    .Of(info.name));
  }
  CKPT_ASSIGN_OR_RETURN(const auto stream, checkpoint.Open(id));
  std::vector<std::byte> bytes;
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const auto chunk, stream->Next());
    if (chunk.empty()) break;
    bytes.insert(bytes.end(), chunk.begin(), chunk.end());
  }
  return bytes;
}

Result<std::vector<double>> ReadDoubles(const Checkpoint& checkpoint, TensorId id,
                                        std::uint64_t max_elements) {
  const TensorInfo& info = checkpoint.manifest().tensors[id.index];
  if (!IsReal(info.dtype)) {
    return Fail(
        Error{ErrorCode::kUnsupported, "cannot compute with " + std::string(Name(info.dtype))}
            .In(info.data_file)
            .Of(info.name));
  }
  const unsigned element_bytes = BitSize(info.dtype) / 8;
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes,
                        ReadBytes(checkpoint, id, max_elements * element_bytes));
  std::vector<double> values(bytes.size() / element_bytes);
  DecodeToDouble(info.dtype, bytes, values);
  return values;
}

}  // namespace ckpt
