// What runs in the child: answers the requests of hdf5_wire.h about one file.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "formats/container/file.h"
#include "formats/hdf5/hdf5_file.h"

namespace ckpt::formats {

// A handler for ChildProcess::Start. The file is opened at the first request, in the child; `file`
// and `limits` must live as long as the parent's call of Start.
class Hdf5Server {
 public:
  Hdf5Server(const RandomAccessFile& file, const Limits& limits);
  std::vector<std::byte> operator()(std::span<const std::byte> request,
                                    std::span<std::byte> shared);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace ckpt::formats
