#include "cli/run_values.h"

#include <charconv>
#include <utility>

#include "ckpt/network/element_kind.h"

namespace ckpt::cli {
namespace {

Error Bad(std::string message) { return Error{ErrorCode::kInvalidArgument, std::move(message)}; }

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

}  // namespace

Result<std::unique_ptr<Checkpoint>> OpenArrays(const CommonOptions& options,
                                               const std::string& path) {
  formats::OpenOptions open = OpenOptionsOf(options);
  open.format = "npz";
  CKPT_ASSIGN_OR_RETURN(auto file, formats::OpenCheckpoint(*options.read, path, open));
  for (const Problem& problem : file->manifest().problems) return Fail(problem.error);
  return file;
}

Status CheckNumbers(const TensorInfo& info, const std::string& path) {
  if (IsReal(info.dtype)) return {};
  return Fail(Error{ErrorCode::kUnsupported,
                    "an input of type " + std::string(Name(info.dtype)) + " cannot be run"}
                  .In(path)
                  .Of(info.name));
}

Result<std::map<std::string, execution::Array>> ReadArrays(const CommonOptions& options,
                                                           const std::string& path,
                                                           std::uint64_t most_bytes) {
  CKPT_ASSIGN_OR_RETURN(const auto file, OpenArrays(options, path));
  const Manifest& manifest = file->manifest();
  std::map<std::string, execution::Array> arrays;
  std::uint64_t left = most_bytes / sizeof(double);
  for (std::uint32_t i = 0; i < manifest.tensors.size(); ++i) {
    const TensorInfo& tensor = manifest.tensors[i];
    CKPT_RETURN_IF_ERROR(CheckNumbers(tensor, path));
    execution::Array array;
    array.shape.assign(tensor.shape.dims().begin(), tensor.shape.dims().end());
    array.kind = network::KindOf(tensor.dtype);
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

}  // namespace ckpt::cli
