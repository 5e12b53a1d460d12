// Streams a dataset that the child has to decode.
#pragma once

#include <memory>

#include "formats/hdf5/child_process.h"
#include "formats/hdf5/hdf5_file.h"

namespace ckpt::formats {

// Asks the child for `dataset`, the `index`-th that it listed.
std::unique_ptr<TensorStream> DecodedStream(std::shared_ptr<const RandomAccessFile> file,
                                            std::shared_ptr<ChildProcess> child,
                                            std::uint32_t index, const Hdf5Object& dataset,
                                            std::uint64_t max_text_bytes);

}  // namespace ckpt::formats
