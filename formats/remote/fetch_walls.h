// What the child that fetches gives up before it talks to a server: a server that takes it over
// finds no file of the user, no program to start, and nobody to serve.
#pragma once

#include <string>
#include <vector>

namespace ckpt::formats {

struct FetchWalls {
  bool system_calls = false, files = false;  // false where the kernel takes no such wall
};

// Call once, before there are threads. Afterwards, for good:
// - files are read below the folders that name resolution, certificates and shared libraries lie
//   in, and `readable` (files or folders; what is not there is passed over), and none is written
//   (Landlock);
// - no program is started, no other process is signalled or looked into, sockets are of the
//   Internet's kinds, of this machine's name service, and none listens (seccomp);
// - data may grow by 2 GiB, and 256 descriptors may be open.
FetchWalls EnterFetchWalls(const std::vector<std::string>& readable) noexcept;

}  // namespace ckpt::formats
