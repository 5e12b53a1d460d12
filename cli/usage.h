// What the parser of arguments does not say by itself: help for a command, and what was meant.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace ckpt::cli {

// `ckpt help [COMMAND]`, `ckpt version` and `-V` as the options that they stand for.
std::vector<std::string> WithHelpAsOption(std::vector<std::string> arguments);

// What is wrong with the first argument where it should be a command; empty where nothing is.
std::string WrongCommand(const CLI::App& app, const std::vector<std::string>& arguments);

// The parser's message, or a better one, in one line.
std::string InWords(const CLI::App& app, const CLI::ParseError& error);

}  // namespace ckpt::cli
