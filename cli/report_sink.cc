#include "cli/report_sink.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <span>
#include <utility>

#include "formats/container/atomic_output.h"
#include "formats/container/special_file.h"

namespace ckpt::cli {
namespace {

// A pipe on stdout whose reader has gone: `ckpt ... | head`.
bool HasNoReader() {
  pollfd out{STDOUT_FILENO, POLLOUT, 0};
  return ::poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
}

class SpecialSink : public ReportSink {
 public:
  explicit SpecialSink(formats::SpecialFile file) : file_(std::move(file)) {}
  Status Write(std::string_view text) override {
    Status written = file_.Write(std::as_bytes(std::span(text)));
    if (written || !HasNoReader()) return written;
    return Fail(ErrorCode::kInterrupted, "nobody reads stdout any more");
  }
  Status Finish() override { return {}; }

 private:
  formats::SpecialFile file_;
};

class FileSink : public ReportSink {
 public:
  FileSink(const CommonOptions& options, std::string path)
      : path_(std::move(path)), read_(options.read) {}
  Status Open() {
    CKPT_ASSIGN_OR_RETURN(file_, output_.Create(path_));
    return {};
  }
  Status Write(std::string_view text) override {
    return file_->Append(std::as_bytes(std::span(text)));
  }
  Status Check() const override {
    formats::ProtectedFiles read;
    read_->AddTo(read);
    return read.Check(path_);
  }
  Status Finish() override {
    CKPT_RETURN_IF_ERROR(Check());
    return output_.Commit();
  }

 private:
  std::string path_;
  std::shared_ptr<const formats::FilesRead> read_;
  formats::AtomicOutput output_{formats::AtomicOutput::Overwrite::kReplace};
  formats::OutputFile* file_ = nullptr;
};

bool TerminalTakesColour() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  const bool refused = (no_color != nullptr && *no_color != '\0') ||
                       (terminal != nullptr && std::string_view(terminal) == "dumb");
  return !refused && ::isatty(STDOUT_FILENO) == 1;
}

}  // namespace

Result<std::unique_ptr<ReportSink>> OpenReport(const CommonOptions& options,
                                               const std::string& path) {
  if (formats::IsSpecialFile(path)) {
    CKPT_ASSIGN_OR_RETURN(auto file, formats::SpecialFile::Open(path));
    return std::unique_ptr<ReportSink>(std::make_unique<SpecialSink>(std::move(file)));
  }
  auto sink = std::make_unique<FileSink>(options, path);
  CKPT_RETURN_IF_ERROR(sink->Open());
  return std::unique_ptr<ReportSink>(std::move(sink));
}

Result<std::unique_ptr<ReportSink>> OpenStdout() {
  CKPT_ASSIGN_OR_RETURN(auto file, formats::SpecialFile::OfDescriptor(STDOUT_FILENO, "stdout"));
  return std::unique_ptr<ReportSink>(std::make_unique<SpecialSink>(std::move(file)));
}

bool IsStdout(const std::string& path) {
  if (path == "/dev/stdout") return true;  // whether or not /proc is there to lead on from it
  struct stat named {
  }, standard{};
  return formats::IsSpecialFile(path) && ::stat(path.c_str(), &named) == 0 &&
         ::fstat(STDOUT_FILENO, &standard) == 0 && named.st_dev == standard.st_dev &&
         named.st_ino == standard.st_ino;
}

Style StyleFor(const CommonOptions& options, bool to_stdout) {
  bool on = options.color == ColorMode::kAlways;
  if (options.color == ColorMode::kAuto) on = to_stdout && TerminalTakesColour();
  if (!on) return {};
  return {"\033[31m", "\033[33m", "\033[32m", "\033[2m", "\033[1m", "\033[0m"};
}

}  // namespace ckpt::cli
