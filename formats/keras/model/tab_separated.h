// Lines of fields, as in the documents that keep the order of a file's weights.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ckpt::formats::keras {

// Tab, newline and backslash as \t, \n, \\.
std::string Escaped(std::string_view name);
std::string Unescaped(std::string_view text);

std::vector<std::string_view> Fields(std::string_view line, char separator);

}  // namespace ckpt::formats::keras
