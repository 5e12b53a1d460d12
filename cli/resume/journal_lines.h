// The lines of a file that grows by lines, whose last one may be torn.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "ckpt/result.h"

namespace ckpt::cli {

struct LinesRead {
  std::uint64_t whole_bytes = 0;  // up to and with the last line's end
  std::string torn = {};          // what stands behind it, its beginning
};

// Calls `take` with each whole line, its end included, from the beginning of the file behind
// `descriptor`; stops with its error. A line of more than 64 MiB is kInvalidArgument.
Result<LinesRead> ReadLines(int descriptor, const std::string& path,
                            const std::function<Status(std::string_view)>& take);

}  // namespace ckpt::cli
