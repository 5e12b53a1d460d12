// Tells the two kinds of TensorFlow checkpoint that are tables from each other, by their first
// bytes.
#pragma once

#include <cstdint>
#include <optional>

#include "ckpt/formats/format.h"

namespace ckpt::formats {

struct FirstValue {
  bool is_table = false;  // by its last bytes
  // The first byte of the value under the empty key, the first entry; nothing where it is not
  // within reach or the first key is another.
  std::optional<std::uint8_t> byte = {};
};
FirstValue FirstValueOfTable(const ProbeInput& input);

}  // namespace ckpt::formats
