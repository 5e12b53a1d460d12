#include "formats/hdf5/hdf5_library.h"

#include "formats/container/memory_headroom.h"

namespace ckpt::formats {
namespace {

std::mutex& LibraryMutex() {
  static std::mutex mutex;
  return mutex;
}

struct InnermostFailure {
  std::string text;
  bool no_memory = false;
};

herr_t Collect(unsigned depth, const H5E_error2_t* failure, void* out) {
  auto& innermost = *static_cast<InnermostFailure*>(out);
  if (depth == 0 && failure->desc != nullptr) innermost.text = failure->desc;
  // The major number is the part of the library that met it.
  if (failure->min_num == H5E_NOSPACE) innermost.no_memory = true;
  return 0;
}

std::string LibraryVersion() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(release);
}

}  // namespace

Hdf5Lock::Hdf5Lock() : lock_(LibraryMutex()) {
  RequireHeadroom();
  // The library's own clean-up at exit crashes where a file could not be flushed (disk full); every
  // file is closed by its owner. Only the first call counts, before the library starts.
  H5dont_atexit();
  H5open();
  H5Eget_auto2(H5E_DEFAULT, &printer_, &printer_data_);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Hdf5Lock::~Hdf5Lock() { H5Eset_auto2(H5E_DEFAULT, printer_, printer_data_); }

Error Hdf5Error(ErrorCode code, std::string_view doing) {
  InnermostFailure failure;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, Collect, &failure);
  Error error{code, std::string(doing) + " failed"};
  if (!failure.text.empty()) error.message += ": the HDF5 library says: " + failure.text;
  if (failure.no_memory) {
    error.code = ErrorCode::kLimitExceeded;
    error.message += " (the limit hdf5_memory_bytes)";
    error.remedy = Remedy::kMoreMemory;
  } else if (failure.text.find("bad version number") != std::string::npos) {
    error.code = ErrorCode::kUnsupported;
    error.message +=
        " (this is version " + LibraryVersion() + "; a newer one may have written the file)";
  }
  return error;
}

Result<Shape> Hdf5Shape(hid_t space, const std::string& what) {
  const int rank = H5Sget_simple_extent_ndims(space);
  if (rank < 0 || rank > H5S_MAX_RANK) {
    return Fail(Hdf5Error(ErrorCode::kCorrupt, "reading the rank of the " + what));
  }
  std::vector<hsize_t> dims(static_cast<std::size_t>(rank));
  if (rank > 0 && H5Sget_simple_extent_dims(space, dims.data(), nullptr) < 0) {
    return Fail(Hdf5Error(ErrorCode::kCorrupt, "reading the dimensions of the " + what));
  }
  // What does not fit becomes negative and is refused.
  const std::vector<std::int64_t> signed_dims(dims.begin(), dims.end());
  auto shape = Shape::FromDims(signed_dims);
  if (!shape) return Fail(shape.error().code, "the " + what + ": " + shape.error().message);
  return shape;
}

std::string Hdf5Quoted(const std::string& text) { return "\"" + text + "\""; }

}  // namespace ckpt::formats
