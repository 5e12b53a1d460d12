// Removes a folder with all that is in it.
#pragma once

namespace ckpt::formats {

// Links are removed and not followed. True where nothing of it is left. By system calls alone:
// safe in a signal handler; two descriptors at a time. `last`: the name in it that goes after all
// others, such as a lock.
bool RemoveTree(const char* path, const char* last = nullptr) noexcept;

}  // namespace ckpt::formats
