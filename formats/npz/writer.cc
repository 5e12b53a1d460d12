#include <vector>

#include "formats/container/output_tensor.h"
#include "formats/container/zip_writer.h"
#include "formats/encoding/byte_reader.h"
#include "formats/encoding/json_events.h"
#include "formats/npz/npy_header.h"
#include "formats/npz/npz.h"

namespace ckpt::formats {
namespace {

constexpr std::string_view kEntrySuffix = ".npy";
constexpr std::size_t kMaxName = 65535 - kEntrySuffix.size();

// Empty where npz has no such type.
std::string Descr(const TensorInfo& tensor) {
  const std::uint64_t count = tensor.shape.element_count();
  if (tensor.dtype == Dtype::kVoid && count > 0 && tensor.byte_size > 0 &&
      tensor.byte_size % count == 0) {
    return "|V" + std::to_string(tensor.byte_size / count);
  }
  return std::string(NpyDescr(tensor.dtype));
}

// An upper bound, for reserving room.
std::uint64_t ExpectedBytes(const OutputModel& model) {
  std::uint64_t bytes = ZipWriter::kEndBytesAtMost;
  for (const TensorInfo& tensor : model.tensors) {
    bytes += ZipWriter::kMemberBytesAtMost + 2 * (tensor.name.size() + kEntrySuffix.size()) +
             BuildNpyHeader(Descr(tensor), tensor.shape).size() + tensor.byte_size;
  }
  return bytes;
}

Status WriteArray(ZipWriter& zip, const OutputModel& model, std::size_t index) {
  const TensorInfo& tensor = model.tensors[index];
  const std::string header = BuildNpyHeader(Descr(tensor), tensor.shape);
  CKPT_RETURN_IF_ERROR(
      zip.Begin(tensor.name + std::string(kEntrySuffix), header.size() + tensor.byte_size));
  CKPT_RETURN_IF_ERROR(zip.Append(std::as_bytes(std::span(header))));
  return PullTensor(model, index,
                    [&](std::span<const std::byte> bytes) { return zip.Append(bytes); });
}

}  // namespace

Status CanHoldNpz(const TensorInfo& tensor) {
  const auto unsupported = [&](std::string message) {
    return Fail(Error{ErrorCode::kUnsupported, std::move(message)}.Of(tensor.name));
  };
  if (Descr(tensor).empty()) {
    const std::string name(Name(tensor.dtype));
    return unsupported(tensor.dtype == Dtype::kBF16
                           ? "NumPy has no bfloat16: npz would keep its bytes and lose its type"
                           : "npz has no " + name);
  }
  std::uint64_t bytes = 0;
  if (tensor.dtype != Dtype::kVoid &&
      (!CheckedMul(tensor.shape.element_count(), BitSize(tensor.dtype) / 8, &bytes) ||
       bytes != tensor.byte_size)) {
    return unsupported(ToString(tensor.shape) + " of " + std::string(Name(tensor.dtype)) +
                       " is said to have " + std::to_string(tensor.byte_size) + " bytes");
  }
  if (!QuoteJson(tensor.name) || tensor.name.find('\0') != std::string::npos) {
    return unsupported("its name is not UTF-8 without NUL, which zip requires");
  }
  if (tensor.name.size() > kMaxName) {
    return unsupported("its name has " + std::to_string(tensor.name.size()) + " bytes");
  }
  return {};
}

Result<WriteSummary> WriteNpz(AtomicOutput& output, const std::filesystem::path& path,
                              const OutputModel& model, const WriteOptions&) {
  for (const TensorInfo& tensor : model.tensors) CKPT_RETURN_IF_ERROR(CanHoldNpz(tensor));
  CKPT_ASSIGN_OR_RETURN(OutputFile * file, output.Create(path, ExpectedBytes(model)));
  ZipWriter zip(*file);
  for (std::size_t i = 0; i < model.tensors.size(); ++i) {
    CKPT_RETURN_IF_ERROR(WriteArray(zip, model, i));
  }
  CKPT_RETURN_IF_ERROR(zip.Finish());
  const WriteSummary summary{{path.string()}, file->size()};
  return summary;
}

}  // namespace ckpt::formats
