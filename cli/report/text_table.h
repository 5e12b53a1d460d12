// Text for people: aligned columns and short numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ckpt::cli {

// Left-aligned columns two spaces apart, the last one unpadded. Cells must be escaped already.
class TextTable {
 public:
  explicit TextTable(std::string indent) : indent_(std::move(indent)) {}
  void AddRow(const std::vector<std::string>& cells);
  bool empty() const { return row_ends_.empty(); }
  std::string ToString() const;

 private:
  // Calls `use` with each row's cells in turn.
  template <typename Use>
  void ForEachRow(Use use) const;

  std::string indent_;
  // A table may have a million rows: their cells in one text, and where each ends there.
  std::string text_;
  std::vector<std::size_t> cell_ends_, row_ends_;  // the latter in cells
};

std::string FormatBytes(std::uint64_t bytes);                 // "12.3 KB": powers of 1000
std::string FormatNumber(double value);                       // "%.6g", "nan", "inf"
std::string ThreeDigits(double value);                        // "%.3g": more differs by machine
std::string ThreeDigits(const std::optional<double>& value);  // "-" where there is none
std::string Plural(std::uint64_t count, const char* one);     // "1 tensor", "2 tensors"

}  // namespace ckpt::cli
