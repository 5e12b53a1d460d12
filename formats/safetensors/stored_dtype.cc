#include "formats/safetensors/stored_dtype.h"

#include <array>
#include <cstddef>
#include <utility>

namespace ckpt::formats {
namespace {

// In the order of the reference implementation's `Dtype`, which is its order of rank.
constexpr std::array<std::pair<std::string_view, Dtype>, 22> kRows = {{
    {"BOOL", Dtype::kBool},
    {"F4", Dtype::kF4E2M1},
    {"F6_E2M3", Dtype::kF6E2M3},
    {"F6_E3M2", Dtype::kF6E3M2},
    {"U8", Dtype::kU8},
    {"I8", Dtype::kI8},
    {"F8_E5M2", Dtype::kF8E5M2},
    {"F8_E4M3", Dtype::kF8E4M3FN},
    {"F8_E8M0", Dtype::kF8E8M0},
    {"F8_E4M3FNUZ", Dtype::kF8E4M3FNUZ},
    {"F8_E5M2FNUZ", Dtype::kF8E5M2FNUZ},
    {"I16", Dtype::kI16},
    {"U16", Dtype::kU16},
    {"F16", Dtype::kF16},
    {"BF16", Dtype::kBF16},
    {"I32", Dtype::kI32},
    {"U32", Dtype::kU32},
    {"F32", Dtype::kF32},
    {"C64", Dtype::kC64},
    {"F64", Dtype::kF64},
    {"I64", Dtype::kI64},
    {"U64", Dtype::kU64},
}};

}  // namespace

std::optional<Dtype> DtypeFromSafetensors(std::string_view stored) noexcept {
  for (const auto& [name, dtype] : kRows) {
    if (name == stored) return dtype;
  }
  return std::nullopt;
}

std::string_view SafetensorsName(Dtype dtype) noexcept {
  for (const auto& [name, row] : kRows) {
    if (row == dtype) return name;
  }
  return {};
}

int SafetensorsRank(Dtype dtype) noexcept {
  for (std::size_t rank = 0; rank < kRows.size(); ++rank) {
    if (kRows[rank].second == dtype) return static_cast<int>(rank);
  }
  return -1;
}

}  // namespace ckpt::formats
