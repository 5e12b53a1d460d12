// What the parser of arguments does not say by itself: help for a command, and what was meant.
#pragma once

#include <string>
#include <vector>

namespace ckpt::cli {

class Arguments;

// `ckpt help [COMMAND]`, `ckpt version` and `-V` as the options that they stand for.
std::vector<std::string> WithHelpAsOption(std::vector<std::string> arguments);

// What is wrong with the first argument where it should be one of `commands`; empty where nothing
// is.
std::string WrongCommand(const std::vector<std::string>& commands,
                         const std::vector<std::string>& arguments);

// What is wrong with the first of `extras`, which the command, or the program where there is none,
// does not take.
std::string Unexpected(const Arguments* command, const std::vector<std::string>& extras);

}  // namespace ckpt::cli
