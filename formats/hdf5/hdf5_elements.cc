#include "formats/hdf5/hdf5_elements.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "formats/encoding/byte_reader.h"
#include "formats/hdf5/hdf5_attributes.h"
#include "formats/hdf5/hdf5_bounds.h"
#include "formats/hdf5/hdf5_dataset.h"

namespace ckpt::formats {
namespace {

// How many strings of variable length are asked for at once.
constexpr std::uint64_t kTextsAtOnce = 4096;

// Saturates. 0 where the dataset is not chunked.
std::uint64_t ChunkBytes(hid_t creation, std::size_t element_size) {
  if (H5Pget_layout(creation) != H5D_CHUNKED) return 0;
  std::array<hsize_t, H5S_MAX_RANK> dims{};
  const int rank = H5Pget_chunk(creation, static_cast<int>(dims.size()), dims.data());
  std::uint64_t bytes = element_size;
  for (int axis = 0; axis < rank; ++axis) {
    if (!CheckedMul(bytes, dims[static_cast<std::size_t>(axis)], &bytes)) return UINT64_MAX;
  }
  return bytes;
}

}  // namespace

ElementBox BoxAt(const Shape& shape, std::uint64_t first, std::uint64_t max_elements) {
  ElementBox box;
  box.start.assign(shape.rank(), 0);
  box.count.assign(shape.rank(), 1);
  std::uint64_t rest = first;
  bool whole_so_far = true;  // the axes behind this one are taken whole
  for (std::size_t axis = shape.rank(); axis-- > 0;) {
    const auto extent = static_cast<std::uint64_t>(shape[axis]);
    box.start[axis] = rest % extent;
    rest /= extent;
    if (!whole_so_far) continue;
    box.count[axis] =
        std::min<std::uint64_t>(extent - box.start[axis], max_elements / box.elements);
    box.elements *= box.count[axis];
    whole_so_far = box.count[axis] == extent;
  }
  return box;
}

Result<Hdf5Elements> Hdf5Elements::Open(hid_t file, haddr_t address, const Hdf5Object& object,
                                        std::uint64_t max_chunk_bytes) {
  Hdf5Elements opened;
  opened.path_ = object.path;
  opened.shape_ = object.shape;
  opened.dataset_ = {H5Oopen_by_addr(file, address), H5Oclose};
  opened.space_ = {H5Dget_space(opened.dataset_.get()), H5Sclose};
  const Hdf5Id creation(H5Dget_create_plist(opened.dataset_.get()), H5Pclose);
  if (!opened.dataset_.ok() || !opened.space_.ok() || !creation.ok()) {
    return Fail(DatasetFailed("opening the dataset", object.path));
  }
  opened.element_ = ElementsOf(opened.dataset_.get(), object);
  opened.element_size_ = opened.element_.stored_size;
  const std::uint64_t chunk = ChunkBytes(creation.get(), opened.element_size_);
  if (chunk > max_chunk_bytes) {
    return Fail(DatasetError(ErrorCode::kLimitExceeded,
                             "is stored in chunks of " + std::to_string(chunk) +
                                 " bytes, where at most " + std::to_string(max_chunk_bytes) +
                                 " are decoded (an eighth of the limit hdf5_memory_bytes)",
                             object.path));
  }
  return opened;
}

Result<std::uint64_t> Hdf5Elements::ReadBox(std::uint64_t first, std::uint64_t max_elements,
                                            void* out) {
  const ElementBox box = BoxAt(shape_, first, max_elements);
  const hsize_t elements = box.elements;
  const Hdf5Id memory_space(H5Screate_simple(1, &elements, nullptr), H5Sclose);
  const bool selected =
      shape_.rank() == 0 || H5Sselect_hyperslab(space_.get(), H5S_SELECT_SET, box.start.data(),
                                                nullptr, box.count.data(), nullptr) >= 0;
  if (!selected || H5Dread(dataset_.get(), element_.memory_type.get(), memory_space.get(),
                           space_.get(), H5P_DEFAULT, out) < 0) {
    return Fail(DatasetFailed("reading the elements from " + std::to_string(first), path_));
  }
  return box.elements;
}

Result<std::uint64_t> Hdf5Elements::Read(std::uint64_t first, std::uint64_t max_elements,
                                         std::span<std::byte> out) {
  return ReadBox(first, std::min<std::uint64_t>(max_elements, out.size() / element_size_),
                 out.data());
}

Result<std::vector<std::string>> Hdf5Elements::ReadVariable(std::uint64_t first,
                                                            std::uint64_t max_elements) {
  std::vector<char*> pointers(std::min(max_elements, kTextsAtOnce));
  CKPT_ASSIGN_OR_RETURN(const std::uint64_t count,
                        ReadBox(first, pointers.size(), pointers.data()));
  std::vector<std::string> texts;
  for (const char* pointer : std::span(pointers).first(count)) {
    texts.emplace_back(pointer == nullptr ? "" : pointer);
  }
  const hsize_t elements = count;
  const Hdf5Id memory_space(H5Screate_simple(1, &elements, nullptr), H5Sclose);
  H5Dvlen_reclaim(element_.memory_type.get(), memory_space.get(), H5P_DEFAULT, pointers.data());
  return texts;
}

Result<std::vector<std::string>> Hdf5Elements::ReadTexts(std::uint64_t first,
                                                         std::uint64_t max_elements) {
  if (H5Tis_variable_str(element_.memory_type.get()) > 0) return ReadVariable(first, max_elements);
  const std::size_t size = element_size_;
  std::vector<char> buffer(std::min<std::uint64_t>(max_elements, kHdf5ElementBytes / size) * size);
  CKPT_ASSIGN_OR_RETURN(const std::uint64_t count,
                        ReadBox(first, buffer.size() / size, buffer.data()));
  const H5T_str_t padding = H5Tget_strpad(element_.memory_type.get());
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < count; ++i) {
    texts.push_back(Unpadded(buffer.data() + i * size, size, padding));
  }
  return texts;
}

}  // namespace ckpt::formats
