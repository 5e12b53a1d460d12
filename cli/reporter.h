// Prints what a command found in the form that the user chose, to where he wants it.
#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include "cli/options.h"
#include "cli/report/form.h"
#include "cli/report_sink.h"

namespace ckpt::cli {

class Reporter {
 public:
  Reporter(std::unique_ptr<Form> form, std::unique_ptr<ReportSink> sink)
      : form_(std::move(form)), sink_(std::move(sink)) {}

  // A piece of the report (see report.h), as soon as it is known.
  template <typename Piece>
  Status Add(const Piece& piece) {
    return Write(form_->Add(piece));
  }
  // The summary of a command that has one, then Finish().
  template <typename Summary>
  Status End(const Summary& summary) {
    CKPT_RETURN_IF_ERROR(Write(form_->End(summary)));
    return Finish();
  }
  Status Finish() { return sink_->Finish(); }
  // See ReportSink::Check.
  Status Check() const { return sink_->Check(); }

 private:
  Status Write(std::string_view text) { return text.empty() ? Status() : sink_->Write(text); }

  std::unique_ptr<Form> form_;
  std::unique_ptr<ReportSink> sink_;
};

// REQUIRES: options.form is a form of the command, which the parser has seen to.
Result<Reporter> OpenReporter(const CommonOptions& options);

}  // namespace ckpt::cli
