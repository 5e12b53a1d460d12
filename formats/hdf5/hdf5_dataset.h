// What a dataset says of itself; runs in the child.
#pragma once

#include <cstdint>

#include "formats/hdf5/hdf5_element_type.h"
#include "formats/hdf5/hdf5_file.h"
#include "formats/hdf5/hdf5_library.h"

namespace ckpt::formats {

// Fills what Hdf5Object says of a dataset from the open `dataset`; path and attributes are there
// already. Refuses external storage and virtual datasets (kUnsafe) before anything is read. The
// byte_size of strings is left to the caller, who has to read them.
Status DescribeDataset(hid_t dataset, std::uint64_t file_size, Hdf5Object& object);

// How the elements of `dataset`, described by `object`, are stored and read.
Hdf5ElementType ElementsOf(hid_t dataset, const Hdf5Object& object);

// An Error about the dataset at `path`, and one for a library call on it that failed.
Error DatasetError(ErrorCode code, std::string message, const std::string& path);
Error DatasetFailed(std::string_view doing, const std::string& path);

}  // namespace ckpt::formats
