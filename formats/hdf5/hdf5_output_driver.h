// A driver of the HDF5 library that writes into an open file, from any byte of it on: an HDF5 file
// that is a part of another file is written where it will stand.
#pragma once

#include <cstdint>

#include "formats/hdf5/hdf5_library.h"

namespace ckpt::formats {

// Where the library's byte 0 is. What lies behind it goes.
struct Hdf5Place {
  int descriptor = -1;  // to read and write; has to stay open longer than what is created
  std::uint64_t offset = 0;
};

// An HDF5 file with the properties `creation`. The bytes are those that the library's own driver
// writes.
Hdf5Id CreateWithDriver(const Hdf5Place& place, hid_t creation);

}  // namespace ckpt::formats
