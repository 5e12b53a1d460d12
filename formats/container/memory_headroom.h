// Memory for libraries that do not survive to find none.
#pragma once

namespace ckpt::formats {

// Throws std::bad_alloc where there are not some megabytes more. libhdf5 and OpenSSL read through
// null pointers, or end the process, where an allocation fails while they start.
void RequireHeadroom();

}  // namespace ckpt::formats
