#include "formats/onnx/network_constants.h"

#include <algorithm>
#include <span>
#include <utility>

#include "ckpt/elements.h"
#include "ckpt/network/element_kind.h"
#include "formats/onnx/onnx_dtype.h"
#include "formats/onnx/tensor_places.h"

namespace ckpt::formats::onnx {
namespace {

constexpr std::uint64_t kSmallElements = 1024;

// What may say a shape, axes, or a condition; not what is quantised.
bool MayDecide(const TensorInfo& info) {
  return info.shape.element_count() <= kSmallElements &&
         (info.dtype == Dtype::kI64 || info.dtype == Dtype::kI32 || info.dtype == Dtype::kBool);
}

network::Sizes DimsOf(const Shape& shape) { return {shape.dims().begin(), shape.dims().end()}; }

// What a small attribute holds: the reader keeps it as raw data.
std::optional<network::InlineConstant> FromGraph(const onnx_proto::TensorProto& tensor) {
  const OnnxDtype* row = FindOnnxDtype(tensor.data_type());
  const auto shape =
      Shape::FromDims(std::vector<std::int64_t>(tensor.dims().begin(), tensor.dims().end()));
  if (row == nullptr || !shape || !IsReal(row->dtype)) return std::nullopt;
  const unsigned bits = BitSize(row->dtype);
  const std::string& raw = tensor.raw_data();
  if (bits < 8 || shape->element_count() > kMostInlineElements ||
      raw.size() != shape->element_count() * (bits / 8)) {
    return std::nullopt;
  }
  network::InlineConstant constant;
  constant.shape = DimsOf(*shape);
  constant.kind = network::KindOf(row->dtype);
  constant.elements.resize(shape->element_count());
  DecodeToDouble(row->dtype, std::as_bytes(std::span(raw)), constant.elements);
  return constant;
}

}  // namespace

Result<NetworkConstants> NetworkConstants::Make(onnx_proto::ModelProto& model,
                                                const Checkpoint& weights) {
  CKPT_ASSIGN_OR_RETURN(const auto places, TensorPlacesOf(model));
  const auto& tensors = weights.manifest().tensors;
  NetworkConstants constants(weights);
  for (const TensorPlace& place : places) {
    if (!place.tensor->has_data_place()) continue;
    const auto found = std::lower_bound(
        tensors.begin(), tensors.end(), place.name,
        [](const TensorInfo& info, const std::string& name) { return info.name < name; });
    if (found == tensors.end() || found->name != place.name) continue;
    constants.ids_[place.tensor] = {static_cast<std::uint32_t>(found - tensors.begin())};
  }
  return constants;
}

std::optional<network::InlineConstant> NetworkConstants::Read(
    const onnx_proto::TensorProto& tensor) const {
  const auto found = ids_.find(&tensor);
  if (found == ids_.end()) return FromGraph(tensor);
  const TensorInfo& info = weights_->manifest().tensors[found->second.index];
  if (!IsReal(info.dtype) || info.shape.element_count() > kSmallElements) return std::nullopt;
  auto elements = ReadDoubles(*weights_, found->second, kSmallElements);
  if (!elements) return std::nullopt;
  return network::InlineConstant{DimsOf(info.shape), *std::move(elements),
                                 network::KindOf(info.dtype)};
}

tl::expected<network::ValueId, std::string> NetworkConstants::Add(
    network::NetworkBuilder& builder, const onnx_proto::TensorProto& tensor,
    std::string name) const {
  const auto found = ids_.find(&tensor);
  if (found == ids_.end()) {
    auto constant = FromGraph(tensor);
    if (!constant) return tl::unexpected(std::string("it holds no numbers"));
    return builder.AddInline(*std::move(constant), std::move(name));
  }
  const TensorInfo& info = weights_->manifest().tensors[found->second.index];
  if (!IsReal(info.dtype)) return tl::unexpected(std::string("it holds no numbers"));
  if (MayDecide(info)) {
    if (auto constant = Read(tensor)) {
      return builder.AddInline(*std::move(constant), std::move(name));
    }
  }
  return builder.AddStored(std::move(name), {found->second}, DimsOf(info.shape),
                           network::KindOf(info.dtype));
}

tl::expected<network::InlineConstant, std::string> ListedConstant(const Step& step) {
  network::InlineConstant constant;
  const auto* integers = step.Find("value_ints");
  if (const auto* integer = step.Find("value_int")) {
    constant = {{}, {static_cast<double>(integer->i())}, network::ElementKind::kInteger};
  } else if (const auto* real = step.Find("value_float")) {
    constant.elements = {static_cast<double>(real->f())};
  } else if (integers != nullptr) {
    constant = {{integers->ints_size()},
                {integers->ints().begin(), integers->ints().end()},
                network::ElementKind::kInteger};
  } else if (const auto* reals = step.Find("value_floats")) {
    constant = {{reals->floats_size()}, {reals->floats().begin(), reals->floats().end()}};
  } else {
    return Cannot("it holds no dense numbers");
  }
  if (constant.elements.size() > kMostInlineElements) {
    return Cannot("it is a list of more than " + std::to_string(kMostInlineElements) + " numbers");
  }
  return constant;
}

}  // namespace ckpt::formats::onnx
