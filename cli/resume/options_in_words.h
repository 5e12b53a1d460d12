// The options that a result depends on, as one text: two runs with the same text ask the same.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ckpt::cli {

// What is empty, absent or false is a default, and left out.
class OptionsInWords {
 public:
  OptionsInWords& Add(std::string_view name, bool given);
  OptionsInWords& Add(std::string_view name, const std::optional<double>& value);
  OptionsInWords& Add(std::string_view name, const std::string& value);
  OptionsInWords& Add(std::string_view name, const std::vector<std::string>& values);
  // Files by name, size and mtime.
  OptionsInWords& AddFiles(std::string_view name, const std::vector<std::string>& paths);

  const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
};

}  // namespace ckpt::cli
