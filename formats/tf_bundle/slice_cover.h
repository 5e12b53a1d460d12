// Do the slices of a partitioned tensor hold each of its elements exactly once?
#pragma once

#include <span>

#include "formats/tf_bundle/bundle_index.h"

namespace ckpt::formats {

// kCorrupt, naming the first element (in C order of the corners of slices) that no slice holds or
// that several do; kLimitExceeded for partitions along so many dimensions that checking them is
// more work than any real one. Each slice must lie inside `shape`.
Status CheckCover(const Shape& shape, std::span<const BundleSlice> slices);

}  // namespace ckpt::formats
