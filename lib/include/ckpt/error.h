// What went wrong and where, in words that a user can act on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ckpt {

enum class ErrorCode : std::uint8_t {
  kInvalidArgument,  // the caller asked for something meaningless (usage)
  kAlreadyExists,    // OUTPUT exists and may not be replaced (usage)
  kNotFound,         // no such file
  kIo,               // the system refused: open, read, write, rename, disk full
  kLimitExceeded,    // larger, deeper or slower than the limits allow
  kCorrupt,          // the bytes contradict the format, or a checksum fails
  kUnsupported,      // valid, but not handled here; the message says what would be needed
  kUnsafe,           // refused on principle: links out of the folder, pickles, external storage
  kUnfit,            // sound, but not fit for what was asked (statistics missing in a conversion)
  kInterrupted,      // a signal asked the program to stop
  kInternal,         // a defect of this program
};

// "corrupt", "unsupported", ...; stable, used in JSON.
std::string_view ErrorCodeName(ErrorCode code) noexcept;

// What a caller could change so that the same call succeeds.
enum class Remedy : std::uint8_t {
  kNone,
  kMoreMemory,  // a higher limit on the memory that one file may take
};

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::string file = {};                     // path of the file concerned; empty if none
  std::optional<std::uint64_t> offset = {};  // byte offset in `file`
  std::string tensor = {};                   // name of the tensor concerned; empty if none
  Remedy remedy = Remedy::kNone;
};

// "model.index: byte 1010: tensor \"w\": checksum mismatch": one line, control characters escaped,
// a very long name or message cut in its middle.
std::string ToString(const Error& error);

// `text` with control characters, bidirectional overrides and invalid UTF-8 bytes written as \xNN,
// and a backslash as \\, so that a name taken from a file can be printed and read back.
std::string EscapeForDisplay(std::string_view text);

}  // namespace ckpt
