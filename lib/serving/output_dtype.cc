#include <algorithm>
#include <array>

#include "ckpt/serving.h"

namespace ckpt {
namespace {

constexpr std::int32_t kInt32 = 3, kInt64 = 9, kBool = 10, kReferences = 100;

template <std::size_t kSize>
bool IsOneOf(std::string_view type, const std::array<std::string_view, kSize>& types) noexcept {
  return std::find(types.begin(), types.end(), type) != types.end();
}

std::optional<OpDtype> Recorded(const Op& op, std::string_view name) {
  const OpDtype* dtype = FindAttr<OpDtype>(op, name);
  if (dtype == nullptr) return std::nullopt;
  return OpDtype{dtype->number > kReferences ? dtype->number - kReferences : dtype->number};
}

// Of operations whose result is not of the type of what they read.
std::optional<OpDtype> OwnDtype(const Op& op, std::uint32_t output) {
  if (IsOneOf(op.type, std::array<std::string_view, 13>{"Equal", "NotEqual", "Less", "LessEqual",
                                                        "Greater", "GreaterEqual", "LogicalAnd",
                                                        "LogicalOr", "LogicalNot", "IsNan", "IsInf",
                                                        "IsFinite", "InTopK"})) {
    return OpDtype{kBool};
  }
  if (op.type == "ArgMax" || op.type == "ArgMin")
    return Recorded(op, "output_type").value_or(OpDtype{kInt64});
  if (IsOneOf(op.type, std::array<std::string_view, 3>{"Shape", "ShapeN", "Size"}))
    return Recorded(op, "out_type").value_or(OpDtype{kInt32});
  if (op.type == "Rank") return OpDtype{kInt32};
  if (op.type == "Where") return OpDtype{kInt64};
  if (op.type == "Cast") return Recorded(op, "DstT");
  if ((op.type == "TopKV2" || op.type == "TopK") && output == 1)
    return Recorded(op, "index_type").value_or(OpDtype{kInt32});
  return std::nullopt;
}

}  // namespace

std::optional<OpDtype> OutputDtype(const Op& op, std::uint32_t output) {
  if (const auto own = OwnDtype(op, output)) return own;
  for (const char* name : {"dtype", "T", "Tparams", "out_type", "output_type", "dst_type"}) {
    if (const auto dtype = Recorded(op, name)) return dtype;
  }
  for (const char* name : {"output_types", "component_types", "Tout", "dtypes"}) {
    const auto* list = FindAttr<std::vector<OpDtype>>(op, name);
    if (list != nullptr && output < list->size()) return (*list)[output];
  }
  return std::nullopt;
}

}  // namespace ckpt
