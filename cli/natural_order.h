// The order in which people number files: epoch_9.pt before epoch_10.pt.
#pragma once

#include <string>

namespace ckpt::cli {

// Numbers inside names by value; equal numbers of other lengths and all else by bytes.
bool ComesBefore(const std::string& a, const std::string& b);

}  // namespace ckpt::cli
