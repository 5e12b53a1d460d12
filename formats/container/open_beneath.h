// Opens a file that is named inside another file, without leaving the folder it may name files in.
#pragma once

#include <filesystem>
#include <string>

#include "ckpt/result.h"

namespace ckpt::formats {

// The descriptor of `name`, a plain relative path below `folder`. `folder` is the user's own word
// and may be reached through links; below it no link is followed, but the last component of `name`
// may be a hub cache's link: REPOSITORY/snapshots/REVISION/.../NAME -> REPOSITORY/blobs/HASH.
// Every step is checked on the very object that is opened next, so that a link that is put in its
// place meanwhile changes nothing. kUnsafe for other links, kNotFound, kIo.
Result<int> OpenDescriptorBeneath(const std::filesystem::path& folder, const std::string& name);

}  // namespace ckpt::formats
