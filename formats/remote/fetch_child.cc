#include "formats/remote/fetch_child.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "formats/container/forked_child.h"
#include "formats/remote/credentials.h"
#include "formats/remote/curl_library.h"
#include "formats/remote/fetch_walls.h"
#include "formats/remote/fetcher.h"

namespace ckpt::formats {
namespace {

[[noreturn]] void EndFetching() noexcept { ::_exit(2); }

// What it does not need for fetching it gives up for good.
void GiveUp(int socket) noexcept {
  DefaultSignals();
  const int null = ::open("/dev/null", O_RDWR);
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, standard);
  CloseDescriptors(3, static_cast<unsigned>(socket) - 1);
  CloseDescriptors(static_cast<unsigned>(socket) + 1, ~0U);
}

// But for those of the system, the files that fetching takes: all others have been read.
std::vector<std::string> FilesItReads(const FetchCredentials& credentials,
                                      const CurlLibrary& curl) {
  std::vector<std::string> files = curl.files;
  files.push_back(credentials.ca_file);
  files.push_back(credentials.aws_ca_file);
  if (const char* folder = std::getenv("SSL_CERT_DIR")) files.emplace_back(folder);
  return files;
}

}  // namespace

void RunFetchChild(int socket) noexcept {
  std::set_terminate(EndFetching);  // the parent's cleans up what is the parent's
  GiveUp(socket);
  try {
    FetchCredentials credentials = ReadCredentials();
    CurlLibrary curl;
    std::string cannot;
    curl.Load(cannot);
    EnterFetchWalls(FilesItReads(credentials, curl));
    Fetcher(socket, curl, FetchNames(std::move(credentials)), std::move(cannot)).Run();
  } catch (...) {
    EndFetching();
  }
  ::_exit(0);  // no destructors, no handlers: they belong to the parent
}

}  // namespace ckpt::formats
