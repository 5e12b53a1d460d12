// The two ways to a dataset's bytes.
#pragma once

#include <memory>

#include "formats/hdf5/child_process.h"
#include "formats/hdf5/hdf5_file.h"

namespace ckpt::formats {

// Reads `dataset`, which stands in `file` as it is, without the child. REQUIRES:
// dataset.data_offset.
std::unique_ptr<TensorStream> StoredStream(std::shared_ptr<const RandomAccessFile> file,
                                           const Hdf5Object& dataset);

// Asks the child for `dataset`, the `index`-th that it listed.
std::unique_ptr<TensorStream> DecodedStream(std::shared_ptr<const RandomAccessFile> file,
                                            std::shared_ptr<ChildProcess> child,
                                            std::uint32_t index, const Hdf5Object& dataset,
                                            std::uint64_t max_text_bytes);

// Yields nothing.
std::unique_ptr<TensorStream> EmptyStream();

}  // namespace ckpt::formats
