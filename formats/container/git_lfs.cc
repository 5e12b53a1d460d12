#include "formats/container/git_lfs.h"

#include <string_view>

namespace ckpt::formats {

std::optional<Error> GitLfsPointer(const RandomAccessFile& file) {
  // Source: the Git LFS specification, docs/spec.md: pointers are below 1024 bytes.
  constexpr std::uint64_t kMaxPointerBytes = 1024;
  constexpr std::string_view kPointerBegin = "version https://git-lfs.github.com/spec/";
  if (file.size() < kPointerBegin.size() || file.size() >= kMaxPointerBytes) return std::nullopt;
  const auto text = ReadWhole(file, kMaxPointerBytes);
  if (!text || !text->starts_with(kPointerBegin)) return std::nullopt;
  return Error{ErrorCode::kUnsupported,
               "is a Git LFS pointer, not the file itself; `git lfs pull` fetches it"}
      .In(file.path());
}

}  // namespace ckpt::formats
