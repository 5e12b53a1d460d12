#include <algorithm>
#include <array>
#include <numeric>

#include "formats/container/output_tensor.h"
#include "formats/encoding/byte_reader.h"
#include "formats/encoding/json_events.h"
#include "formats/safetensors/header.h"
#include "formats/safetensors/safetensors.h"
#include "formats/safetensors/stored_dtype.h"

namespace ckpt::formats {
namespace {

// Indices of the tensors in the order of their data.
std::vector<std::size_t> LayOut(const std::vector<TensorInfo>& tensors) {
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const int rank_a = SafetensorsRank(tensors[a].dtype);
    const int rank_b = SafetensorsRank(tensors[b].dtype);
    return rank_a != rank_b ? rank_a > rank_b : tensors[a].name < tensors[b].name;
  });
  return order;
}

Result<std::string> MetadataJson(const std::map<std::string, std::string>& metadata) {
  std::string json;
  for (const auto& [key, value] : metadata) {
    auto quoted_key = QuoteJson(key);
    auto quoted_value = QuoteJson(value);
    if (!quoted_key || !quoted_value) {
      return Fail(ErrorCode::kUnsupported,
                  "the metadata \"" + key + "\" is not UTF-8, which safetensors requires");
    }
    json += (json.empty() ? "" : ",") + *quoted_key + ":" + *quoted_value;
  }
  return json;
}

Result<std::string> TensorJson(const TensorInfo& tensor, std::uint64_t begin) {
  CKPT_ASSIGN_OR_RETURN(std::string json, QuoteJson(tensor.name));
  json += R"(:{"dtype":")" + std::string(SafetensorsName(tensor.dtype)) + R"(","shape":[)";
  for (std::size_t axis = 0; axis < tensor.shape.rank(); ++axis) {
    json += (axis == 0 ? "" : ",") + std::to_string(tensor.shape[axis]);
  }
  return json + R"(],"data_offsets":[)" + std::to_string(begin) + "," +
         std::to_string(begin + tensor.byte_size) + "]}";
}

struct FileHead {
  std::string bytes;  // N and the header
  std::uint64_t data_bytes = 0;
};

Result<FileHead> BuildHead(const OutputModel& model, const std::vector<std::size_t>& order) {
  FileHead head;
  std::string json = "{";
  if (!model.metadata.empty()) {
    CKPT_ASSIGN_OR_RETURN(const std::string metadata, MetadataJson(model.metadata));
    json += R"("__metadata__":{)" + metadata + "}";
  }
  for (const std::size_t index : order) {
    const TensorInfo& tensor = model.tensors[index];
    CKPT_ASSIGN_OR_RETURN(const std::string entry, TensorJson(tensor, head.data_bytes));
    json += (json.size() == 1 ? "" : ",") + entry;
    if (!CheckedAdd(head.data_bytes, tensor.byte_size, &head.data_bytes)) {
      return Fail(ErrorCode::kUnsupported, "the output would have more than 2^64 bytes");
    }
  }
  json += '}';
  json.append((8 - json.size() % 8) % 8, ' ');
  if (json.size() > kMaxSafetensorsHeader) {
    return Fail(ErrorCode::kUnsupported, "the header would have " + std::to_string(json.size()) +
                                             " bytes; safetensors allows 100000000");
  }
  for (unsigned shift = 0; shift < 64; shift += 8) {
    head.bytes += static_cast<char>((json.size() >> shift) & 0xFF);
  }
  head.bytes += json;
  return head;
}

}  // namespace

Status CanHoldSafetensors(const TensorInfo& tensor) {
  const auto unsupported = [&](std::string message) {
    return Fail(Error{ErrorCode::kUnsupported, std::move(message)}.Of(tensor.name));
  };
  if (SafetensorsName(tensor.dtype).empty()) {
    return unsupported("safetensors has no " + std::string(Name(tensor.dtype)));
  }
  std::uint64_t bits = 0;
  if (!CheckedMul(tensor.shape.element_count(), BitSize(tensor.dtype), &bits) || bits % 8 != 0 ||
      bits / 8 != tensor.byte_size) {
    return unsupported(ToString(tensor.shape) + " of " + std::string(Name(tensor.dtype)) + " in " +
                       std::to_string(tensor.byte_size) +
                       " bytes: safetensors packs elements without padding into whole bytes");
  }
  if (tensor.name == "__metadata__") return unsupported("safetensors reserves this name");
  if (!QuoteJson(tensor.name)) {
    return unsupported("its name is not UTF-8, which safetensors requires");
  }
  return {};
}

Result<WriteSummary> WriteSafetensors(AtomicOutput& output, const std::filesystem::path& path,
                                      const OutputModel& model, const WriteOptions&) {
  for (const TensorInfo& tensor : model.tensors) CKPT_RETURN_IF_ERROR(CanHoldSafetensors(tensor));
  const std::vector<std::size_t> order = LayOut(model.tensors);
  auto head = BuildHead(model, order);
  if (!head) {
    head.error().file = path.string();
    return Fail(head);
  }
  CKPT_ASSIGN_OR_RETURN(OutputFile * file,
                        output.Create(path, head->bytes.size() + head->data_bytes));
  CKPT_RETURN_IF_ERROR(file->Append(std::as_bytes(std::span(head->bytes))));
  for (const std::size_t index : order) {
    CKPT_RETURN_IF_ERROR(PullTensor(
        model, index, [&](std::span<const std::byte> bytes) { return file->Append(bytes); }));
  }
  const WriteSummary summary{{path.string()}, file->size()};
  return summary;
}

}  // namespace ckpt::formats
