// An HDF5 file as part of the output of a conversion.
#pragma once

#include <filesystem>
#include <functional>

#include "ckpt/formats/format.h"
#include "formats/container/atomic_output.h"
#include "formats/hdf5/hdf5_writer.h"

namespace ckpt::formats {

// Passes on the errors of `fill`.
Result<WriteSummary> WriteHdf5File(AtomicOutput& output, const std::filesystem::path& path,
                                   const std::function<Status(Hdf5Writer&)>& fill);

}  // namespace ckpt::formats
