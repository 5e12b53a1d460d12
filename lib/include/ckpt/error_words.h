// An error as part of a longer text that is escaped as a whole where it is printed: a finding, a
// note.
#pragma once

#include <string>

#include "ckpt/error.h"

namespace ckpt {

// ToString(error) with names as they are in the file: not to be printed as it is.
std::string InWords(const Error& error);

}  // namespace ckpt
