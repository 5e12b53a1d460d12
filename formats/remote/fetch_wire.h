// What goes over the socket between the process that reads files and the child that fetches bytes
// of them. Both ends are one program. Every length is bounded before it is used.
//
//   request: FetchRequest, then text_size bytes (a name, or a URL)
//   reply:   FetchReply, then body_size bytes (of the file; or of a message for people); of kOpen
//            the first version_size of them say which version of the file it is
#pragma once

#include <cstddef>
#include <cstdint>

#include "ckpt/error.h"

namespace ckpt::formats {

enum class FetchKind : std::uint32_t {
  kName = 0x66657401,  // text: a shown name, NUL, the URL that it stands for. No reply
  kOpen,               // text: a shown name. Reply: its number, its size, its first bytes
  kRead,               // `size` bytes at `offset` of file number `file`
  kClose,              // no more of file number `file`. No reply
};
struct FetchRequest {
  FetchKind kind = FetchKind::kName;
  std::uint32_t text_size = 0;
  std::uint64_t tag = 0;  // of the reply
  std::uint64_t file = 0, offset = 0, size = 0;
};

inline constexpr std::uint32_t kFetchDone = 0x66657480;  // else: kFetchFailed + an ErrorCode
inline constexpr std::uint32_t kFetchFailed = 0x66657481;
struct FetchReply {
  std::uint32_t outcome = kFetchDone;
  std::uint32_t body_size = 0;
  std::uint64_t tag = 0, file = 0, file_size = 0, version_size = 0;
};

inline constexpr std::size_t kMostFetchText = 65536;
inline constexpr std::size_t kMostFetchBytes = std::size_t{2} << 20;  // of one kRead
inline constexpr std::size_t kMostFetchVersion = 256;                 // a longer ETag is none
// What a first request asks for: the header of most files, and little where it is not wanted.
inline constexpr std::size_t kFirstFetchBytes = 16384;

}  // namespace ckpt::formats
