// Completions for shells, made from the declaration that --help shows. Each is a whole file.
#pragma once

#include <string>

#include "cli/arguments.h"

namespace ckpt::cli {

// REQUIRES: CompletedBy() knows every option.
std::string BashCompletion(const ArgumentParser& parser);
std::string ZshCompletion(const ArgumentParser& parser);
std::string FishCompletion(const ArgumentParser& parser);

}  // namespace ckpt::cli
