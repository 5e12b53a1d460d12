#include "formats/tfjs/weights_manifest.h"

#include "formats/encoding/byte_reader.h"

namespace ckpt::formats {
namespace {

using keras::Find;
using keras::Json;

constexpr std::string_view kNoList = "the weightsManifest is not a list of groups of weights";

std::optional<Dtype> DtypeOf(std::string_view name) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kI32, Dtype::kBool, Dtype::kC64, Dtype::kF16,
                            Dtype::kU8, Dtype::kU16}) {
    if (name == Name(dtype)) return dtype;
  }
  return std::nullopt;
}

std::string TextOf(const Json& json, const char* key) {
  const Json* found = Find(json, key);
  return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

Error About(const std::string& weight, ErrorCode code, std::string message) {
  return Error{code, std::move(message)}.Of(weight);
}

Result<Shape> ReadShape(const Json& entry, const std::string& name) {
  const Json* list = Find(entry, "shape");
  std::vector<std::int64_t> dims;
  bool sound = list != nullptr && list->is_array();
  for (std::size_t i = 0; sound && i < list->size(); ++i) {
    sound = (*list)[i].is_number_unsigned() && (*list)[i].get<std::uint64_t>() <= INT64_MAX;
    if (sound) dims.push_back((*list)[i].get<std::int64_t>());
  }
  if (!sound) return Fail(About(name, ErrorCode::kCorrupt, "has no shape"));
  auto shape = Shape::FromDims(dims);
  if (!shape) return Fail(About(name, ErrorCode::kCorrupt, shape.error().message));
  return shape;
}

Status ReadQuantization(const Json& entry, TfjsWeight& weight) {
  const Json* quantization = Find(entry, "quantization");
  if (quantization == nullptr) return {};
  const auto stored = DtypeOf(TextOf(*quantization, "dtype"));
  const bool half = stored == Dtype::kF16;
  const bool bytes = stored == Dtype::kU8 || stored == Dtype::kU16;
  const bool number = weight.dtype == Dtype::kF32 || (bytes && weight.dtype == Dtype::kI32);
  if ((!half && !bytes) || !number) {
    return Fail(
        About(weight.name, ErrorCode::kUnsupported,
              "is quantised in a way that is not known: " + TextOf(*quantization, "dtype")));
  }
  weight.stored = *stored;
  if (half) return {};
  weight.scaled = true;
  for (auto [key, into] : {std::pair("min", &weight.min), std::pair("scale", &weight.scale)}) {
    const Json* value = Find(*quantization, key);
    if (value == nullptr || !value->is_number()) {
      return Fail(
          About(weight.name, ErrorCode::kCorrupt, std::string("is quantised without a ") + key));
    }
    *into = value->get<double>();
  }
  return {};
}

Result<TfjsWeight> ReadWeight(const Json& entry) {
  TfjsWeight weight;
  weight.name = TextOf(entry, "name");
  if (weight.name.empty()) return Fail(ErrorCode::kCorrupt, "lists a weight without a name");
  const std::string dtype = TextOf(entry, "dtype");
  const auto known = DtypeOf(dtype);
  if (!known) {
    return Fail(About(weight.name, ErrorCode::kUnsupported,
                      "has the element type \"" + dtype + "\", which is not read"));
  }
  weight.dtype = weight.stored = *known;
  CKPT_ASSIGN_OR_RETURN(weight.shape, ReadShape(entry, weight.name));
  CKPT_RETURN_IF_ERROR(ReadQuantization(entry, weight));
  std::uint64_t decoded = 0;
  if (!CheckedMul(weight.shape.element_count(), BitSize(weight.stored) / 8, &weight.stored_bytes) ||
      !CheckedMul(weight.shape.element_count(), BitSize(weight.dtype) / 8, &decoded)) {
    return Fail(About(weight.name, ErrorCode::kCorrupt, "has more bytes than can be counted"));
  }
  return weight;
}

}  // namespace

Result<std::vector<TfjsGroup>> ReadWeightsManifest(const Json& list) {
  std::vector<TfjsGroup> groups;
  if (!list.is_array()) return Fail(ErrorCode::kCorrupt, std::string(kNoList));
  for (const Json& item : list) {
    const Json *paths = Find(item, "paths"), *weights = Find(item, "weights");
    if (paths == nullptr || !paths->is_array() || weights == nullptr || !weights->is_array()) {
      return Fail(ErrorCode::kCorrupt, std::string(kNoList));
    }
    TfjsGroup group;
    for (const Json& path : *paths) {
      if (!path.is_string()) return Fail(ErrorCode::kCorrupt, std::string(kNoList));
      group.paths.push_back(path.get<std::string>());
    }
    for (const Json& entry : *weights) {
      CKPT_ASSIGN_OR_RETURN(TfjsWeight weight, ReadWeight(entry));
      group.weights.push_back(std::move(weight));
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace ckpt::formats
