#include "cli/resume/audit_journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <unordered_map>
#include <utility>

#include "cli/exit_code.h"
#include "cli/input_pass.h"
#include "cli/report/json_values.h"
#include "cli/resume/journal_lines.h"
#include "formats/container/atomic_output.h"
#include "formats/container/file_stamp.h"
#include "formats/container/special_file.h"
#include "formats/container/system_error.h"
#include "formats/remote/address.h"

namespace ckpt::cli {
namespace {

constexpr unsigned kAskedAtOnce = 16;  // URLs
constexpr std::string_view kBegin = R"({"schema":"ckpt.audit/1","type":"record","path":)";

Error NotOurs(const std::string& path, std::uint64_t line) {
  return {ErrorCode::kInvalidArgument,
          "--resume: line " + std::to_string(line) +
              " of it is no record of an audit (--format records); it is not written to",
          path,
          {},
          {}};
}

// An open file that no other run goes on with meanwhile.
class LockedFile {
 public:
  explicit LockedFile(std::string path) : path_(std::move(path)) {}
  LockedFile(LockedFile&& other) noexcept
      : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}
  LockedFile& operator=(LockedFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~LockedFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  Error UnderWay() const { return Error{ErrorCode::kIo, "another run goes on with it"}.In(path_); }
  Status Open() {
    constexpr mode_t kMode = 0666;
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, kMode);
    if (descriptor_ < 0) return Failed("cannot open");
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return Failed("cannot lock");
      return Fail(UnderWay());
    }
    // Who held the lock may have put another file in its place.
    struct stat mine {
    }, named{};
    if (::fstat(descriptor_, &mine) != 0 || ::stat(path_.c_str(), &named) != 0 ||
        mine.st_dev != named.st_dev || mine.st_ino != named.st_ino) {
      return Fail(UnderWay());
    }
    return {};
  }
  Status Shorten(std::uint64_t bytes) const {
    return ::ftruncate(descriptor_, static_cast<off_t>(bytes)) == 0 ? Status()
                                                                    : Failed("cannot shorten");
  }
  Status Append(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t put = ::write(descriptor_, text.data(), text.size());
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) return Failed("cannot write");
      text.remove_prefix(static_cast<std::size_t>(put));
    }
    return {};
  }

  int descriptor() const noexcept { return descriptor_; }
  const std::string& path() const noexcept { return path_; }

 private:
  Status Failed(const char* what) const {
    return Fail(formats::SystemErrorOf(path_, what, errno != 0 ? errno : ENOSPC));
  }

  std::string path_;
  int descriptor_ = -1;
};

class AppendSink : public ReportSink {
 public:
  explicit AppendSink(LockedFile file) : file_(std::move(file)) {}
  Status Write(std::string_view text) override { return file_.Append(text); }
  Status Finish() override { return {}; }

 private:
  LockedFile file_;
};

std::string TextIn(const Json& record, const char* key) {
  const auto found = record.find(key);
  return found != record.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// The files that the record rests on, as they were; none where it does not say so of each.
std::vector<formats::FileStamp> FilesOf(const Json& record) {
  std::vector<formats::FileStamp> stamps;
  const auto files = record.find("files");
  if (files == record.end() || !files->is_array()) return {};
  for (const Json& file : *files) {
    if (!file.is_object()) return {};
    const auto size = file.find("size");
    if (size == file.end() || !size->is_number_unsigned()) return {};
    const std::string path = TextIn(file, "path");
    const char* changed = formats::IsRemoteName(path) ? "etag" : "mtime";
    stamps.push_back({path, size->get<std::uint64_t>(), TextIn(file, changed)});
  }
  return stamps;
}

bool IsUnchanged(const formats::FileStamp& file) { return formats::StampOf(file.path) == file; }

std::optional<ErrorCode> CodeNamed(std::string_view name) {
  for (const ErrorCode code :
       {ErrorCode::kCorrupt, ErrorCode::kUnsupported, ErrorCode::kUnsafe, ErrorCode::kUnfit}) {
    if (ErrorCodeName(code) == name) return code;
  }
  return std::nullopt;  // another try may end otherwise
}

// Of a record; nothing where it has to be made anew.
std::optional<AuditJournal::Entry> EntryOf(const Json& record) {
  AuditJournal::Entry entry;
  if (TextIn(record, "status") != "ok") {
    const auto error = record.find("error");
    if (error == record.end() || !error->is_object()) return std::nullopt;
    const auto code = CodeNamed(TextIn(*error, "code"));
    if (!code) return std::nullopt;
    entry.error = *code;
  }
  const auto findings = record.find("findings");
  if (findings == record.end() || !findings->is_array()) return std::nullopt;
  for (const Json& finding : *findings) {
    const std::string severity = finding.is_object() ? TextIn(finding, "severity") : "";
    if (severity == Name(Severity::kError)) entry.findings.Add(Severity::kError);
    if (severity == Name(Severity::kWarning)) entry.findings.Add(Severity::kWarning);
    if (severity == Name(Severity::kInfo)) entry.findings.Add(Severity::kInfo);
  }
  for (const InputState state :
       {InputState::kClean, InputState::kWarnings, InputState::kErrors, InputState::kUnreadable}) {
    if (Name(state) != TextIn(record, "state")) continue;
    entry.state = state;
    return entry;
  }
  return std::nullopt;
}

// Reads the file, and finds out which lines stay.
class Reading {
 public:
  Reading(const std::vector<std::string>& inputs, const std::string& options)
      : options_(options), entries_(inputs.size()), line_of_(inputs.size()) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const Json shown = JsonText(inputs[i]);
      // A name whose bytes were escaped might be another's: it is not looked up.
      if (shown == inputs[i]) places_.emplace(inputs[i], i);
    }
  }

  Status Take(std::string_view line, const std::string& path) {
    stays_.push_back(true);
    const Json record = line.starts_with(kBegin) ? Json::parse(line, nullptr, false) : Json();
    if (!record.is_object()) return Fail(NotOurs(path, stays_.size()));
    const auto place = places_.find(TextIn(record, "path"));
    if (place == places_.end()) return {};
    const std::size_t input = place->second;
    if (line_of_[input]) Drop(*line_of_[input]);
    line_of_[input] = stays_.size() - 1;
    entries_[input] = Holding(record, input);
    if (!entries_[input]) Drop(stays_.size() - 1);
    return {};
  }

  // After the last line: servers are asked side by side, as each takes its time.
  Status AskServers() {
    std::vector<char> holds(doubts_.size());
    const auto ask = [&](std::size_t i) {
      const std::vector<formats::FileStamp>& files = doubts_[i].files;
      holds[i] = std::all_of(files.begin(), files.end(), IsUnchanged) ? 1 : 0;
    };
    const auto settle = [&](std::size_t i) -> Status {
      const Doubt& doubt = doubts_[i];
      if (holds[i] != 0 || line_of_[doubt.input] != doubt.line) return {};
      entries_[doubt.input].reset();
      Drop(doubt.line);
      return {};
    };
    return ForEachInput(doubts_.size(), kAskedAtOnce, ask, settle);
  }

  bool Stays(std::size_t line) const { return stays_[line]; }
  bool all_stay() const noexcept { return dropped_ == 0; }
  std::vector<std::optional<AuditJournal::Entry>> TakeEntries() { return std::move(entries_); }

 private:
  // A record whose files are behind URLs, which are still to be asked for.
  struct Doubt {
    std::size_t line = 0, input = 0;
    std::vector<formats::FileStamp> files = {};
  };

  // Of the record on the last line.
  std::optional<AuditJournal::Entry> Holding(const Json& record, std::size_t input) {
    if (TextIn(record, "tool") != "ckpt " CKPT_VERSION || TextIn(record, "options") != options_)
      return std::nullopt;
    std::vector<formats::FileStamp> files = FilesOf(record);
    const auto urls = std::partition(files.begin(), files.end(), [](const auto& file) {
      return !formats::IsRemoteName(file.path);
    });
    if (files.empty() || !std::all_of(files.begin(), urls, IsUnchanged)) return std::nullopt;
    files.erase(files.begin(), urls);
    auto entry = EntryOf(record);
    if (entry && !files.empty()) doubts_.push_back({stays_.size() - 1, input, std::move(files)});
    return entry;
  }

  void Drop(std::size_t line) {
    if (!stays_[line]) return;
    stays_[line] = false;
    ++dropped_;
  }

  const std::string& options_;
  std::unordered_map<std::string, std::size_t> places_;  // of the inputs
  std::vector<std::optional<AuditJournal::Entry>> entries_;
  std::vector<std::optional<std::size_t>> line_of_;  // the last one of each input
  std::vector<bool> stays_;                          // by line
  std::size_t dropped_ = 0;
  std::vector<Doubt> doubts_;
};

// Puts a file with the lines that stay in the place of this one.
Status WriteAnew(LockedFile& file, const Reading& reading) {
  formats::AtomicOutput output(formats::AtomicOutput::Overwrite::kReplace);
  CKPT_ASSIGN_OR_RETURN(formats::OutputFile * fresh, output.Create(file.path()));
  std::size_t line = 0;
  const auto copy = [&](std::string_view text) -> Status {
    if (!reading.Stays(line++)) return {};
    return fresh->Append(std::as_bytes(std::span(text)));
  };
  auto read = ReadLines(file.descriptor(), file.path(), copy);
  if (!read) return Fail(std::move(read).error());
  CKPT_RETURN_IF_ERROR(output.Commit());
  LockedFile opened(file.path());
  CKPT_RETURN_IF_ERROR(opened.Open());
  file = std::move(opened);
  return {};
}

bool BeginsARecord(std::string_view torn) {
  const std::size_t length = std::min(torn.size(), kBegin.size());
  return torn.substr(0, length) == kBegin.substr(0, length);
}

}  // namespace

std::optional<Severity> AuditJournal::Entry::Gravest() const noexcept {
  if (findings.errors > 0) return Severity::kError;
  if (findings.warnings > 0) return Severity::kWarning;
  if (findings.infos > 0) return Severity::kInfo;
  return std::nullopt;
}

Result<AuditJournal> OpenAuditJournal(const std::string& path,
                                      const std::vector<std::string>& inputs,
                                      const std::string& options) {
  if (formats::IsSpecialFile(path)) {
    return Fail(Error{ErrorCode::kInvalidArgument,
                      "--resume: it is a device or a pipe, which keeps nothing",
                      path,
                      {},
                      {}});
  }
  LockedFile file(path);
  CKPT_RETURN_IF_ERROR(file.Open());
  Reading reading(inputs, options);
  CKPT_ASSIGN_OR_RETURN(const LinesRead lines,
                        ReadLines(file.descriptor(), path,
                                  [&](std::string_view line) { return reading.Take(line, path); }));
  CKPT_RETURN_IF_ERROR(reading.AskServers());
  // Behind whole records anything may stand that a crash of the machine left.
  if (lines.whole_bytes == 0 && !BeginsARecord(lines.torn)) return Fail(NotOurs(path, 1));
  if (!reading.all_stay()) {
    CKPT_RETURN_IF_ERROR(WriteAnew(file, reading));
  } else if (!lines.torn.empty()) {
    CKPT_RETURN_IF_ERROR(file.Shorten(lines.whole_bytes));
  }
  return AuditJournal{reading.TakeEntries(), std::make_unique<AppendSink>(std::move(file))};
}

}  // namespace ckpt::cli
