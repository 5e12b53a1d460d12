// Files behind URLs. Nothing is fetched, and no child started, before a URL was named.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "formats/container/file.h"
#include "formats/container/file_stamp.h"
#include "formats/remote/remote_body.h"

namespace ckpt::formats {

// One for the process, as the file system is. Paths are shown names (ShownName). Safe for use from
// several threads.
class RemoteFiles : public Files {
 public:
  static RemoteFiles& Instance();

  // What stands for `url` from now on in the place of a path: it holds no secrets.
  // kInvalidArgument where it is no URL of a file.
  Result<std::string> Name(const std::string& url);
  // The same for one of many: where it is no URL of a file, opening it says so.
  std::string NameInList(const std::string& url);
  bool HasNames() const;
  // Starts the child that fetches, if it does not run and something was named. Best called before
  // there are threads, and before a file is parsed.
  Status Start();
  void set_progress(FetchProgress progress);

  Result<std::unique_ptr<RandomAccessFile>> Open(const std::filesystem::path& path) const override;
  // What the server has of it now, asked for unless the file was read just now; nothing where it
  // has none, or no word for its version.
  std::optional<FileStamp> StampOf(const std::string& shown) const;
  // Asks the server.
  bool Exists(const std::filesystem::path& path) const override;
  bool IsDirectory(const std::filesystem::path& path) const override;
  // Nothing: a server lists no folder. What lies beside a file is found by its name.
  Result<std::vector<std::string>> List(const std::filesystem::path& folder) const override;
  Result<std::unique_ptr<RandomAccessFile>> OpenBeneath(const std::filesystem::path& folder,
                                                        const std::string& name) const override;

 private:
  // What came of opening a file. A body lives as long as somebody reads it, and a little longer.
  struct Opening {
    std::mutex mutex;
    std::optional<Error> error;
    std::weak_ptr<RemoteBody> body;
  };
  RemoteFiles() = default;
  std::string ShownFor(const std::string& url, const std::string& plain);
  std::shared_ptr<Opening> OpeningOf(const std::string& shown) const;
  Result<std::shared_ptr<RemoteBody>> BodyOf(const std::string& shown) const;
  void Keep(std::shared_ptr<RemoteBody> body) const;

  mutable std::mutex mutex_;
  std::map<std::string, std::string> to_name_;  // shown name to URL, until the child has it
  std::map<std::string, std::string> digests_;  // of the URL that a shown name stands for
  std::map<std::string, Error> refused_;        // by shown name: what NameInList could not take
  std::shared_ptr<FetchClient> client_;
  FetchProgress progress_;
  mutable std::map<std::string, std::shared_ptr<Opening>> openings_;
  mutable std::deque<std::shared_ptr<RemoteBody>> latest_;
};

}  // namespace ckpt::formats
