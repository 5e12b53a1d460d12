#include "cli/resume/options_in_words.h"

#include <array>
#include <charconv>

#include "formats/container/file_stamp.h"

namespace ckpt::cli {
namespace {

// Between apostrophes, as a shell takes it, where it might be taken for several words.
std::string Quoted(const std::string& value) {
  if (!value.empty() && value.find_first_of(" \t\n'\"\\") == std::string::npos) return value;
  std::string out = "'";
  for (const char c : value) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// The shortest that reads back as the same number.
std::string InDigits(double value) {
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}

}  // namespace

OptionsInWords& OptionsInWords::Add(std::string_view name, bool given) {
  if (given) text_.append(text_.empty() ? "" : " ").append(name);
  return *this;
}

OptionsInWords& OptionsInWords::Add(std::string_view name, const std::optional<double>& value) {
  return value ? Add(name, InDigits(*value)) : *this;
}

OptionsInWords& OptionsInWords::Add(std::string_view name, const std::string& value) {
  if (value.empty()) return *this;
  Add(name, true);
  text_ += " " + Quoted(value);
  return *this;
}

OptionsInWords& OptionsInWords::Add(std::string_view name, const std::vector<std::string>& values) {
  for (const std::string& value : values) Add(name, value);
  return *this;
}

OptionsInWords& OptionsInWords::AddFiles(std::string_view name,
                                         const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    const auto stamp = formats::StampOf(path);
    Add(name, path);
    if (stamp) text_ += "(" + std::to_string(stamp->size) + " " + stamp->changed + ")";
  }
  return *this;
}

}  // namespace ckpt::cli
