// Text as a terminal shows it: how wide it is, and where its lines break.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ckpt::cli {

// Columns that UTF-8 text takes on a terminal: two for CJK and emoji, none for combining marks and
// for the escape sequences of Style. REQUIRES: escaped for display, else without control
// characters.
std::size_t WidthOf(std::string_view text);

// `text` with each line of more than `width` columns broken between words; what follows stands two
// columns further in than the line did. A word is never broken, so that names and paths can be
// copied. `width` 0: as it is.
std::string Wrapped(std::string_view text, std::size_t width);
// The same for text that was broken before, at another width: its paragraphs and items ("- ...")
// are joined first. As it is where it fits.
std::string Rewrapped(std::string_view text, std::size_t width);

}  // namespace ckpt::cli
