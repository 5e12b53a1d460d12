// A name in a message.
#pragma once

#include <string>
#include <string_view>

namespace ckpt {

inline std::string Quoted(std::string_view name) { return '"' + std::string(name) + '"'; }

}  // namespace ckpt
