// Options that take one word of a few.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

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
CLI::Validator OneOf(const std::map<std::string, T>& choices) {
  std::string words;
  for (const auto& [word, value] : choices) words += (words.empty() ? "" : ", ") + word;
  return CLI::Validator(
      [choices, words](std::string& input) {
        const auto found = choices.find(input);
        if (found == choices.end())
          return "\"" + input + "\" is none of " + words + DidYouMean(input, KeysOf(choices));
        input = CLI::detail::value_string(found->second);
        return std::string{};
      },
      "{" + words + "}", "");
}

// A number that is not negative, refused in words that do not name the largest of all.
inline CLI::Validator NotNegative() {
  return CLI::Validator(
      [](std::string& input) {
        double number = 0;
        if (!CLI::detail::lexical_cast(input, number)) return input + " is no number";
        return number >= 0 ? std::string{} : input + " is negative";
      },
      "", "");
}

}  // namespace ckpt::cli
