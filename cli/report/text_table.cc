#include "cli/report/text_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string_view>

#include "cli/report/wrapped_text.h"

namespace ckpt::cli {
namespace {

// One name that a hostile file spells in 60 KB would otherwise pad every row to that width.
constexpr std::size_t kWidestColumn = 200;

}  // namespace

void TextTable::AddRow(const std::vector<std::string>& cells) {
  for (const std::string& cell : cells) {
    text_ += cell;
    cell_ends_.push_back(text_.size());
  }
  row_ends_.push_back(cell_ends_.size());
}

template <typename Use>
void TextTable::ForEachRow(Use use) const {
  std::vector<std::string_view> cells;
  std::size_t cell = 0, begin = 0;
  for (const std::size_t end : row_ends_) {
    cells.clear();
    for (; cell < end; ++cell) {
      cells.push_back(std::string_view(text_).substr(begin, cell_ends_[cell] - begin));
      begin = cell_ends_[cell];
    }
    use(cells);
  }
}

std::string TextTable::ToString() const {
  std::vector<std::size_t> widths;
  ForEachRow([&](const std::vector<std::string_view>& row) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], std::min(WidthOf(row[i]), kWidestColumn));
  });
  std::string out, line;
  ForEachRow([&](const std::vector<std::string_view>& row) {
    line = indent_;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      const std::size_t width = WidthOf(row[i]);
      if (i + 1 < row.size()) line.append(std::max(widths[i], width) - width + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  });
  return out;
}

std::string FormatBytes(std::uint64_t bytes) {
  if (bytes < 1000) return std::to_string(bytes) + " B";
  constexpr std::array<const char*, 5> kUnits = {"KB", "MB", "GB", "TB", "PB"};
  double value = static_cast<double>(bytes) / 1000;
  std::size_t unit = 0;
  while (value >= 999.95 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f %s", value, kUnits[unit]);
  return text.data();
}

std::string FormatNumber(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.6g", value);
  return text.data();
}

std::string ThreeDigits(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.3g", value);
  return text.data();
}

std::string ThreeDigits(const std::optional<double>& value) {
  return value ? ThreeDigits(*value) : "-";
}

std::string Plural(std::uint64_t count, const char* one) {
  return std::to_string(count) + " " + one + (count == 1 ? "" : "s");
}

}  // namespace ckpt::cli
