#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "cli/policy/config_file.h"
#include "cli/policy/path_glob.h"

namespace ckpt::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kName = "ckpt.toml";
constexpr std::uint64_t kMaxConfigBytes = std::uint64_t{64} << 10;

Error Refused(const std::string& path, std::string why) {
  return Error{ErrorCode::kInvalidArgument, std::move(why)}.In(path);
}

// A file that is not there is a mistake of the call, as one with a mistake in it; what the system
// refuses is none.
Error AsUsage(Error error) {
  if (error.code != ErrorCode::kIo) error.code = ErrorCode::kInvalidArgument;
  return error;
}

Result<AuditConfig> ReadOpened(const formats::RandomAccessFile& file, const std::string& path) {
  Result<std::string> text = formats::ReadWhole(file, kMaxConfigBytes);
  if (!text) return Fail(AsUsage(std::move(text).error()));
  CKPT_ASSIGN_OR_RETURN(AuditConfig config, ParseConfig(*text, path));
  config.folder = PlaceOf(path).parent_path();
  if (!config.baseline.empty() && fs::path(config.baseline).is_relative())
    config.baseline = (fs::path(path).parent_path() / config.baseline).string();
  return config;
}

// Written by the user or the administrator, and by nobody else. A group that has the number of the
// owner is his own, as Debian makes one for every user.
Status CheckOwner(int descriptor, const std::string& path) {
  constexpr const char* kWayOut =
      ": --config ckpt.toml takes it all the same, --no-config does not";
  struct stat status {};
  if (::fstat(descriptor, &status) != 0)
    return Fail(Error{ErrorCode::kIo, std::generic_category().message(errno)}.In(path));
  if (status.st_uid != ::geteuid() && status.st_uid != 0)
    return Fail(Refused(path, std::string("belongs to another user") + kWayOut));
  const bool by_group = (status.st_mode & S_IWGRP) != 0 && status.st_gid != status.st_uid;
  if (by_group || (status.st_mode & S_IWOTH) != 0)
    return Fail(Refused(path, std::string("can be written by other users") + kWayOut));
  return {};
}

Result<AuditConfig> ReadTrusted(const formats::FilesRead& files, int descriptor,
                                const std::string& path) {
  CKPT_ASSIGN_OR_RETURN(const auto file, formats::WrapDescriptor(path, descriptor));
  CKPT_RETURN_IF_ERROR(CheckOwner(file->descriptor(), path));
  files.Note(path);
  return ReadOpened(*file, path);
}

// Short where the file lies in the current folder.
std::string Shown(const fs::path& folder, const fs::path& here) {
  return folder == here ? kName : (folder / kName).string();
}

}  // namespace

Result<AuditConfig> ReadConfig(const formats::FilesRead& files, const std::string& path) {
  const auto file = files.Open(path);
  if (!file) return Fail(AsUsage(file.error()));
  return ReadOpened(**file, path);
}

Result<std::optional<AuditConfig>> FindConfig(const formats::FilesRead& files) {
  std::error_code failed;
  const fs::path here = fs::current_path(failed);
  if (failed) return std::optional<AuditConfig>();
  const char* named = std::getenv("HOME");
  const fs::path home = named != nullptr && *named != '\0' ? PlaceOf(named) : fs::path();
  for (fs::path folder = here;; folder = folder.parent_path()) {
    const std::string path = Shown(folder, here);
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (descriptor >= 0) {
      auto config = ReadTrusted(files, descriptor, path);
      if (!config) return Fail(AsUsage(config.error()));
      return std::optional(*std::move(config));
    }
    const int why = errno;  // EACCES may be of a folder above, which then has none for this user
    if (why != ENOENT && (why != EACCES || fs::exists(path, failed)))
      return Fail(
          Error{ErrorCode::kIo, "cannot open: " + std::generic_category().message(why)}.In(path));
    const bool last = folder == home || folder == folder.root_path();
    if (last || fs::exists(folder / ".git", failed)) return std::optional<AuditConfig>();
  }
}

}  // namespace ckpt::cli
