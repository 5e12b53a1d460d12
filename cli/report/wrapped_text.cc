#include "cli/report/wrapped_text.h"

#include <uniwidth.h>

#include <algorithm>

namespace ckpt::cli {
namespace {

// Length of the escape sequence ("\033[31m") at the start of `text`; 0 if there is none.
std::size_t EscapeLength(std::string_view text) {
  if (!text.starts_with("\033[")) return 0;
  const std::size_t end = text.find('m');
  return end == std::string_view::npos ? 0 : end + 1;
}

std::size_t PlainWidth(std::string_view text) {
  const int width =
      ::u8_width(reinterpret_cast<const std::uint8_t*>(text.data()), text.size(), "UTF-8");
  return width > 0 ? static_cast<std::size_t>(width) : 0;
}

void AppendWrappedLine(std::string& out, std::string_view line, std::size_t width) {
  const std::size_t indent = std::min(line.find_first_not_of(' '), line.size());
  if (line.size() <= width || WidthOf(line) <= width) {
    out += line;
    return;
  }
  const std::size_t hanging = std::min(indent + 2, width / 2);
  out.append(indent, ' ');
  std::size_t column = indent;
  bool starts = true;
  for (std::size_t at = indent; at < line.size();) {
    const std::size_t word = std::min(line.find_first_not_of(' ', at), line.size());
    const std::size_t end = std::min(line.find(' ', word), line.size());
    const std::size_t gap = word - at, columns = WidthOf(line.substr(word, end - word));
    if (!starts && column + gap + columns > width) {
      out += '\n';
      out.append(hanging, ' ');
      column = hanging;
    } else {
      out.append(gap, ' ');
      column += gap;
    }
    out += line.substr(word, end - word);
    column += columns;
    starts = false;
    at = end;
  }
}

template <typename Work>
void ForEachLine(std::string_view text, const Work& work) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    work(text.substr(0, end), end != std::string_view::npos);
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

std::size_t WidthOf(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    const std::size_t escape = std::min(text.find('\033'), text.size());
    width += PlainWidth(text.substr(0, escape));
    text.remove_prefix(escape);
    if (text.empty()) break;
    text.remove_prefix(std::max<std::size_t>(EscapeLength(text), 1));
  }
  return width;
}

std::string Wrapped(std::string_view text, std::size_t width) {
  if (width == 0) return std::string(text);
  std::string out;
  ForEachLine(text, [&](std::string_view line, bool ends) {
    AppendWrappedLine(out, line, width);
    if (ends) out += '\n';
  });
  return out;
}

std::string Rewrapped(std::string_view text, std::size_t width) {
  bool fits = true;
  ForEachLine(text, [&](std::string_view line, bool) { fits = fits && WidthOf(line) <= width; });
  if (width == 0 || fits) return std::string(text);
  std::string joined;
  bool open = false;  // the paragraph may go on
  ForEachLine(text, [&](std::string_view line, bool) {
    const bool goes_on = open && !line.empty() && !line.starts_with("- ");
    if (goes_on) {
      joined.back() = ' ';
      line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    }
    joined.append(line) += '\n';
    open = !line.empty();
  });
  return Wrapped(joined, width);
}

}  // namespace ckpt::cli
