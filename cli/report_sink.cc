#include "cli/report_sink.h"

#include <unistd.h>

#include <cstdlib>
#include <span>
#include <utility>

#include "formats/container/atomic_output.h"
#include "formats/container/special_file.h"

namespace ckpt::cli {
namespace {

class SpecialSink : public ReportSink {
 public:
  explicit SpecialSink(formats::SpecialFile file) : file_(std::move(file)) {}
  Status Write(std::string_view text) override {
    return file_.Write(std::as_bytes(std::span(text)));
  }
  Status Finish() override { return {}; }

 private:
  formats::SpecialFile file_;
};

class FileSink : public ReportSink {
 public:
  explicit FileSink(const CommonOptions& options)
      : path_(options.report_file), read_(options.read) {}
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

}  // namespace

Result<std::unique_ptr<ReportSink>> OpenReport(const CommonOptions& options) {
  if (options.report_file.empty() || formats::IsSpecialFile(options.report_file)) {
    const std::string path = options.report_file.empty() ? "/dev/stdout" : options.report_file;
    CKPT_ASSIGN_OR_RETURN(auto file, formats::SpecialFile::Open(path));
    return std::unique_ptr<ReportSink>(std::make_unique<SpecialSink>(std::move(file)));
  }
  auto sink = std::make_unique<FileSink>(options);
  CKPT_RETURN_IF_ERROR(sink->Open());
  return std::unique_ptr<ReportSink>(std::move(sink));
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
