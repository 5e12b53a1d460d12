#include "formats/container/commit_journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

#include "formats/container/system_error.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBegin = "ckpt journal 1", kEnd = "end";
constexpr const char* kName = "journal";

// Fields end with NUL, which no path holds.
void AddField(std::string& out, std::string_view field) { (out += field) += '\0'; }
void AddIdentity(std::string& out, const FileIdentity& identity) {
  AddField(out, std::to_string(identity.device));
  AddField(out, std::to_string(identity.inode));
}

std::string Encode(const Journal& journal) {
  std::string out;
  AddField(out, kBegin);
  AddField(out, journal.head.string());
  AddIdentity(out, journal.head_staged);
  for (const JournalEntry& entry : journal.entries) {
    AddField(out, entry.name);
    AddIdentity(out, entry.staged);
    AddIdentity(out, entry.old);
  }
  AddField(out, kEnd);
  return out;
}

class Fields {
 public:
  explicit Fields(std::string text) : text_(std::move(text)) {}
  std::optional<std::string> Next() {
    const std::size_t end = text_.find('\0', at_);
    if (end == std::string::npos) return std::nullopt;
    std::string field = text_.substr(at_, end - at_);
    at_ = end + 1;
    return field;
  }
  std::optional<FileIdentity> NextIdentity() {
    const auto device = Next(), inode = Next();
    if (!device || !inode) return std::nullopt;
    return FileIdentity{std::strtoull(device->c_str(), nullptr, 10),
                        std::strtoull(inode->c_str(), nullptr, 10)};
  }
  bool at_end() const { return at_ == text_.size(); }

 private:
  std::string text_;
  std::size_t at_ = 0;
};

// Nothing where it was not finished: then the commit had not begun.
std::optional<Journal> Decode(std::string text) {
  Fields fields(std::move(text));
  Journal journal;
  const auto begin = fields.Next(), head = fields.Next();
  const auto head_staged = fields.NextIdentity();
  if (begin != kBegin || !head || !head_staged) return std::nullopt;
  journal.head = *head;
  journal.head_staged = *head_staged;
  while (auto name = fields.Next()) {
    if (*name == kEnd && fields.at_end()) return journal;
    const auto staged = fields.NextIdentity(), old = fields.NextIdentity();
    // Names alone: a journal never speaks of another folder than its own.
    if (!staged || !old || name->empty() || name->find('/') != std::string::npos || *name == ".." ||
        *name == ".") {
      return std::nullopt;
    }
    journal.entries.push_back({*std::move(name), *staged, *old});
  }
  return std::nullopt;
}

// Of what the path itself names; device 0 where nothing does.
bool Move(const fs::path& from, const fs::path& to) {
  return ::rename(from.c_str(), to.c_str()) == 0;
}

// The old file or folder: in old/, or, where two folders changed places, in new/.
fs::path OldOf(const fs::path& staging, const JournalEntry& entry) {
  fs::path moved = staging / "old" / entry.name;
  if (Standing(moved) == entry.old) return moved;
  return staging / "new" / entry.name;
}

bool PutBack(const fs::path& parent, const fs::path& staging, const JournalEntry& entry) {
  const fs::path target = parent / entry.name;
  const FileIdentity standing = Standing(target);
  const bool ours = standing.device != 0 && standing == entry.staged;
  if (standing.device != 0 && !ours) return true;  // the old one, or somebody's own since
  const fs::path old = OldOf(staging, entry);
  const bool has_old = entry.old.device != 0 && Standing(old) == entry.old;
  if (has_old && Move(old, target)) return true;
  // There was none, or the two are folders.
  if (ours && !Move(target, staging / "taken back") && ::unlink(target.c_str()) != 0) return false;
  return !has_old || Move(old, target);
}

bool PutForward(const fs::path& parent, const fs::path& staging, const JournalEntry& entry) {
  if (entry.staged.device == 0) return true;
  const fs::path target = parent / entry.name, staged = staging / "new" / entry.name;
  if (Standing(staged) != entry.staged) return true;  // in place already
  const FileIdentity standing = Standing(target);
  if (standing.device != 0 && standing != entry.old) return true;  // somebody's own since
  return Move(staged, target);
}

}  // namespace

Status WriteJournal(const fs::path& staging, const Journal& journal) {
  const fs::path path = staging / kName;
  const std::string text = Encode(journal);
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) return Fail(SystemErrorOf(path, "cannot create", errno));
  int failed = 0;
  for (std::size_t at = 0; failed == 0 && at < text.size();) {
    const ssize_t put = ::write(file, text.data() + at, text.size() - at);
    if (put > 0) at += static_cast<std::size_t>(put);
    if (put <= 0 && !(put < 0 && errno == EINTR)) failed = put < 0 ? errno : ENOSPC;
  }
  if (failed == 0 && ::fsync(file) != 0) failed = errno;
  if (::close(file) != 0 && failed == 0) failed = errno;
  if (failed != 0) return Fail(SystemErrorOf(path, "cannot write", failed));
  return {};
}

bool SettleCommit(const fs::path& parent, const fs::path& staging) {
  std::ifstream file(staging / kName, std::ios::binary);
  if (!file) return Standing(staging / kName).device == 0;  // a journal that cannot be read stays
  const auto journal = Decode({std::istreambuf_iterator<char>(file), {}});
  if (!journal) return !file.bad();
  const bool forward =
      journal->head_staged.device != 0 && Standing(journal->head) == journal->head_staged;
  bool done = true;
  for (const JournalEntry& entry : journal->entries) {
    const bool settled =
        forward ? PutForward(parent, staging, entry) : PutBack(parent, staging, entry);
    done = done && settled;
  }
  return done;
}

}  // namespace ckpt::formats
