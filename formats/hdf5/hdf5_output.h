// An HDF5 file as the output of a conversion: written beside its path, renamed when it is whole.
#pragma once

#include <filesystem>
#include <functional>

#include "ckpt/formats/format.h"
#include "formats/hdf5/hdf5_writer.h"

namespace ckpt::formats {

// Passes on the errors of `fill`; nothing is left behind then.
Result<WriteSummary> WriteHdf5File(const std::filesystem::path& path, const WriteOptions& options,
                                   const std::function<Status(Hdf5Writer&)>& fill);

}  // namespace ckpt::formats
