// The dtype names of safetensors headers.
#pragma once

#include <optional>
#include <string_view>

#include "ckpt/dtype.h"

namespace ckpt::formats {

std::optional<Dtype> DtypeFromSafetensors(std::string_view stored) noexcept;
// Empty where safetensors has no such type.
std::string_view SafetensorsName(Dtype dtype) noexcept;
// The place of a type in the order in which the reference implementation lays out data: greater
// alignment first means a greater rank first. REQUIRES: SafetensorsName(dtype) is not empty.
int SafetensorsRank(Dtype dtype) noexcept;

}  // namespace ckpt::formats
