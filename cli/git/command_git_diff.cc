// ckpt git-diff: what git runs in place of its own comparison (gitattributes(5), "external diff
// driver").
#include <algorithm>
#include <filesystem>

#include "ckpt/diff.h"
#include "cli/command.h"
#include "cli/diff_options.h"
#include "cli/git/lone_files.h"
#include "cli/input_pass.h"
#include "cli/report/error_text.h"
#include "cli/report/text_pieces.h"
#include "cli/report/text_table.h"
#include "cli/report_sink.h"

namespace ckpt::cli {
namespace {

// One side of the comparison.
struct Side {
  std::string file;   // where git put it; /dev/null: there is none
  std::string shown;  // "a/model.pt"
  bool absent() const { return file == "/dev/null"; }
};

class GitDiff : public Command {
 public:
  void Setup(Arguments& app) override {
    app.add_option("ARGUMENTS", arguments_,
                   "As git gives them: PATH OLD-FILE OLD-HEX OLD-MODE NEW-FILE NEW-HEX NEW-MODE")
        ->required();
    AddDiffOptions(app, diff_);
    app.add_flag("--exit-code", exit_code_,
                 "Exit 1 where the two differ, for a driver with trustExitCode");
    AddColorOption(app, options_);
    options_.command = CommandId::kDiff;
  }

  ExitCode Run() override {
    const bool renamed = arguments_.size() == 9;
    if (arguments_.size() != 1 && arguments_.size() != 7 && !renamed)
      return Complain({ErrorCode::kInvalidArgument,
                       "git gives a driver 7 arguments, 9 for a renamed file, 1 for one that is "
                       "not merged"});
    auto out = OpenStdout();
    if (!out) return Complain(out.error());
    std::string text;
    bool differ = true;
    if (arguments_.size() == 1) {
      text = "* Unmerged path " + EscapeForDisplay(arguments_[0]) + "\n";
    } else {
      const Side a{arguments_[1], "a/" + arguments_[0]};
      const Side b{arguments_[4], "b/" + arguments_[renamed ? 7 : 0]};
      const Style style = StyleFor(options_, true);
      text = Painted("diff --ckpt " + EscapeForDisplay(a.shown) + " " + EscapeForDisplay(b.shown),
                     style.bold, style) +
             "\n" + TextOf(a, b, style, differ);
    }
    Status status = (*out)->Write(text);
    if (status) status = (*out)->Finish();
    if (!status) return Complain(status.error());
    return differ && exit_code_ ? ExitCode::kFindings : ExitCode::kClean;
  }

 private:
  Result<OpenedInput> Open(const Side& side) const {
    CommonOptions alone = options_;
    alone.read = std::make_shared<const LoneFiles>(std::set<std::filesystem::path>{side.file});
    return OpenInput(side.file, alone, AnalysisOptions{});
  }

  // "b/model.pt: torch, 62 tensors, 11 MB", or why it cannot be read. git would take an error for
  // the end of all.
  static std::string LineOf(const Side& side, const Result<OpenedInput>& opened) {
    std::string out = EscapeForDisplay(side.shown) + ": ";
    if (!opened) {
      Error error = opened.error();
      error.file.clear();  // a temporary one of git
      return out + "cannot be read: " + Describe(error) + "\n";
    }
    const auto& tensors = opened->checkpoint->manifest().tensors;
    std::uint64_t bytes = 0;
    for (const TensorInfo& tensor : tensors) bytes += tensor.byte_size;
    return out + std::string(opened->checkpoint->format()) + ", " +
           Plural(tensors.size(), "tensor") + ", " + FormatBytes(bytes) + "\n";
  }

  std::string TextOf(const Side& a, const Side& b, const Style& style, bool& differ) const {
    if (a.absent()) return "new " + LineOf(b, Open(b));
    if (b.absent()) return "deleted " + LineOf(a, Open(a));
    const Result<OpenedInput> old = Open(a), now = Open(b);
    if (!old || !now) return LineOf(a, old) + LineOf(b, now);
    Result<CheckpointDiff> diff =
        Diff(*old->checkpoint, old->analysis, *now->checkpoint, now->analysis, diff_);
    if (!diff) {
      Error error = diff.error();
      error.file.clear();
      return "cannot be compared: " + Describe(error) + "\n";
    }
    differ = !diff->within_tolerance;
    Comparison comparison{a.shown, b.shown};
    comparison.diff = *std::move(diff);
    return ToText(comparison, FormOptions{style});
  }

  CommonOptions options_;
  DiffOptions diff_;
  std::vector<std::string> arguments_;
  bool exit_code_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeGitDiff() { return std::make_unique<GitDiff>(); }

}  // namespace ckpt::cli
