#include "formats/hdf5/hdf5_output_driver.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>

#include "formats/container/positioned_write.h"
#include "formats/hdf5/hdf5_driver_class.h"

namespace ckpt::formats {
namespace {

// What the library keeps per file that is written; its own fields come first.
struct FileWritten {
  H5FD_t base;
  Hdf5Place place;
  haddr_t end_of_addresses, end_of_file;
};

FileWritten* Written(H5FD_t* file) { return reinterpret_cast<FileWritten*>(file); }
const FileWritten* Written(const H5FD_t* file) {
  return reinterpret_cast<const FileWritten*>(file);
}

off_t PositionOf(const FileWritten& file, haddr_t address) {
  return static_cast<off_t>(file.place.offset + address);
}

// For Hdf5Error: the library only knows that the call failed.
herr_t SystemFailed(const char* what, int number) {
  const std::string why = std::generic_category().message(number);
  H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_IO, H5E_CANTINIT, "%s: %s",
           what, why.c_str());
  return -1;
}

H5FD_t* OpenWritten(const char*, unsigned flags, hid_t access, haddr_t) {
  const auto* place = static_cast<const Hdf5Place*>(H5Pget_driver_info(access));
  if (place == nullptr || (flags & H5F_ACC_TRUNC) == 0) return nullptr;
  if (::ftruncate(place->descriptor, static_cast<off_t>(place->offset)) != 0) {
    SystemFailed("cannot truncate", errno);
    return nullptr;
  }
  auto* file = new (std::nothrow) FileWritten{};  // no exception may pass the library
  if (file == nullptr) return nullptr;
  file->place = *place;
  return &file->base;
}

herr_t CloseWritten(H5FD_t* file) {
  delete Written(file);
  return 0;
}

// Those of the library's own driver that decide where things are put.
herr_t FeaturesOfWritten(const H5FD_t*, unsigned long* flags) {
  *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
           H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  return 0;
}

haddr_t AddressesOfWritten(const H5FD_t* file, H5FD_mem_t) {
  return Written(file)->end_of_addresses;
}

herr_t SetAddressesOfWritten(H5FD_t* file, H5FD_mem_t, haddr_t address) {
  Written(file)->end_of_addresses = address;
  return 0;
}

haddr_t EndOfWritten(const H5FD_t* file, H5FD_mem_t) { return Written(file)->end_of_file; }

// Zeros stand behind the end of the file, as the library expects of what it has not written yet.
herr_t ReadWritten(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t address, size_t size, void* out) {
  auto* next = static_cast<char*>(out);
  while (size > 0) {
    const ssize_t got =
        ::pread(Written(file)->place.descriptor, next, size, PositionOf(*Written(file), address));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemFailed("cannot read", errno);
    if (got == 0) {
      std::memset(next, 0, size);
      return 0;
    }
    next += got;
    address += static_cast<haddr_t>(got);
    size -= static_cast<size_t>(got);
  }
  return 0;
}

herr_t WriteWritten(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t address, size_t size,
                    const void* bytes) {
  FileWritten& it = *Written(file);
  const int failed = WriteAllAt(it.place.descriptor, {static_cast<const std::byte*>(bytes), size},
                                it.place.offset + address);
  if (failed != 0) return SystemFailed("cannot write", failed);
  it.end_of_file = std::max(it.end_of_file, address + size);
  return 0;
}

// The file ends where its addresses do, though nothing was written there.
herr_t EndWritten(H5FD_t* file, hid_t, hbool_t) {
  FileWritten& it = *Written(file);
  if (it.end_of_file == it.end_of_addresses) return 0;
  if (::ftruncate(it.place.descriptor, PositionOf(it, it.end_of_addresses)) != 0) {
    return SystemFailed("cannot truncate", errno);
  }
  it.end_of_file = it.end_of_addresses;
  return 0;
}

const H5FD_class_t* ClassOfWritten() {
  static const H5FD_class_t driver = [] {
    H5FD_class_t it = DriverClassOf("ckpt-output", 510);
    it.fapl_size = sizeof(Hdf5Place);
    it.open = OpenWritten;
    it.close = CloseWritten;
    it.query = FeaturesOfWritten;
    it.get_eoa = AddressesOfWritten;
    it.set_eoa = SetAddressesOfWritten;
    it.get_eof = EndOfWritten;
    it.read = ReadWritten;
    it.write = WriteWritten;
    it.truncate = EndWritten;
    return it;
  }();
  return &driver;
}

}  // namespace

Hdf5Id CreateWithDriver(const Hdf5Place& place, hid_t creation) {
  static const hid_t driver = H5FDregister(ClassOfWritten());
  const Hdf5Id access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  if (driver < 0 || H5Pset_driver(access.get(), driver, &place) < 0) return {};
  return {H5Fcreate("output", H5F_ACC_TRUNC, creation, access.get()), H5Fclose};
}

}  // namespace ckpt::formats
