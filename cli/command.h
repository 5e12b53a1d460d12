// A subcommand. Setup() declares its options; Run() does the work after they were parsed.
// Setup opens no file, so that arguments can be tested without data.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/exit_code.h"
#include "cli/options.h"

namespace ckpt::cli {

class Command {
 public:
  virtual ~Command() = default;
  virtual void Setup(Arguments& app) = 0;
  virtual ExitCode Run() = 0;
  // What to say behind "OUTPUT is required"; or empty.
  virtual std::string HintOnMissing() const { return {}; }
};

// Prints one line "ckpt: ..." to stderr and returns the exit code that belongs to the error.
ExitCode Complain(const Error& error);

std::unique_ptr<Command> MakeInspect();
std::unique_ptr<Command> MakeAudit();
std::unique_ptr<Command> MakeConvert();
std::unique_ptr<Command> MakeDiff();
std::unique_ptr<Command> MakeVerify();
std::unique_ptr<Command> MakeCalibrate();
std::unique_ptr<Command> MakeTrend();
std::unique_ptr<Command> MakeExplain();

// The command line of the program, declared, with the commands that it fills: one for each of
// parser.commands().
struct Program {
  ArgumentParser parser;
  std::vector<std::unique_ptr<Command>> commands = {};
};
std::unique_ptr<Program> DeclareProgram();

// Parses the arguments, runs the command, returns the exit code of the process. Throws nothing of
// its own.
int RunCommandLine(int argc, const char* const* argv);

}  // namespace ckpt::cli
