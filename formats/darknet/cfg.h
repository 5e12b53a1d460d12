// A Darknet cfg: sections in order, each with its options.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/result.h"

namespace ckpt::formats {

struct CfgSection {
  std::string kind;  // "convolutional"
  std::map<std::string, std::string> options;
  std::size_t line = 0;

  // The option as an integer; `otherwise` where it is not there. kCorrupt where it is no integer of
  // 0 to 2^31 - 1, or negative without `negative`.
  Result<std::int64_t> Integer(const std::string& key, std::int64_t otherwise,
                               bool negative = false) const;
  std::string Text(const std::string& key, const std::string& otherwise = {}) const;
  // "-1, 61"
  Result<std::vector<std::int64_t>> Integers(const std::string& key) const;
};

// kCorrupt, with the line, where a line is none of section, option and comment.
Result<std::vector<CfgSection>> ParseCfg(std::string_view text);

}  // namespace ckpt::formats
