#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <new>

#include "cli/command.h"
#include "formats/container/atomic_output.h"

namespace {

// Only calls that are safe in a signal handler.
extern "C" void CleanUpAndExit(int signal_number) {
  ckpt::formats::RemovePartialOutputs();
  ::_exit(128 + signal_number);
}

void InstallSignalHandlers() {
  struct sigaction stop {};
  stop.sa_handler = CleanUpAndExit;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(number, &stop, nullptr);
  // A closed pipe and a file-size limit become errors of the write that met them.
  for (const int number : {SIGPIPE, SIGXFSZ}) std::signal(number, SIG_IGN);
}

}  // namespace

int main(int argc, char** argv) {
  InstallSignalHandlers();
  try {
    return ckpt::cli::RunCommandLine(argc, argv);
  } catch (const std::bad_alloc&) {
    std::cerr << "ckpt: out of memory\n";
    return static_cast<int>(ckpt::cli::ExitCode::kIo);
  } catch (const std::exception& error) {
    std::cerr << "ckpt: internal error: " << error.what() << "; please report it\n";
    return static_cast<int>(ckpt::cli::ExitCode::kInternal);
  }
}
