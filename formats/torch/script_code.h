// What TorchScript code calls that is more than arithmetic on tensors.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ckpt/formats/format.h"

namespace ckpt::formats {

// Bytes of source that are read of one archive, all files of it together.
inline constexpr std::uint64_t kMaxScriptSource = std::uint64_t{16} << 20;

// Words of the code that stand for files (torch.save, torch.from_file), for operators that another
// library brings (ops.NAMESPACE.), or for its classes (torch.classes). Phrases, each once. An
// archive without code has none. A word is found wherever it stands, in a name of the program's own
// too.
//
// Source: torch/csrc/jit/serialization/python_print.cpp,
// aten/src/ATen/native/native_functions.yaml.
Result<std::vector<std::string>> CodeInScript(const Files& files, const std::string& path);

bool HoldsScript(const Files& files, const std::string& path);

}  // namespace ckpt::formats
