// Says what a folder is that holds no checkpoint directly. Only for messages.
#pragma once

#include <filesystem>

#include "formats/container/file.h"

namespace ckpt::formats {

// kUnsupported where the folder is a checkpoint of a kind that is not read, with the way out; else
// kUnfit, naming the checkpoints in it and in the folders directly below.
Error FolderWithoutCheckpoint(const Files& files, const std::filesystem::path& folder);

}  // namespace ckpt::formats
