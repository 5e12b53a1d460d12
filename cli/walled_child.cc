#include "cli/walled_child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <thread>
#include <utility>

#include "cli/child_walls.h"
#include "formats/container/forked_child.h"

namespace ckpt::cli {
namespace {

constexpr int kReportDescriptor = 3;  // the first behind stderr
// What a child writes there before it is the other program.
constexpr char kNoFilter = 'f', kNoLandlock = 'l', kNotStarted = 'e';

Error SystemError(const std::string& what, int number) {
  return Error{ErrorCode::kIo, what + ": " + std::generic_category().message(number)};
}

// All that the child needs, made before the fork: behind it nothing may be allocated.
struct Prepared {
  std::vector<char*> arguments, environment;
  const WalledProgram* program = nullptr;
  std::vector<std::string> texts = {};  // of the environment
  int folder = -1, output = -1, null = -1, report = -1;
};

std::uint64_t ProcessorSeconds(const WalledProgram& program) noexcept {
  return static_cast<std::uint64_t>(program.wall_clock.count()) / 1000 + 1;
}

void Say(char what, int number = 0) noexcept {
  const std::array<char, 2> text = {what, static_cast<char>(number)};
  [[maybe_unused]] const ssize_t put = ::write(kReportDescriptor, text.data(), text.size());
}

[[noreturn]] void BecomeProgram(const Prepared& prepared) noexcept {
  const WalledProgram& program = *prepared.program;
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  formats::DefaultSignals();
  ::umask(077);
  const bool at_work = ::fchdir(prepared.folder) == 0;
  // The descriptors that are moved are above all that they are moved to.
  ::dup2(prepared.null, STDIN_FILENO);
  ::dup2(prepared.output, STDOUT_FILENO);
  ::dup2(prepared.output, STDERR_FILENO);
  ::dup2(prepared.report, kReportDescriptor);
  ::fcntl(kReportDescriptor, F_SETFD, FD_CLOEXEC);
  formats::LowerLimit(RLIMIT_CORE, 0);
  formats::LowerLimit(RLIMIT_DATA, program.memory_bytes);
  formats::LowerLimit(RLIMIT_FSIZE, program.file_bytes);
  formats::LowerLimit(RLIMIT_CPU, ProcessorSeconds(program));
  if (!WriteOnlyBelow(prepared.folder)) Say(kNoLandlock);
  formats::CloseDescriptors(kReportDescriptor + 1, ~0U);
  if (!RefuseNetwork()) Say(kNoFilter);
  if (at_work) {
    ::execve(prepared.arguments[0], prepared.arguments.data(), prepared.environment.data());
  }
  Say(kNotStarted, errno);
  ::_exit(127);
}

std::vector<std::string> EnvironmentOf(const std::filesystem::path& folder) {
  const char* const path = std::getenv("PATH");
  return {"PATH=" + std::string(path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin"),
          "HOME=" + folder.string(),
          "TMPDIR=" + folder.string(),
          "KERAS_HOME=" + folder.string(),
          "LANG=C.UTF-8",
          "TF_CPP_MIN_LOG_LEVEL=3",
          "CUDA_VISIBLE_DEVICES="};
}

// Descriptors of this process that go at the end of a scope; each above the standard ones and the
// report's.
class Descriptors {
 public:
  ~Descriptors() {
    for (const int descriptor : all_) ::close(descriptor);
  }
  Result<int> Keep(int descriptor, const std::string& what) {
    if (descriptor < 0) return Fail(SystemError(what, errno));
    const int above = ::fcntl(descriptor, F_DUPFD_CLOEXEC, kReportDescriptor + 1);
    const int number = errno;
    ::close(descriptor);
    if (above < 0) return Fail(SystemError(what, number));
    all_.push_back(above);
    return above;
  }
  void Close(int descriptor) {
    ::close(descriptor);
    std::erase(all_, descriptor);
  }

 private:
  std::vector<int> all_;
};

// Polls, as a child's end and a clock are waited for together. True where it ended by itself; it
// stays to be reaped, so that its number is nobody else's meanwhile.
bool EndsWithin(pid_t child, std::chrono::milliseconds most) {
  const auto end = std::chrono::steady_clock::now() + most;
  while (true) {
    siginfo_t info{};
    const int got = ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT);
    if ((got == 0 && info.si_pid == child) || (got < 0 && errno != EINTR)) return true;
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

// What the child said before it became the program.
Result<std::string> MissingWalls(int report, const std::string& command) {
  std::string missing;
  std::array<char, 2> text{};
  while (true) {
    const ssize_t got = ::read(report, text.data(), text.size());
    if (got < 0 && errno == EINTR) continue;
    if (got != static_cast<ssize_t>(text.size())) return missing;
    if (text[0] == kNotStarted) return Fail(SystemError("cannot start " + command, text[1]));
    missing += missing.empty() ? "" : ", ";
    missing += text[0] == kNoFilter ? "no filter of system calls (seccomp): it has the network"
                                    : "no Landlock: it writes where you may write";
  }
}

}  // namespace

Result<WalledResult> RunWalled(const WalledProgram& program) {
  Prepared prepared;
  prepared.program = &program;
  prepared.texts = EnvironmentOf(program.folder);
  const auto point = [](const std::string& text) { return const_cast<char*>(text.c_str()); };
  for (const std::string& text : program.command) prepared.arguments.push_back(point(text));
  for (const std::string& text : prepared.texts) prepared.environment.push_back(point(text));
  prepared.arguments.push_back(nullptr);
  prepared.environment.push_back(nullptr);
  Descriptors kept;
  CKPT_ASSIGN_OR_RETURN(
      prepared.folder, kept.Keep(::open(program.folder.c_str(), O_DIRECTORY | O_RDONLY | O_CLOEXEC),
                                 program.folder.string()));
  CKPT_ASSIGN_OR_RETURN(prepared.null,
                        kept.Keep(::open("/dev/null", O_RDONLY | O_CLOEXEC), "/dev/null"));
  CKPT_ASSIGN_OR_RETURN(
      prepared.output,
      kept.Keep(::open(program.output.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600),
                program.output.string()));
  std::array<int, 2> ends = {-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return Fail(SystemError("pipe", errno));
  CKPT_ASSIGN_OR_RETURN(const int report, kept.Keep(ends[0], "pipe"));
  CKPT_ASSIGN_OR_RETURN(prepared.report, kept.Keep(ends[1], "pipe"));
  const pid_t child = ::fork();
  if (child < 0) return Fail(SystemError("fork", errno));
  if (child == 0) BecomeProgram(prepared);
  ::setpgid(child, child);  // whoever comes first
  kept.Close(prepared.report);
  auto missing = MissingWalls(report, program.command[0]);
  WalledResult result;
  result.out_of_time = !EndsWithin(child, program.wall_clock);
  ::kill(-child, SIGKILL);
  while (::waitpid(child, &result.status, 0) < 0 && errno == EINTR) {
  }
  if (!missing) return Fail(std::move(missing).error());
  result.missing_walls = *std::move(missing);
  return result;
}

}  // namespace ckpt::cli
