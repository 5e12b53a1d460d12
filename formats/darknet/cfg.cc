#include "formats/darknet/cfg.h"

#include <cctype>
#include <charconv>

namespace ckpt::formats {
namespace {

// Darknet drops all white space of a line.
std::string Stripped(std::string_view line) {
  std::string out;
  for (const char c : line) {
    if (std::isspace(static_cast<unsigned char>(c)) == 0) out += c;
  }
  return out;
}

bool ParseInteger(std::string_view text, std::int64_t* number) {
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), *number);
  constexpr std::int64_t kMost = INT32_MAX;
  return failed == std::errc() && end == text.data() + text.size() && *number >= -kMost &&
         *number <= kMost;
}

}  // namespace

Result<std::int64_t> CfgSection::Integer(const std::string& key, std::int64_t otherwise,
                                         bool negative) const {
  const auto found = options.find(key);
  if (found == options.end()) return otherwise;
  std::int64_t number = 0;
  if (ParseInteger(found->second, &number) && (negative || number >= 0)) return number;
  return Fail(ErrorCode::kCorrupt, "the section [" + kind + "] of line " + std::to_string(line) +
                                       " has " + key + "=" + found->second);
}

std::string CfgSection::Text(const std::string& key, const std::string& otherwise) const {
  const auto found = options.find(key);
  return found == options.end() ? otherwise : found->second;
}

Result<std::vector<std::int64_t>> CfgSection::Integers(const std::string& key) const {
  std::vector<std::int64_t> numbers;
  const std::string text = Text(key);
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t comma = rest.find(',');
    std::int64_t number = 0;
    if (!ParseInteger(rest.substr(0, comma), &number)) {
      return Fail(ErrorCode::kCorrupt, "the section [" + kind + "] of line " +
                                           std::to_string(line) + " has " + key + "=" + text);
    }
    numbers.push_back(number);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  return numbers;
}

Result<std::vector<CfgSection>> ParseCfg(std::string_view text) {
  std::vector<CfgSection> sections;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string line = Stripped(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    ++number;
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line[0] == '[') {
      const std::size_t close = line.find(']');
      if (close == std::string::npos || close < 2) {
        return Fail(ErrorCode::kCorrupt, "line " + std::to_string(number) + " names no section");
      }
      sections.push_back({line.substr(1, close - 1), {}, number});
      continue;
    }
    const std::size_t equals = line.find('=');
    if (sections.empty() || equals == std::string::npos || equals == 0) {
      return Fail(ErrorCode::kCorrupt, "line " + std::to_string(number) +
                                           " is neither a section nor an option: \"" +
                                           line.substr(0, 40) + '"');
    }
    sections.back().options[line.substr(0, equals)] = line.substr(equals + 1);
  }
  return sections;
}

}  // namespace ckpt::formats
