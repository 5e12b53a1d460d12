// What a child process does with what it has of its parent. All of it may be called between fork
// and exec.
#pragma once

#include <sys/resource.h>

#include <cstdint>

namespace ckpt::formats {

// Every signal's own effect, and none blocked.
void DefaultSignals() noexcept;

// Closes first to last, those that are open.
void CloseDescriptors(unsigned first, unsigned last) noexcept;

// Lowers a limit, for good; never raises it.
void LowerLimit(__rlimit_resource resource, std::uint64_t value) noexcept;

}  // namespace ckpt::formats
