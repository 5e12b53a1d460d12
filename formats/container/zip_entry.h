// What opening a zip archive passes from one step to the next. See zip_archive.h.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "formats/container/zip_archive.h"
#include "formats/encoding/byte_reader.h"

namespace ckpt::formats {

struct ZipEntry {
  ZipMember member;
  std::uint16_t flags = 0;  // of the central header
};

tl::unexpected<Error> ZipError(ErrorCode code, const RandomAccessFile& file, std::uint64_t offset,
                               std::string message);
tl::unexpected<Error> ZipMemberError(ErrorCode code, const RandomAccessFile& file,
                                     std::uint64_t offset, const ZipMember& member,
                                     const std::string& message);

// Replaces those of `values` that are saturated by what the zip64 field of `extra` says, in the
// order of [4.5.3]. False where the extra fields are malformed, or the zip64 field is needed and
// absent or too short.
bool ResolveZip64(ByteReader extra, std::initializer_list<std::uint64_t*> values);

// Compares every local header, and data descriptor, with its entry and sets data_offset. No member
// may overlap another or reach beyond `directory_offset`.
Status CheckLocalHeaders(const RandomAccessFile& file, std::uint64_t directory_offset,
                         std::vector<ZipEntry>& entries);

}  // namespace ckpt::formats
