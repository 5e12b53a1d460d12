// Walks the groups of a file; runs in the child.
#pragma once

#include <functional>

#include "formats/hdf5/hdf5_file.h"
#include "formats/hdf5/hdf5_library.h"

namespace ckpt::formats {

// Calls `visit` for each group and dataset of `file`, a group before what is in it, with the open
// object, its address, its kind and its path; stops at the first failure. Named datatypes are
// passed over. Refuses links of every kind but hard links (kUnsafe), groups linked twice (kUnsafe),
// names that are no names (kCorrupt), and what exceeds `limits` or kHdf5Depth.
using Hdf5Visit = std::function<Status(hid_t object, haddr_t address, Hdf5Object::Kind kind,
                                       const std::string& path)>;
Status WalkTree(hid_t file, std::uint64_t file_bytes, const Limits& limits, const Hdf5Visit& visit);

}  // namespace ckpt::formats
