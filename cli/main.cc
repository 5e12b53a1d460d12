#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <exception>
#include <initializer_list>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "cli/command.h"
#include "formats/container/atomic_output.h"
#include "formats/remote/address.h"

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

// Without an allocation, as there may be no memory left.
void Say(std::initializer_list<const char*> words) noexcept {
  for (const char* word : words) {
    if (::write(STDERR_FILENO, word, std::strlen(word)) < 0) return;
  }
}

// One line for an exception that nobody below took.
ckpt::cli::ExitCode SayWhy(const std::exception_ptr& thrown) noexcept {
  using ckpt::cli::ExitCode;
  try {
    if (thrown) std::rethrow_exception(thrown);
    Say({"ckpt: internal error: the program ended itself; please report it\n"});
  } catch (const std::bad_alloc&) {
    Say({"ckpt: out of memory\n"});
    return ExitCode::kIo;
  } catch (const std::system_error& error) {
    Say({"ckpt: the system refuses: ", error.what(), "\n"});
    return ExitCode::kIo;
  } catch (const std::exception& error) {
    Say({"ckpt: internal error: ", error.what(), "; please report it\n"});
  } catch (...) {
    Say({"ckpt: internal error: an unknown exception; please report it\n"});
  }
  return ExitCode::kInternal;
}

// Where no exception may pass: out of a destructor, or with no memory left to throw it.
[[noreturn]] void EndOnException() noexcept {
  const auto code = SayWhy(std::current_exception());
  ckpt::formats::RemovePartialOutputs();
  ::_exit(static_cast<int>(code));
}

// Before the constants of the program are made, for which there may be no memory either.
[[gnu::constructor(101)]] void InstallEnd() { std::set_terminate(EndOnException); }

// Values of a network come and go by the hundred, a few MB each. glibc gives each back to the
// system, which has to fill it with zeros anew: a third of the time of a run.
void KeepFreedMemory() {
#if defined(__GLIBC__)
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 128 << 20);
#endif
}

// Of the arguments as other processes see them: user names, passwords and queries of URLs.
void HideSecrets(int argc, char** argv) {
  for (int i = 0; i < argc; ++i) {
    const std::string_view word = argv[i];
    const auto url = ckpt::formats::FindRemoteName(word);
    if (!url) continue;
    const std::size_t host = word.find("://", *url) + 3;
    const std::size_t query = std::min(word.find('?', host), word.size());
    const std::size_t at = word.substr(0, std::min(word.find('/', host), query)).rfind('@');
    if (at != std::string_view::npos && at > host) std::fill(argv[i] + host, argv[i] + at, 'x');
    std::fill(argv[i] + query, argv[i] + word.size(), 'x');
  }
}

}  // namespace

int main(int argc, char** argv) {
  InstallSignalHandlers();
  KeepFreedMemory();
  try {
    const std::vector<std::string> words(argv, argv + argc);
    std::vector<const char*> arguments;
    for (const std::string& word : words) arguments.push_back(word.c_str());
    HideSecrets(argc, argv);
    return ckpt::cli::RunCommandLine(argc, arguments.data());
  } catch (...) {
    const auto code = SayWhy(std::current_exception());
    ckpt::formats::RemovePartialOutputs();
    return static_cast<int>(code);
  }
}
