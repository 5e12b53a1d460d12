// Prints what a command found in the forms that the user chose, to where he wants them.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/options.h"
#include "cli/report/form.h"
#include "cli/report_sink.h"

namespace ckpt::cli {

class Reporter {
 public:
  struct Channel {
    std::unique_ptr<Form> form;
    std::unique_ptr<ReportSink> sink;
  };
  explicit Reporter(std::vector<Channel> channels) : channels_(std::move(channels)) {}

  void AddChannel(Channel channel) { channels_.push_back(std::move(channel)); }

  // A piece of the report (see report.h), as soon as it is known. What fails in one report keeps
  // no other from being written.
  template <typename Piece>
  Status Add(const Piece& piece) {
    return OnEach([&](Channel& channel) { return Write(channel, channel.form->Add(piece)); });
  }
  Status Add(const InspectedInput& inspected) {
    return OnEach([&](Channel& channel) {
      return channel.form->AddInTexts(inspected,
                                      [&](std::string_view text) { return Write(channel, text); });
    });
  }
  // The summary of a command that has one, then Finish().
  template <typename Summary>
  Status End(const Summary& summary) {
    return OnEach([&](Channel& channel) -> Status {
      CKPT_RETURN_IF_ERROR(Write(channel, channel.form->End(summary)));
      return channel.sink->Finish();
    });
  }
  Status Finish() {
    return OnEach([](Channel& channel) { return channel.sink->Finish(); });
  }
  // See ReportSink::Check.
  Status Check() const {
    for (const Channel& channel : channels_) CKPT_RETURN_IF_ERROR(channel.sink->Check());
    return {};
  }

 private:
  static Status Write(Channel& channel, std::string_view text) {
    return text.empty() ? Status() : channel.sink->Write(text);
  }
  template <typename Work>
  Status OnEach(const Work& work) {
    Status first;
    for (Channel& channel : channels_) {
      Status status = work(channel);
      if (first && !status) first = std::move(status);
    }
    return first;
  }

  std::vector<Channel> channels_;
};

// One report in the form of --format on stdout, and those of --report. Where --report takes what
// would stand on stdout, a short text stands there, so that a failed gate is not silent.
// REQUIRES: CheckCommonOptions was content. `fails_on`: see FormOptions.
Result<Reporter> OpenReporter(const CommonOptions& options,
                              std::optional<Severity> fails_on = Severity::kWarning);

}  // namespace ckpt::cli
