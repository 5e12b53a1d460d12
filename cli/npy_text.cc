#include "cli/npy_text.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace ckpt::cli {
namespace {

static_assert(std::endian::native == std::endian::little);

template <typename T>
void Append(std::string& text, const execution::Array& array) {
  const std::size_t start = text.size();
  text.resize(start + array.elements.size() * sizeof(T));
  for (std::size_t i = 0; i < array.elements.size(); ++i) {
    const T element = static_cast<T>(array.elements[i]);
    std::memcpy(text.data() + start + i * sizeof(T), &element, sizeof(T));
  }
}

bool IsFloat32(const execution::Array& array) {
  return std::all_of(array.elements.begin(), array.elements.end(), [](double element) {
    return !std::isfinite(element) || static_cast<double>(static_cast<float>(element)) == element;
  });
}

// Padded, so that the data begin at a multiple of 64.
std::string Header(const execution::Array& array, std::string_view type) {
  std::string dict = "{'descr': '" + std::string(type) + "', 'fortran_order': False, 'shape': (";
  for (const std::int64_t size : array.shape) dict += std::to_string(size) + ", ";
  dict += "), }";
  constexpr std::size_t kBefore = 10, kAlignment = 64;
  while ((kBefore + dict.size() + 1) % kAlignment != 0) dict += ' ';
  dict += '\n';
  std::string text("\x93NUMPY\x01\x00", 8);
  text += static_cast<char>(dict.size() & 0xff);
  text += static_cast<char>(dict.size() >> 8);
  return text + dict;
}

}  // namespace

std::string NpyText(const execution::Array& array) {
  std::string text;
  switch (array.kind) {
    case network::ElementKind::kBoolean:
      text = Header(array, "|b1");
      Append<std::uint8_t>(text, array);
      return text;
    case network::ElementKind::kInteger:
      text = Header(array, "<i8");
      Append<std::int64_t>(text, array);
      return text;
    case network::ElementKind::kReal:
      break;
  }
  const bool narrow = IsFloat32(array);
  text = Header(array, narrow ? "<f4" : "<f8");
  if (narrow) {
    Append<float>(text, array);
  } else {
    Append<double>(text, array);
  }
  return text;
}

}  // namespace ckpt::cli
