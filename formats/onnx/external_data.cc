#include "formats/onnx/external_data.h"

#include <charconv>
#include <utility>

namespace ckpt::formats::onnx {
namespace {

Result<std::uint64_t> Number(const std::string& key, const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() ||
      value > INT64_MAX) {
    return Fail(ErrorCode::kCorrupt,
                "the " + key + " of its external data is no number: \"" + text + '"');
  }
  return value;
}

}  // namespace

bool IsExternal(const onnx_proto::TensorProto& tensor) { return tensor.data_location() == 1; }

Result<ExternalData> ReadExternalData(const onnx_proto::TensorProto& tensor) {
  ExternalData data;
  for (const auto& entry : tensor.external_data()) {
    if (entry.key() == "location") {
      data.location = entry.value();
    } else if (entry.key() == "offset") {
      CKPT_ASSIGN_OR_RETURN(data.offset, Number("offset", entry.value()));
    } else if (entry.key() == "length") {
      CKPT_ASSIGN_OR_RETURN(data.length, Number("length", entry.value()));
    }
  }
  if (data.location.empty()) {
    return Fail(ErrorCode::kCorrupt, "its external data has no location");
  }
  return data;
}

}  // namespace ckpt::formats::onnx
