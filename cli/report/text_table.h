// Text for people: aligned columns and short numbers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ckpt::cli {

// Left-aligned columns two spaces apart, the last one unpadded. Cells must be escaped already.
class TextTable {
 public:
  explicit TextTable(std::string indent) : indent_(std::move(indent)) {}
  void AddRow(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }
  std::string ToString() const;

 private:
  std::string indent_;
  std::vector<std::vector<std::string>> rows_;
};

std::string FormatBytes(std::uint64_t bytes);              // "12.3 KB": powers of 1000
std::string FormatNumber(double value);                    // "%.6g", "nan", "inf"
std::string Plural(std::uint64_t count, const char* one);  // "1 tensor", "2 tensors"

}  // namespace ckpt::cli
