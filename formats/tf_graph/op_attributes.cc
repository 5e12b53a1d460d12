#include "formats/tf_graph/op_attributes.h"

#include <string>
#include <vector>

namespace ckpt::formats {
namespace {

using tf_proto::AttrValue;

}  // namespace

OpShape ToOpShape(const tf_proto::TensorShapeProto& shape) {
  if (shape.unknown_rank()) return std::nullopt;
  std::vector<std::int64_t> dims;
  dims.reserve(static_cast<std::size_t>(shape.dim_size()));
  for (const auto& dim : shape.dim()) dims.push_back(dim.size());
  return dims;
}

namespace {

// A list of one kind; an empty list is of all kinds, given as one of numbers.
OpAttr ToList(const AttrValue::ListValue& list) {
  const int kinds = (list.s_size() > 0) + (list.i_size() > 0) + (list.f_size() > 0) +
                    (list.type_size() > 0) + (list.shape_size() > 0) + (list.func_size() > 0);
  if (kinds > 1 || list.b_size() > 0 || list.tensor_size() > 0) {
    return OpOpaque{};
  }
  if (list.s_size() > 0) return std::vector<std::string>(list.s().begin(), list.s().end());
  if (list.f_size() > 0) return std::vector<double>(list.f().begin(), list.f().end());
  if (list.type_size() > 0) {
    std::vector<OpDtype> types;
    for (const int type : list.type()) types.push_back({type});
    return types;
  }
  if (list.shape_size() > 0) {
    std::vector<OpShape> shapes;
    for (const auto& shape : list.shape()) shapes.push_back(ToOpShape(shape));
    return shapes;
  }
  if (list.func_size() > 0) {
    std::vector<OpFunctionName> names;
    for (const auto& function : list.func()) names.push_back({function.name()});
    return names;
  }
  return std::vector<std::int64_t>(list.i().begin(), list.i().end());
}

}  // namespace

OpAttr ToOpAttr(const AttrValue& value) {
  switch (value.value_case()) {
    case AttrValue::kList:
      return ToList(value.list());
    case AttrValue::kS:
      return value.s();
    case AttrValue::kI:
      return std::int64_t{value.i()};
    case AttrValue::kF:
      return static_cast<double>(value.f());
    case AttrValue::kB:
      return value.b();
    case AttrValue::kType:
      return OpDtype{static_cast<std::int32_t>(value.type())};
    case AttrValue::kShape:
      return ToOpShape(value.shape());
    case AttrValue::kFunc:
      return OpFunctionName{value.func().name()};
    case AttrValue::kTensor:
    case AttrValue::kPlaceholder:
    case AttrValue::VALUE_NOT_SET:
      break;
  }
  return OpOpaque{};
}

}  // namespace ckpt::formats
