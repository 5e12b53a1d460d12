#include "cli/run_values.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "formats/container/file.h"

namespace ckpt::cli {
namespace {

constexpr std::uint64_t kMaxMapBytes = std::uint64_t{16} << 20;

network::ElementKind KindOf(Dtype dtype) {
  if (dtype == Dtype::kBool) return network::ElementKind::kBoolean;
  return IsFloat(dtype) ? network::ElementKind::kReal : network::ElementKind::kInteger;
}

Error Bad(std::string message, const std::string& file = {}) {
  return Error{ErrorCode::kInvalidArgument, std::move(message), file};
}

Result<std::pair<std::string, network::Sizes>> ParseShape(const std::string& text) {
  const std::size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) {
    return Fail(Bad("--shape: \"" + text + "\" is not of the form NAME=1x224x224x3"));
  }
  network::Sizes sizes;
  const char* at = text.data() + equals + 1;
  const char* const end = text.data() + text.size();
  while (at < end) {
    std::int64_t size = 0;
    const auto [next, error] = std::from_chars(at, end, size);
    const bool separated = next == end || (*next == 'x' && next + 1 < end);
    if (error != std::errc() || !separated || size < 0) {
      return Fail(Bad("--shape: \"" + text + "\" is not of the form NAME=1x224x224x3"));
    }
    sizes.push_back(size);
    at = next == end ? end : next + 1;
  }
  return std::pair(text.substr(0, equals), sizes);
}

Result<std::map<std::string, std::string>> NamesIn(const nlohmann::json& json, const char* key,
                                                   const std::string& path) {
  std::map<std::string, std::string> names;
  const auto found = json.find(key);
  if (found == json.end()) return names;
  if (!found->is_object()) {
    return Fail(Bad(std::string("\"") + key + "\" is not an object", path));
  }
  for (const auto& [name, other] : found->items()) {
    if (!other.is_string()) return Fail(Bad("\"" + name + "\" is not given a name", path));
    names.emplace(name, other.get<std::string>());
  }
  return names;
}

}  // namespace

Result<std::map<std::string, execution::Array>> ReadArrays(const CommonOptions& options,
                                                           const std::string& path,
                                                           std::uint64_t most_bytes) {
  formats::OpenOptions open = OpenOptionsOf(options);
  open.format = "npz";
  CKPT_ASSIGN_OR_RETURN(const auto file, formats::OpenCheckpoint(*options.read, path, open));
  const Manifest& manifest = file->manifest();
  for (const Problem& problem : manifest.problems) return Fail(problem.error);
  std::map<std::string, execution::Array> arrays;
  std::uint64_t left = most_bytes / sizeof(double);
  for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
    const TensorInfo& tensor = manifest.tensors[i];
    if (!IsReal(tensor.dtype)) {
      return Fail(Error{ErrorCode::kUnsupported,
                        "an input of type " + std::string(Name(tensor.dtype)) + " cannot be run",
                        path,
                        {},
                        tensor.name});
    }
    execution::Array array;
    array.shape.assign(tensor.shape.dims().begin(), tensor.shape.dims().end());
    array.kind = KindOf(tensor.dtype);
    CKPT_ASSIGN_OR_RETURN(array.elements, ReadDoubles(*file, TensorId{i}, left));
    left -= array.elements.size();
    const bool alone = path.ends_with(".npy");
    arrays.emplace(alone ? std::string() : tensor.name, std::move(array));
  }
  return arrays;
}

Result<std::map<std::string, network::Sizes>> ParseShapes(const std::vector<std::string>& texts) {
  std::map<std::string, network::Sizes> shapes;
  for (const std::string& text : texts) {
    CKPT_ASSIGN_OR_RETURN(auto shape, ParseShape(text));
    shapes.insert_or_assign(shape.first, shape.second);
  }
  return shapes;
}

Result<PortMap> ReadPortMap(const CommonOptions& options, const std::string& path) {
  CKPT_ASSIGN_OR_RETURN(const auto file, options.read->Open(path));
  CKPT_ASSIGN_OR_RETURN(const std::string text, formats::ReadWhole(*file, kMaxMapBytes));
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Fail(Bad("is not a JSON object", path));
  PortMap map;
  CKPT_ASSIGN_OR_RETURN(map.inputs, NamesIn(json, "inputs", path));
  CKPT_ASSIGN_OR_RETURN(map.outputs, NamesIn(json, "outputs", path));
  return map;
}

}  // namespace ckpt::cli
