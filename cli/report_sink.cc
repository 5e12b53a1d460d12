#include "cli/report_sink.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <span>

#include "formats/container/atomic_output.h"

namespace ckpt::cli {
namespace {

class StdoutSink : public ReportSink {
 public:
  Status Write(std::string_view text) override {
    while (!text.empty()) {
      const ssize_t put = ::write(STDOUT_FILENO, text.data(), text.size());
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) {
        return Fail(ErrorCode::kIo, std::string("cannot write to stdout: ") + std::strerror(errno));
      }
      text.remove_prefix(static_cast<std::size_t>(put));
    }
    return {};
  }
  Status Finish() override { return {}; }
};

class FileSink : public ReportSink {
 public:
  static Result<std::unique_ptr<ReportSink>> Open(const std::string& path) {
    auto sink = std::make_unique<FileSink>();
    CKPT_ASSIGN_OR_RETURN(sink->file_, sink->output_.Create(path));
    return std::unique_ptr<ReportSink>(std::move(sink));
  }
  Status Write(std::string_view text) override {
    return file_->Append(std::as_bytes(std::span(text)));
  }
  Status Finish() override { return output_.Commit(); }

 private:
  formats::AtomicOutput output_{formats::AtomicOutput::Overwrite::kReplace};
  formats::OutputFile* file_ = nullptr;
};

}  // namespace

Result<std::unique_ptr<ReportSink>> OpenReport(const CommonOptions& options) {
  if (options.report_file.empty())
    return std::unique_ptr<ReportSink>(std::make_unique<StdoutSink>());
  return FileSink::Open(options.report_file);
}

Style StyleFor(const CommonOptions& options) {
  bool on = options.color == ColorMode::kAlways;
  if (options.color == ColorMode::kAuto) {
    const char* no_color = std::getenv("NO_COLOR");
    on = options.report_file.empty() && ::isatty(STDOUT_FILENO) == 1 &&
         (no_color == nullptr || *no_color == '\0');
  }
  if (!on) return {};
  return {"\033[31m", "\033[33m", "\033[32m", "\033[2m", "\033[1m", "\033[0m"};
}

}  // namespace ckpt::cli
