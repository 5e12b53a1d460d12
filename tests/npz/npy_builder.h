// .npy arrays as literals: a header's text as given, no padding added.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "formats/npz/npz.h"
#include "tests/support/zip_builder.h"

namespace ckpt::formats {

inline std::string Npy(std::string_view literal, std::string_view data = {}, unsigned major = 1) {
  std::string bytes = "\x93NUMPY";
  bytes += static_cast<char>(major);
  bytes += '\0';
  bytes += testing::Little(literal.size(), major == 1 ? 2 : 4);
  return bytes + std::string(literal) + std::string(data);
}

inline std::string Literal(std::string_view descr, std::string_view shape, bool fortran = false) {
  return "{'descr': '" + std::string(descr) +
         "', 'fortran_order': " + (fortran ? "True" : "False") +
         ", 'shape': " + std::string(shape) + ", }\n";
}

inline Result<std::unique_ptr<Checkpoint>> OpenNpyBytes(std::string_view bytes,
                                                        const Limits& limits = {}) {
  MemoryFiles files;
  files.Add("dir/array.npy", bytes);
  return OpenNpz(files, "dir/array.npy", limits);
}

inline Result<std::unique_ptr<Checkpoint>> OpenNpzOf(std::vector<testing::ZipPart> members,
                                                     const Limits& limits = {}) {
  testing::ZipFile zip;
  zip.parts = std::move(members);
  MemoryFiles files;
  files.Add("a.npz", zip.Build());
  return OpenNpz(files, "a.npz", limits);
}

}  // namespace ckpt::formats
