// An error for people.
#pragma once

#include <string>

#include "ckpt/error.h"

namespace ckpt::cli {

// The error in one line, with the option that would help.
std::string Describe(const Error& error);

}  // namespace ckpt::cli
