// Reads the elements of a dataset, piece by piece; runs in the child.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/hdf5/hdf5_element_type.h"
#include "formats/hdf5/hdf5_file.h"
#include "formats/hdf5/hdf5_library.h"

namespace ckpt::formats {

// A range of elements in C order that is a box of the shape.
struct ElementBox {
  std::vector<hsize_t> start, count;  // per axis
  std::uint64_t elements = 1;
};
// The largest box that begins at `first`. REQUIRES: first < the element count, max_elements > 0.
ElementBox BoxAt(const Shape& shape, std::uint64_t first, std::uint64_t max_elements);

class Hdf5Elements {
 public:
  // `address` is that of the dataset's header. kLimitExceeded where one chunk exceeds
  // `max_chunk_bytes`.
  static Result<Hdf5Elements> Open(hid_t file, haddr_t address, const Hdf5Object& object,
                                   std::uint64_t max_chunk_bytes);

  // Elements from `first` on, at most `max_elements`, as stream bytes; how many they are.
  Result<std::uint64_t> Read(std::uint64_t first, std::uint64_t max_elements,
                             std::span<std::byte> out);
  Result<std::vector<std::string>> ReadTexts(std::uint64_t first, std::uint64_t max_elements);

 private:
  Result<std::uint64_t> ReadBox(std::uint64_t first, std::uint64_t max_elements, void* out);
  Result<std::vector<std::string>> ReadVariable(std::uint64_t first, std::uint64_t max_elements);

  std::string path_;
  Shape shape_;
  Hdf5ElementType element_;
  std::size_t element_size_ = 0;
  Hdf5Id dataset_, space_;
};

}  // namespace ckpt::formats
