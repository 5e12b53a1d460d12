// The files that the fetching child knows, and which it may be asked for.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/remote/address.h"
#include "formats/remote/fetch_target.h"

namespace ckpt::formats {

struct FetchedFile {
  std::string scheme = {};
  FetchTarget target = {};
  // Where redirects of the target led; empty: nowhere, or not known.
  std::string moved_to = {};
  std::optional<bool> named_host_is_public = {};
  std::uint64_t size = 0;
  std::string tag = {};  // of the version that is read; empty: the server gives none
  bool strong_tag = false;
  // All of it, from a server that sends no ranges.
  std::optional<std::vector<std::byte>> whole = {};
};

// Which names stand for which URLs. A process that hostile input has taken over gets no other host
// than those of the command line, and nothing above the folders named there.
class FetchNames {
 public:
  explicit FetchNames(FetchCredentials credentials) : credentials_(std::move(credentials)) {}

  void Add(const std::string& shown, const std::string& url);
  // Of a name that was added, or one below the folder of such a name; kUnsafe for others.
  Result<FetchedFile> Find(const std::string& shown) const;

 private:
  FetchCredentials credentials_;
  std::map<std::string, RemoteAddress> named_;  // by what is shown
};

}  // namespace ckpt::formats
