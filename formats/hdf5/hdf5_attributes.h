// Reads the attributes of an object; runs in the child.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/hdf5/hdf5_file.h"
#include "formats/hdf5/hdf5_library.h"

namespace ckpt::formats {

// A string without its padding, as the type of fixed length in the file pads it.
std::string Unpadded(const char* text, std::size_t size, H5T_str_t padding);

// All attributes of `object`, found at `path`. `budget` is what their names and values may take
// (kLimitExceeded, the limit metadata_bytes) and is lowered by it.
Result<std::vector<Hdf5Attribute>> ReadAttributes(hid_t object, const std::string& path,
                                                  std::uint64_t& budget);

}  // namespace ckpt::formats
