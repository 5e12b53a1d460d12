#include "formats/hdf5/hdf5_driver.h"

#include <cstring>
#include <new>
#include <optional>

#include "formats/encoding/byte_reader.h"
#include "formats/hdf5/hdf5_driver_class.h"

namespace ckpt::formats {
namespace {

constexpr const char* kOnlyName = "file";
const RandomAccessFile* g_only_file = nullptr;
std::optional<Error> g_read_failure;

// What the library keeps per open file; its own fields come first.
struct OpenFile {
  H5FD_t base;
  haddr_t end_of_addresses;
};

OpenFile* Cast(H5FD_t* file) { return reinterpret_cast<OpenFile*>(file); }
const OpenFile* Cast(const H5FD_t* file) { return reinterpret_cast<const OpenFile*>(file); }

H5FD_t* DriverOpen(const char* name, unsigned flags, hid_t, haddr_t) {
  const unsigned writing = H5F_ACC_RDWR | H5F_ACC_CREAT | H5F_ACC_TRUNC;
  if (std::strcmp(name, kOnlyName) != 0 || (flags & writing) != 0) return nullptr;
  auto* file = new (std::nothrow) OpenFile{};  // no exception may pass the library
  return file == nullptr ? nullptr : &file->base;
}

herr_t DriverClose(H5FD_t* file) {
  delete Cast(file);
  return 0;
}

herr_t DriverQuery(const H5FD_t*, unsigned long* flags) {
  *flags = H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE | H5FD_FEAT_IGNORE_DRVRINFO |
           H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  return 0;
}

haddr_t DriverEndOfAddresses(const H5FD_t* file, H5FD_mem_t) {
  return Cast(file)->end_of_addresses;
}

herr_t DriverSetEndOfAddresses(H5FD_t* file, H5FD_mem_t, haddr_t address) {
  Cast(file)->end_of_addresses = address;
  return 0;
}

haddr_t DriverEndOfFile(const H5FD_t*, H5FD_mem_t) { return g_only_file->size(); }

// The library's own driver invents zeros behind the end of the file; this one fails.
herr_t DriverRead(H5FD_t*, H5FD_mem_t, hid_t, haddr_t address, size_t size, void* out) {
  if (!RangeFits(address, size, g_only_file->size())) return -1;
  const Status read = g_only_file->ReadAt(address, {static_cast<std::byte*>(out), size});
  if (read) return 0;
  if (read.error().code == ErrorCode::kIo) g_read_failure = read.error();
  return -1;
}

herr_t DriverWrite(H5FD_t*, H5FD_mem_t, hid_t, haddr_t, size_t, const void*) { return -1; }

const H5FD_class_t* DriverClass() {
  static const H5FD_class_t driver = [] {
    H5FD_class_t it = DriverClassOf("ckpt", 511);
    it.open = DriverOpen;
    it.close = DriverClose;
    it.query = DriverQuery;
    it.get_eoa = DriverEndOfAddresses;
    it.set_eoa = DriverSetEndOfAddresses;
    it.get_eof = DriverEndOfFile;
    it.read = DriverRead;
    it.write = DriverWrite;
    return it;
  }();
  return &driver;
}

}  // namespace

const std::optional<Error>& DriverReadFailure() { return g_read_failure; }

Result<Hdf5Id> OpenWithDriver(const RandomAccessFile& file, std::uint64_t chunk_cache_bytes) {
  g_only_file = &file;
  const hid_t driver = H5FDregister(DriverClass());
  const Hdf5Id access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  if (driver < 0 || H5Pset_driver(access.get(), driver, nullptr) < 0) {
    return Fail(Hdf5Error(ErrorCode::kInternal, "setting up the HDF5 library"));
  }
  // Datasets are read once from front to back: a chunk that was read whole goes first (1.0). The
  // number of slots is a prime well above the number of chunks in use at once.
  H5Pset_cache(access.get(), 0, 12421, static_cast<std::size_t>(chunk_cache_bytes), 1.0);
  Hdf5Id opened(H5Fopen(kOnlyName, H5F_ACC_RDONLY, access.get()), H5Fclose);
  if (!opened.ok()) return Fail(Hdf5Error(ErrorCode::kCorrupt, "opening the HDF5 file"));
  return opened;
}

}  // namespace ckpt::formats
