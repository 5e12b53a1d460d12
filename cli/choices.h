// Options that take one word of a few.
#pragma once

#include <map>
#include <string>
#include <type_traits>
#include <vector>

#include "cli/arguments.h"
#include "cli/nearest.h"

namespace ckpt::cli {

template <typename T>
std::vector<std::string> KeysOf(const std::map<std::string, T>& choices) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : choices) keys.push_back(key);
  return keys;
}

// A word of `choices` becomes its value; the help and the message name the words alone.
template <typename T>
Check OneOf(const std::map<std::string, T>& choices) {
  Check words = OneOfWords(KeysOf(choices));
  const auto is_known = words.apply;
  words.apply = [choices, is_known](std::string& word) {
    std::string wrong = is_known(word);
    if (!wrong.empty()) return wrong;
    if constexpr (std::is_same_v<T, std::string>) {
      word = choices.at(word);
    } else {
      word = std::to_string(static_cast<int>(choices.at(word)));
    }
    return wrong;
  };
  return words;
}

}  // namespace ckpt::cli
