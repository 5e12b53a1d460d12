// write_pages FOLDER: writes the man pages and the completions; runs when ckpt is built.
// write_pages --check: does completed.cc know what completes each option?
#include <fstream>
#include <iostream>

#include "cli/command.h"
#include "cli/pages/completed.h"
#include "cli/pages/completions.h"
#include "cli/pages/man_page.h"

namespace {

using ckpt::cli::ArgumentParser;

bool Write(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text << std::flush;
  if (!file) std::cerr << "write_pages: cannot write " << path << '\n';
  return static_cast<bool>(file);
}

// A new name of a value belongs into the vocabulary of completed.cc.
bool KnowsAllValues(const ArgumentParser& parser) {
  bool all = true;
  for (const auto& command : parser.commands()) {
    for (const auto& option : command.options()) {
      if (option.value().empty() || ckpt::cli::CompletedBy(option)) continue;
      std::cerr << "write_pages: " << command.name() << " " << option.names().back()
                << ": what completes " << option.value() << " is not in cli/pages/completed.cc\n";
      all = false;
    }
  }
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "write_pages FOLDER, or --check\n";
    return 2;
  }
  const auto program = ckpt::cli::DeclareProgram();
  const ArgumentParser& parser = program->parser;
  if (argv[1] == std::string("--check")) return KnowsAllValues(parser) ? 0 : 1;
  const std::string folder = std::string(argv[1]) + "/";
  bool written = Write(folder + "ckpt.1", ManPageOfProgram(parser, "ckpt " CKPT_VERSION));
  for (const auto& command : parser.commands()) {
    const std::string path = folder + "ckpt-" + command.name() + ".1";
    written = Write(path, ManPageOfCommand(command, parser, "ckpt " CKPT_VERSION)) && written;
  }
  written = Write(folder + "ckpt.bash", BashCompletion(parser)) && written;
  written = Write(folder + "_ckpt", ZshCompletion(parser)) && written;
  written = Write(folder + "ckpt.fish", FishCompletion(parser)) && written;
  return written ? 0 : 1;
}
