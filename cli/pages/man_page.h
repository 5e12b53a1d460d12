// Man pages in roff, made from the declaration that --help shows.
#pragma once

#include <string>

#include "cli/arguments.h"

namespace ckpt::cli {

std::string ManPageOfProgram(const ArgumentParser& parser, const std::string& version);
std::string ManPageOfCommand(const Arguments& command, const ArgumentParser& parser,
                             const std::string& version);

}  // namespace ckpt::cli
