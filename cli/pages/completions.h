// Completions for shells, made from the declaration that --help shows. Each is a whole file. A
// value that CompletedBy() does not know is completed by nothing.
#pragma once

#include <string>

#include "cli/arguments.h"

namespace ckpt::cli {

std::string BashCompletion(const ArgumentParser& parser);
std::string ZshCompletion(const ArgumentParser& parser);
std::string FishCompletion(const ArgumentParser& parser);

}  // namespace ckpt::cli
