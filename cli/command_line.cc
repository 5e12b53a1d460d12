#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <iostream>
#include <new>

#include "cli/command.h"
#include "cli/report/error_text.h"
#include "cli/report/wrapped_text.h"
#include "cli/terminal_width.h"
#include "cli/usage.h"
#include "formats/remote/address.h"
#include "formats/remote/remote_files.h"

namespace ckpt::cli {
namespace {

struct Row {
  const char* name;
  const char* summary;
  const char* examples;  // one a line
  std::unique_ptr<Command> (*make)();
};

// The commands, in the order of --help.
constexpr std::array<Row, 9> kCommands = {{
    {"inspect", "List tensors, roles, batch-norm layers and metadata",
     "  ckpt inspect model.h5\n  ckpt inspect --format json logs/model.ckpt-1000", MakeInspect},
    {"audit", "Judge readiness for serving; exit 1 on findings",
     "  ckpt audit logs/                      # the latest checkpoint of a training run\n"
     "  ckpt audit --fail-on error *.safetensors\n  ckpt audit --since model.ckpt-900 "
     "model.ckpt-1000",
     MakeAudit},
    {"convert", "Write a serving-ready file",
     "  ckpt convert --bn fold model.h5 serving.h5\n"
     "  ckpt convert logs/model.ckpt-1000 serving.safetensors\n"
     "  ckpt convert --bn fold --pair-by-order --dry-run model.ckpt-1000 serving.npz",
     MakeConvert},
    {"diff", "Compare two checkpoints; exit 1 when they differ",
     "  ckpt diff model.h5 serving.h5\n  ckpt diff --rtol 1e-5 model.ckpt-900 "
     "model.safetensors",
     MakeDiff},
    {"verify", "Run two files: do they compute the same function? exit 1 when they do not",
     "  ckpt verify model.h5 serving.h5\n  ckpt verify model.keras model.onnx\n"
     "  ckpt verify --input images.npz --format json model.h5 serving.h5",
     MakeVerify},
    {"calibrate", "Compute missing or stale statistics again from data, and write them",
     "  ckpt calibrate stale.h5 model.h5 --data images.npz\n"
     "  ckpt calibrate --all --variance biased model.onnx better.onnx --data a.npy b.npy",
     MakeCalibrate},
    {"trend", "Follow the batch norms of a run over its checkpoints; exit 1 on findings",
     "  ckpt trend logs/                      # all that the state file lists\n"
     "  ckpt trend epoch_*.pt\n  ckpt trend --format json runs/ -r",
     MakeTrend},
    {"explain", "What a rule means, why it matters, how to fix it",
     "  ckpt explain          # the list of rules\n  ckpt explain BN001", MakeExplain},
    {"git-diff", "Compare two checkpoints for git, as its external diff driver",
     "  git config diff.ckpt.command 'ckpt git-diff --'\n"
     "  echo '*.pt diff=ckpt' >> .gitattributes",
     MakeGitDiff},
}};

constexpr const char* kExamples =
    "  ckpt audit model.ckpt-1000\n  ckpt convert --bn fold model.h5 serving.h5";

// "Exit codes: 0 done and clean, 1 ...", in lines of about a hundred characters.
std::string ExitCodesInLines() {
  std::string text = "Exit codes:";
  std::size_t column = text.size();
  for (std::size_t code = 0; code < kExitMeanings.size(); ++code) {
    const bool is_last = code + 1 == kExitMeanings.size();
    const std::string item =
        std::to_string(code) + " " + kExitMeanings[code] + (is_last ? "." : ",");
    const bool breaks = column + 1 + item.size() > 106;
    text += (breaks ? "\n" : " ") + item;
    column = breaks ? item.size() : column + 1 + item.size();
  }
  return text;
}

// URLs are replaced by what stands for them: nothing below sees a user name, a password, a query.
Result<std::vector<std::string>> WithNamesOfUrls(std::vector<std::string> words) {
  for (std::string& word : words) {
    const auto begin = formats::FindRemoteName(word);
    if (!begin) continue;
    CKPT_ASSIGN_OR_RETURN(const std::string name,
                          formats::RemoteFiles::Instance().Name(word.substr(*begin)));
    word.replace(*begin, std::string::npos, name);
  }
  return words;
}

int Refuse(const std::string& why) {
  std::cerr << "ckpt: " << why << "\nRun with --help for more information.\n";
  return static_cast<int>(ExitCode::kUsage);
}

}  // namespace

ExitCode Complain(const Error& error) {
  // Whoever closed the pipe, or sent the signal, knows.
  if (error.code == ErrorCode::kInterrupted) return ExitCodeFor(error.code);
  std::cerr << Wrapped("ckpt: " + Describe(error), TerminalWidth(STDERR_FILENO)) << '\n';
  return ExitCodeFor(error.code);
}

std::unique_ptr<Program> DeclareProgram() {
  std::unique_ptr<Program> program(
      new Program{ArgumentParser("ckpt", "ckpt: audits, converts and compares trained checkpoints.",
                                 "ckpt " CKPT_VERSION, ExitCodesInLines() + "\n\n", kExamples)});
  for (const Row& row : kCommands) {
    program->commands.push_back(row.make());
    program->commands.back()->Setup(
        program->parser.AddCommand(row.name, row.summary, row.examples));
  }
  return program;
}

int RunCommandLine(int argc, const char* const* argv) {
  const std::unique_ptr<Program> program = DeclareProgram();
  auto words = WithNamesOfUrls(std::vector<std::string>(argv + std::min(argc, 1), argv + argc));
  if (!words) return static_cast<int>(Complain(words.error()));
  const ArgumentParser::Parsed parsed = program->parser.Parse(WithHelpAsOption(*std::move(words)));
  Command* command = nullptr;
  for (std::size_t i = 0; i < program->commands.size(); ++i) {
    if (&program->parser.commands()[i] == parsed.command) command = program->commands[i].get();
  }
  if (!parsed.wrong.empty()) {
    const bool has_hint = parsed.lacks_argument && command != nullptr;
    return Refuse(parsed.wrong + (has_hint ? command->HintOnMissing() : ""));
  }
  if (command != nullptr) return static_cast<int>(command->Run());
  std::cout << parsed.printed << std::flush;
  return static_cast<int>(std::cout ? ExitCode::kClean : ExitCode::kIo);
}

}  // namespace ckpt::cli
