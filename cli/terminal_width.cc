#include "cli/terminal_width.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <cstring>

namespace ckpt::cli {
namespace {

constexpr std::size_t kNarrowest = 20;

}  // namespace

std::size_t TerminalWidth(int descriptor) {
  if (::isatty(descriptor) != 1) return 0;
  std::size_t width = 0;
  if (const char* columns = std::getenv("COLUMNS")) {
    std::from_chars(columns, columns + std::strlen(columns), width);
  }
  winsize size{};
  if (width == 0 && ::ioctl(descriptor, TIOCGWINSZ, &size) == 0) width = size.ws_col;
  return width < kNarrowest ? 0 : width;
}

}  // namespace ckpt::cli
