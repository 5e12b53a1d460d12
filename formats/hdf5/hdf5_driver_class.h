// What every driver of ours for the HDF5 library has.
#pragma once

#include "formats/hdf5/hdf5_library.h"

#if __has_include(<H5FDdevelop.h>)
#include <H5FDdevelop.h>  // where releases after 1.12 declare H5FD_class_t
#endif

namespace ckpt::formats {

// A class without functions. `value`: 256 to 511, of its own among the drivers of the process.
H5FD_class_t DriverClassOf(const char* name, int value);

}  // namespace ckpt::formats
