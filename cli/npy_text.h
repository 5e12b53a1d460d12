// An array as NumPy's format has it (version 1.0).
#pragma once

#include <string>

#include "ckpt/execution/array.h"

namespace ckpt::cli {

// Real numbers as float32, or as float64 where one of them is no float32; integers as int64.
std::string NpyText(const execution::Array& array);

}  // namespace ckpt::cli
