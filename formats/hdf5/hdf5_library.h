// The HDF5 library as this program uses it: quiet, and one call at a time.
#pragma once

#include <hdf5.h>

#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "ckpt/result.h"
#include "ckpt/shape.h"

namespace ckpt::formats {

// Hold it around any use of the library in this process, and while forking a child that will use
// it: the child must not inherit a library in the middle of a call. Initialises the library, and
// keeps it from printing its errors in this thread.
class Hdf5Lock {
 public:
  Hdf5Lock();
  ~Hdf5Lock();
  Hdf5Lock(const Hdf5Lock&) = delete;
  Hdf5Lock& operator=(const Hdf5Lock&) = delete;

 private:
  std::unique_lock<std::mutex> lock_;
  H5E_auto2_t printer_ = nullptr;
  void* printer_data_ = nullptr;
};

// Owns an identifier of the library.
class Hdf5Id {
 public:
  using Closer = herr_t (*)(hid_t);
  Hdf5Id() = default;
  Hdf5Id(hid_t id, Closer closer) noexcept : id_(id), closer_(closer) {}
  Hdf5Id(Hdf5Id&& other) noexcept
      : id_(std::exchange(other.id_, H5I_INVALID_HID)), closer_(other.closer_) {}
  Hdf5Id& operator=(Hdf5Id&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(closer_, other.closer_);
    return *this;
  }
  ~Hdf5Id() {
    if (ok()) closer_(id_);
  }

  hid_t get() const noexcept { return id_; }
  bool ok() const noexcept { return id_ >= 0; }
  bool Close() noexcept { return !ok() || closer_(std::exchange(id_, H5I_INVALID_HID)) >= 0; }

 private:
  hid_t id_ = H5I_INVALID_HID;
  Closer closer_ = nullptr;
};

// The failure of this thread's last library call, which was `doing` ("reading the group \"/a\""),
// in the library's innermost words. Instead of `code` it is kLimitExceeded where the library found
// no memory, and kUnsupported where it met a version of the format that it does not know. Every
// other library call, the closing of an identifier too, makes the library forget.
Error Hdf5Error(ErrorCode code, std::string_view doing);

// The dimensions of a dataspace that is not null; kCorrupt, naming `what`, if they do not fit.
Result<Shape> Hdf5Shape(hid_t space, const std::string& what);

std::string Hdf5Quoted(const std::string& text);  // "text" with the quotation marks

}  // namespace ckpt::formats
