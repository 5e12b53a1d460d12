#include "formats/hdf5/hdf5_driver_class.h"

#include <cstring>

namespace ckpt::formats {

H5FD_class_t DriverClassOf(const char* name, [[maybe_unused]] int value) {
  H5FD_class_t it{};
#ifdef H5FD_CLASS_VERSION
  it.version = H5FD_CLASS_VERSION;
  it.value = static_cast<H5FD_class_value_t>(value);
#endif
  it.name = name;
  it.maxaddr = (haddr_t{1} << 63) - 1;
  it.fc_degree = H5F_CLOSE_WEAK;
  const H5FD_mem_t free_lists[] = H5FD_FLMAP_DICHOTOMY;
  static_assert(sizeof free_lists == sizeof it.fl_map);
  std::memcpy(it.fl_map, free_lists, sizeof free_lists);
  return it;
}

}  // namespace ckpt::formats
