#include <string>

#include "formats/container/output_tensor.h"
#include "formats/container/zip_writer.h"
#include "formats/encoding/byte_reader.h"
#include "formats/encoding/json_events.h"
#include "formats/torch/pickle_writer.h"
#include "formats/torch/torch.h"
#include "formats/torch/torch_dtype.h"

namespace ckpt::formats {
namespace {

constexpr std::string_view kFolder = "archive/";
constexpr std::uint64_t kAlignment = 64;

Status WriteRecord(ZipWriter& zip, std::string_view name, std::string_view bytes) {
  CKPT_RETURN_IF_ERROR(
      zip.Begin(std::string(kFolder) + std::string(name), bytes.size(), kAlignment));
  return zip.Append(std::as_bytes(std::span(bytes)));
}

// An upper bound, for reserving room.
std::uint64_t ExpectedBytes(const OutputModel& model, std::uint64_t pickle_bytes) {
  constexpr std::uint64_t kBytesOfNames = 64;  // twice a record's name
  constexpr std::uint64_t kRecord = ZipWriter::kMemberBytesAtMost + kBytesOfNames + kAlignment + 4;
  std::uint64_t bytes = ZipWriter::kEndBytesAtMost + pickle_bytes + 3 * kRecord + 64;
  for (const TensorInfo& tensor : model.tensors) bytes += kRecord + tensor.byte_size;
  return bytes;
}

}  // namespace

Status CanHoldTorch(const TensorInfo& tensor) {
  const auto unsupported = [&](std::string message) {
    return Fail(Error{ErrorCode::kUnsupported, std::move(message)}.Of(tensor.name));
  };
  const TorchDtype* const type = TorchDtypeFor(tensor.dtype);
  if (type == nullptr) return unsupported("PyTorch has no " + std::string(Name(tensor.dtype)));
  std::uint64_t bytes = 0;
  if (!CheckedMul(tensor.shape.element_count(), type->bytes, &bytes) || bytes != tensor.byte_size) {
    return unsupported(ToString(tensor.shape) + " of " + std::string(Name(tensor.dtype)) +
                       " is said to have " + std::to_string(tensor.byte_size) + " bytes");
  }
  if (!QuoteJson(tensor.name)) return unsupported("its name is not UTF-8");
  return {};
}

Result<WriteSummary> WriteTorch(AtomicOutput& output, const std::filesystem::path& path,
                                const OutputModel& model, const WriteOptions&) {
  for (const TensorInfo& tensor : model.tensors) CKPT_RETURN_IF_ERROR(CanHoldTorch(tensor));
  const auto versions = model.metadata.find("_metadata");
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::size_t> storages, SharedTensorsOf(model));
  const std::string pickle =
      PickleStateDict(model.tensors, storages,
                      versions == model.metadata.end() ? "" : std::string_view(versions->second));
  CKPT_ASSIGN_OR_RETURN(OutputFile * file,
                        output.Create(path, ExpectedBytes(model, pickle.size())));
  ZipWriter zip(*file);
  CKPT_RETURN_IF_ERROR(WriteRecord(zip, "data.pkl", pickle));
  CKPT_RETURN_IF_ERROR(WriteRecord(zip, "byteorder", "little"));
  for (std::size_t i = 0; i < model.tensors.size(); ++i) {
    if (storages[i] != i) continue;  // tied: the same storage
    CKPT_RETURN_IF_ERROR(zip.Begin(std::string(kFolder) + "data/" + std::to_string(i),
                                   model.tensors[i].byte_size, kAlignment));
    CKPT_RETURN_IF_ERROR(
        PullTensor(model, i, [&](std::span<const std::byte> bytes) { return zip.Append(bytes); }));
  }
  CKPT_RETURN_IF_ERROR(WriteRecord(zip, "version", "3\n"));
  CKPT_RETURN_IF_ERROR(zip.Finish());
  const WriteSummary summary{{path.string()}, file->size()};
  return summary;
}

}  // namespace ckpt::formats
