// What went wrong and where, in words that a user can act on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

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

// What a caller could change so that the same call succeeds, or does better. A program words it
// with its own options; the library knows none.
enum class Remedy : std::uint8_t {
  kNone,
  kMoreMemory,  // a higher limit on the memory that one file may take

  // Of reading and writing files.
  kReplaceOutput,     // that what stands at OUTPUT may be replaced
  kNameFormat,        // the format of the file
  kNameFramework,     // the framework whose names and layouts the file follows
  kSeparateWeights,   // a format that keeps weights beside the graph
  kWithoutGraph,      // no graph of another file
  kAllowFindings,     // that what is there is written as it is
  kRename,            // another name for the tensor
  kGiveLayout,        // the kernel's layout; the next ones say what else
  kGiveMultiplier,    // and the depth multiplier, where it is depthwise
  kGiveFlattened,     // and how many channels are flattened in front of it
  kGiveLayoutAsRead,  // and its outputs stay in their order

  // Of folding.
  kGiveEpsilon,
  kGivePair,           // the pair of batch norm and kernel
  kGivePairLayout,     // the pair, with the layout of its kernel
  kGivePairOrRename,   // the pair, or another name for one of the layers
  kAllowPairing,       // the pair, or leave to pair by name or by order
  kPairWithoutOrder,   // the pair, or leave to pair by name
  kProveByGraph,       // a graph of the whole model
  kProveByExport,      // the same, which PyTorch exports
  kCloseTrainingMode,  // that the batch norms use their moving statistics

  // Of serving a graph of operations.
  kNameInputs,
  kNameOutputs,
  kNameEnds,          // inputs and outputs
  kFeedBoolean,       // true or false for a placeholder
  kFeedValue,         // a value for it
  kFeedPlaceholders,  // values for the placeholders that choose between branches

  // Of what an audit finds.
  kRecordEpsilon,   // epsilon, or a graph that records it
  kRecordMomentum,  // the decay of the averages, or a graph that records it
  kCalibrateAll,    // statistics computed from data, of all layers
  kWriteAverages,   // a conversion that writes the moving averages
};
inline constexpr Remedy kLastRemedy = Remedy::kWriteAverages;

// What of a call is meant: an error is about it, a rule needs it. Worded by a program like a
// remedy.
enum class Setting : std::uint8_t {
  kNone,
  kRename,
  kCast,
  kStrict,
  kAverages,  // moving averages in the place of the weights
  kCloseTrainingMode,
  kKeepTrainingState,
  kFeed,
  kAllData,  // every tensor is read
  kParents,  // the checkpoints that the file was merged from
  kData,     // data of training
};
inline constexpr Setting kLastSetting = Setting::kData;

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::string file = {};                     // path of the file concerned; empty if none
  std::optional<std::uint64_t> offset = {};  // byte offset in `file`
  std::string tensor = {};                   // name of the tensor concerned; empty if none
  Remedy remedy = Remedy::kNone;
  std::string remedy_for = {};       // the name that the remedy is given for, where it takes one
  Setting setting = Setting::kNone;  // what of the call is at fault; kNone: the message says it

  // The same error with more of where it happened:
  // `Fail(Error{ErrorCode::kCorrupt, "ends early"}.In(path).At(offset))`.
  Error In(std::string path) && {
    file = std::move(path);
    return std::move(*this);
  }
  Error At(std::optional<std::uint64_t> byte) && {
    offset = byte;
    return std::move(*this);
  }
  Error Of(std::string name) && {
    tensor = std::move(name);
    return std::move(*this);
  }
  Error With(Remedy what, std::string name = {}) && {
    remedy = what;
    remedy_for = std::move(name);
    return std::move(*this);
  }
  Error About(Setting what) && {
    setting = what;
    return std::move(*this);
  }
};

// "model.index: byte 1010: tensor \"w\": checksum mismatch": one line, control characters escaped,
// a very long name or message cut in its middle.
std::string ToString(const Error& error);

// `text` with control characters, bidirectional overrides and invalid UTF-8 bytes written as \xNN,
// and a backslash as \\, so that a name taken from a file can be printed and read back.
std::string EscapeForDisplay(std::string_view text);

}  // namespace ckpt
