#include "formats/remote/fetched_file.h"

#include <utility>

namespace ckpt::formats {
namespace {

// "folder/file" without an empty part and without "." and "..".
bool StaysBelow(const std::string& name) {
  std::size_t begin = 0;
  while (begin <= name.size()) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    const std::string part = name.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  return true;
}

// The address of `shown` where it lies below the folder of `base`, which is shown as `base_shown`.
std::optional<RemoteAddress> Below(const RemoteAddress& base, const std::string& shown) {
  const std::string folder = base.path.substr(0, base.path.rfind('/') + 1);
  const std::string prefix = base.scheme + "://" + base.authority + folder;
  if (!shown.starts_with(prefix)) return std::nullopt;
  const std::string name = shown.substr(prefix.size());
  if (!StaysBelow(name)) return std::nullopt;
  RemoteAddress address = base;
  address.query.clear();
  const bool web = base.scheme == "https" || base.scheme == "http";
  address.path = folder + (web ? PercentEncoded(name) : name);
  return address;
}

}  // namespace

void FetchNames::Add(const std::string& shown, const std::string& url) {
  if (auto address = ParseRemote(url)) named_.insert_or_assign(shown, *std::move(address));
}

Result<FetchedFile> FetchNames::Find(const std::string& shown) const {
  std::optional<RemoteAddress> address;
  if (const auto named = named_.find(shown); named != named_.end()) address = named->second;
  for (auto base = named_.begin(); !address && base != named_.end(); ++base)
    address = Below(base->second, shown);
  if (!address) {
    return Fail(ErrorCode::kUnsafe,
                "is not below a folder of a URL that the command line names, and is not fetched");
  }
  FetchedFile file;
  file.scheme = address->scheme;
  CKPT_ASSIGN_OR_RETURN(file.target, TargetOf(*address, credentials_));
  return file;
}

}  // namespace ckpt::formats
