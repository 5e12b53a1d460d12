// Options that take one word of a few.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>

namespace ckpt::cli {

// A word of `choices` becomes its value; the help and the message name the words alone.
template <typename T>
CLI::Validator OneOf(const std::map<std::string, T>& choices) {
  std::string words;
  for (const auto& [word, value] : choices) words += (words.empty() ? "" : ", ") + word;
  return CLI::Validator(
      [choices, words](std::string& input) {
        const auto found = choices.find(input);
        if (found == choices.end()) return "\"" + input + "\" is none of " + words;
        input = CLI::detail::value_string(found->second);
        return std::string{};
      },
      "{" + words + "}", "");
}

}  // namespace ckpt::cli
