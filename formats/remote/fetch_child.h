// The child process that speaks HTTP: forked without exec before any file is parsed, it holds the
// credentials, loads libcurl, and answers requests for ranges of the files that were named to it
// (fetch_wire.h). It writes no file, starts no program and dumps no core.
#pragma once

namespace ckpt::formats {

// To be called in the child; `socket` is its end. Does not return.
[[noreturn]] void RunFetchChild(int socket) noexcept;

}  // namespace ckpt::formats
