// The system starts to write a file to the disk while more is written, so that flushing it in the
// end waits less.
#pragma once

#include <fcntl.h>

#include <cstdint>

namespace ckpt::formats {

class EarlyWriteBack {
 public:
  // The file is written up to `end`.
  void WrittenTo(int descriptor, std::uint64_t end) {
    if (end < begun_ + kBytes) return;
    // What fails here fails again when the file is flushed.
    (void)::sync_file_range(descriptor, static_cast<off_t>(begun_),
                            static_cast<off_t>(end - begun_), SYNC_FILE_RANGE_WRITE);
    begun_ = end;
  }

 private:
  static constexpr std::uint64_t kBytes = std::uint64_t{32} << 20;
  std::uint64_t begun_ = 0;
};

}  // namespace ckpt::formats
