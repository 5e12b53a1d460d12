// How wide the terminal is that people read on.
#pragma once

#include <cstddef>

namespace ckpt::cli {

// Columns of the terminal behind a descriptor: those of COLUMNS where it is set, else what the
// terminal says. 0 where the descriptor is no terminal, and where a width is not known or too
// small to break lines at.
std::size_t TerminalWidth(int descriptor);

}  // namespace ckpt::cli
