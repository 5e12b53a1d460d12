// The header of a .npy array (NumPy's format.py, versions 1.0 to 3.0).
//
//   93 4E 55 4D 50 59 | major, minor | u16 or, from version 2, u32 header size | header | data
//   header: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   spaces, newline
//
// The header is a Python literal. Only a dict of these three keys is read: no expression, no
// nesting, nothing that could be code.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "ckpt/dtype.h"
#include "ckpt/result.h"
#include "ckpt/shape.h"

namespace ckpt::formats {

inline constexpr std::string_view kNpyMagic = "\x93NUMPY";
// Bytes before the header, at most; enough for ReadNpyPreamble.
inline constexpr std::size_t kNpyPreambleBytes = 12;
inline constexpr std::uint64_t kMaxNpyHeader = std::uint64_t{1} << 20;

// What the elements are.
enum class NpyKind : std::uint8_t {
  kPlain,        // `dtype` of `item_bytes` each; kVoid for opaque bytes
  kBytes,        // byte strings, padded with NUL to `item_bytes`
  kText,         // UCS-4 strings, padded with NUL to `item_bytes`
  kObject,       // a pickle, never read
  kUnsupported,  // records, dates, long double
};

struct NpyHeader {
  NpyKind kind = NpyKind::kPlain;
  std::string descr;  // as written; of records the beginning
  Dtype dtype = Dtype::kVoid;
  std::uint64_t item_bytes = 0;  // 0 for kObject and kUnsupported
  bool big_endian = false;
  bool fortran_order = false;
  Shape shape;
  std::uint64_t data_offset = 0;  // from the start of the array's file
  std::uint64_t data_bytes = 0;   // shape times item_bytes
};

// The size of preamble and header together, from the first kNpyPreambleBytes of an array's file
// (or fewer, where it is shorter). Offsets in errors count from its start.
Result<std::uint64_t> ReadNpyPreamble(std::string_view start);
// `head`: as many bytes as ReadNpyPreamble says.
Result<NpyHeader> ParseNpyHeader(std::string_view head);

// The preamble and header that NumPy writes for a C-ordered array.
std::string BuildNpyHeader(std::string_view descr, const Shape& shape);

// "<f4" for kF32; empty where NumPy has no such type.
std::string_view NpyDescr(Dtype dtype) noexcept;

}  // namespace ckpt::formats
