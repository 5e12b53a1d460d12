#include "cli/resume/journal_lines.h"

#include <unistd.h>

#include <cerrno>
#include <vector>

#include "formats/container/system_error.h"

namespace ckpt::cli {
namespace {

constexpr std::size_t kMaxLine = std::size_t{64} << 20;
constexpr std::size_t kChunk = std::size_t{1} << 20;

// Hands on the whole lines of `text`, and leaves what is behind them.
Status TakeLines(std::string& text, LinesRead& read,
                 const std::function<Status(std::string_view)>& take) {
  std::size_t begin = 0;
  for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    const std::size_t length = end + 1 - begin;
    CKPT_RETURN_IF_ERROR(take(std::string_view(text).substr(begin, length)));
    read.whole_bytes += length;
    begin = end + 1;
  }
  text.erase(0, begin);
  return {};
}

}  // namespace

Result<LinesRead> ReadLines(int descriptor, const std::string& path,
                            const std::function<Status(std::string_view)>& take) {
  LinesRead read;
  std::vector<char> chunk(kChunk);
  std::uint64_t offset = 0;
  while (true) {
    const ssize_t got = ::pread(descriptor, chunk.data(), chunk.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Fail(formats::SystemErrorOf(path, "cannot read", errno));
    if (got == 0) return read;
    offset += static_cast<std::uint64_t>(got);
    read.torn.append(chunk.data(), static_cast<std::size_t>(got));
    CKPT_RETURN_IF_ERROR(TakeLines(read.torn, read, take));
    if (read.torn.size() > kMaxLine) {
      return Fail(Error{ErrorCode::kInvalidArgument,
                        "--resume: a line of it has more than 64 MiB; it is not written to",
                        path,
                        read.whole_bytes,
                        {}});
    }
  }
}

}  // namespace ckpt::cli
