// The one table of formats.
#include <array>

#include "ckpt/formats/format.h"

namespace ckpt::formats {
namespace {

constexpr std::array<Format, 0> kFormats = {};

}  // namespace

std::span<const Format> BuiltinFormats() noexcept { return kFormats; }

const Format* FindFormat(std::string_view name) noexcept {
  for (const Format& format : BuiltinFormats()) {
    if (format.name == name) return &format;
  }
  return nullptr;
}

const Format* FormatForOutput(const std::filesystem::path& path) noexcept {
  const std::string name = path.filename().string();
  const Format* best = nullptr;
  std::size_t longest = 0;
  for (const Format& format : BuiltinFormats()) {
    for (const std::string_view suffix : format.suffixes) {
      if (suffix.size() <= longest || suffix.size() >= name.size() || !name.ends_with(suffix)) continue;
      longest = suffix.size();
      best = &format;
    }
  }
  return best;
}

}  // namespace ckpt::formats
