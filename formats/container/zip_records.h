// The records of a zip archive: signatures, sizes and fields, for the reader and the writer.
// Numbers in brackets are sections of PKWARE's APPNOTE.TXT 6.3.
#pragma once

#include <cstdint>

namespace ckpt::formats::zip {

inline constexpr std::uint32_t kLocalSignature = 0x04034b50;       // [4.3.7]
inline constexpr std::uint32_t kDescriptorSignature = 0x08074b50;  // [4.3.9]
inline constexpr std::uint32_t kCentralSignature = 0x02014b50;     // [4.3.12]
inline constexpr std::uint32_t kEnd64Signature = 0x06064b50;       // [4.3.14]
inline constexpr std::uint32_t kLocatorSignature = 0x07064b50;     // [4.3.15]
inline constexpr std::uint32_t kEndSignature = 0x06054b50;         // [4.3.16]

// Bytes of the fixed part of each record.
inline constexpr std::uint64_t kLocalBytes = 30;
inline constexpr std::uint64_t kCentralBytes = 46;
inline constexpr std::uint64_t kEnd64Bytes = 56;
inline constexpr std::uint64_t kLocatorBytes = 20;
inline constexpr std::uint64_t kEndBytes = 22;

// General purpose flags [4.4.4].
inline constexpr std::uint16_t kEncrypted = 1U << 0;
inline constexpr std::uint16_t kHasDescriptor = 1U << 3;
inline constexpr std::uint16_t kPatchData = 1U << 5;
inline constexpr std::uint16_t kStrongEncryption = 1U << 6;
inline constexpr std::uint16_t kUtf8Name = 1U << 11;
inline constexpr std::uint16_t kMaskedHeader = 1U << 13;

// A field of these values has its real one in the zip64 extra field [4.5.3].
inline constexpr std::uint32_t kSaturated32 = 0xFFFFFFFF;
inline constexpr std::uint16_t kSaturated16 = 0xFFFF;
inline constexpr std::uint16_t kZip64Extra = 0x0001;

}  // namespace ckpt::formats::zip
