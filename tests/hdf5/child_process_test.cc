// A child that dies, hangs or wants too much is one error and nothing else.
#include "formats/hdf5/child_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <new>
#include <thread>

#include "tests/hdf5/hdf5_support.h"

namespace ckpt::formats::child_process_test {
namespace {

using ::ckpt::testing::OpenHdf5;
using ::ckpt::testing::Testdata;
using ::testing::HasSubstr;

using Bytes = std::vector<std::byte>;
constexpr ChildLimits kLimits{std::uint64_t{256} << 20, 20};
const Bytes kRequest(3, std::byte{7});

std::unique_ptr<ChildProcess> Start(const ChildHandler& handler, ChildLimits limits = kLimits) {
  auto child = ChildProcess::Start("the library", -1, limits, handler);
  EXPECT_TRUE(child) << ToString(child.error());
  return child ? *std::move(child) : nullptr;
}

Result<Bytes> Ask(ChildProcess& child, std::uint64_t max_bytes = 1000) {
  return child.Ask(kRequest, max_bytes, {}, "reading \"/a\"");
}

Bytes Echo(std::span<const std::byte> request, std::span<std::byte>) {
  return {request.begin(), request.end()};
}

Bytes Hang(std::span<const std::byte>, std::span<std::byte>) {
  volatile bool forever = true;
  while (forever) {
  }
  return {};
}

TEST(ChildProcess, AnswersAndSharesMemory) {
  const auto child = Start([calls = 0](auto request, auto shared) mutable {
    shared[0] = std::byte(++calls);
    shared[ChildProcess::kSharedBytes - 1] = std::byte{9};
    return Echo(request, shared);
  });
  Bytes shared(ChildProcess::kSharedBytes);
  for (int call = 1; call <= 3; ++call) {
    const auto answer = child->Ask(kRequest, 1000, shared, "asking");
    ASSERT_TRUE(answer) << ToString(answer.error());
    EXPECT_EQ(*answer, kRequest);
    EXPECT_EQ(shared.front(), std::byte(call));
    EXPECT_EQ(shared.back(), std::byte{9});
  }
}

TEST(ChildProcess, ADeathIsOneErrorThatNamesTheSignalAndTheWork) {
  for (const int number : {SIGSEGV, SIGABRT, SIGFPE, SIGBUS}) {
    const auto child = Start([number](auto, auto) -> Bytes {
      ::raise(number);
      return {};
    });
    const auto answer = Ask(*child);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(answer.error().message,
              "the library died (signal " + std::to_string(number) + ") while reading \"/a\"");
    // The same again, at once.
    EXPECT_EQ(Ask(*child).error().message, answer.error().message);
  }
}

TEST(ChildProcess, AnExitIsADeathToo) {
  CKPT_NOT_UNDER_ADDRESS_SANITIZER();
  const auto child = Start([](auto, auto) -> Bytes { ::_exit(3); });
  const auto answer = Ask(*child);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(answer.error().message, HasSubstr("exit status 3"));
}

// As the library is C, an exception may also meet a function that lets none pass.
TEST(ChildProcess, NoMemoryIsTheLimitEvenWhereNoExceptionMayPass) {
  CKPT_NOT_UNDER_ADDRESS_SANITIZER();
  const auto pass_none = []() noexcept {
    std::rethrow_exception(std::make_exception_ptr(std::bad_alloc()));
  };
  const auto child = Start([&](auto, auto) -> Bytes {
    pass_none();
    return {};
  });
  EXPECT_EQ(Ask(*child).error().code, ErrorCode::kLimitExceeded);
}

TEST(ChildProcess, AnExceptionOfTheLibraryIsADeath) {
  const auto child = Start([](auto, auto) -> Bytes { throw 1; });
  EXPECT_EQ(Ask(*child).error().code, ErrorCode::kCorrupt);
}

TEST(ChildProcess, AHangEndsAtTheLimitOfTime) {
  const auto child = Start(Hang, {kLimits.memory_bytes, 1});
  const auto start = std::chrono::steady_clock::now();
  const auto answer = Ask(*child);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kLimitExceeded);
  EXPECT_THAT(answer.error().message, HasSubstr("hdf5_seconds"));
  EXPECT_THAT(answer.error().message, HasSubstr("reading \"/a\""));
  EXPECT_GE(took.count(), 0.9);
  EXPECT_LT(took.count(), 10);
}

TEST(ChildProcess, MemoryEndsAtItsLimit) {
  CKPT_NOT_UNDER_ADDRESS_SANITIZER();
  const auto child = Start([](auto, auto) -> Bytes {
    std::vector<Bytes> hoard;
    for (;;) hoard.emplace_back(std::size_t{8} << 20, std::byte{1});
  });
  const auto answer = Ask(*child);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kLimitExceeded);
  EXPECT_THAT(answer.error().message, HasSubstr("hdf5_memory_bytes"));
}

TEST(ChildProcess, MemoryBelowTheLimitIsThere) {
  const auto child = Start(
      [](auto, auto) -> Bytes { return {Bytes(kLimits.memory_bytes / 2, std::byte{1}).back()}; });
  const auto answer = Ask(*child);
  ASSERT_TRUE(answer) << ToString(answer.error());
  EXPECT_EQ(answer->size(), 1U);
}

TEST(ChildProcess, RecursionWithoutEndIsADeath) {
  struct Recursion {
    static int Deeper(volatile int* depth) {
      volatile int here = *depth + 1;
      if (here < 0) return 0;  // never
      return Deeper(&here) + here;
    }
  };
  const auto child = Start([](auto, auto) -> Bytes {
    volatile int depth = 0;
    return Bytes(static_cast<std::size_t>(Recursion::Deeper(&depth)));
  });
  EXPECT_EQ(Ask(*child).error().code, ErrorCode::kCorrupt);
}

TEST(ChildProcess, AnAnswerAboveItsBoundIsNotRead) {
  const auto child = Start([](auto, auto) { return Bytes(10'000'000); });
  const auto answer = Ask(*child, 1'000'000);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kLimitExceeded);
}

TEST(ChildProcess, ALongAnswerArrivesWhole) {
  const auto child = Start([](auto, auto) { return Bytes(10'000'000, std::byte{5}); });
  const auto answer = Ask(*child, 10'000'000);
  ASSERT_TRUE(answer) << ToString(answer.error());
  EXPECT_EQ(*answer, Bytes(10'000'000, std::byte{5}));
}

TEST(ChildProcess, OthersGoOnAfterADeath) {
  const auto good = Start(Echo);
  const auto bad = Start([](auto, auto) -> Bytes { std::abort(); });
  EXPECT_FALSE(Ask(*bad));
  EXPECT_TRUE(Ask(*good));
  const auto file = OpenHdf5(Testdata("hdf5/small.h5"));
  EXPECT_TRUE(file) << ToString(file.error());
}

// ---- The sandbox ----

// What the child can do that it should not; each a bit of the answer.
enum Breach : unsigned {
  kOpens = 1,
  kConnects = 2,
  kForks = 4,
  kSignals = 8,
  kExecutes = 16,
  kHasDescriptors = 32,
  kWrites = 64,
  kDumps = 128,
};

Bytes TryToBreakOut(std::span<const std::byte>, std::span<std::byte>) {
  unsigned breaches = 0;
  if (::open("/etc/hostname", O_RDONLY) >= 0) breaches |= kOpens;
  if (::open("/tmp", O_TMPFILE | O_WRONLY, 0600) >= 0) breaches |= kOpens;
  if (::socket(AF_INET, SOCK_STREAM, 0) >= 0) breaches |= kConnects;
  if (::fork() >= 0) breaches |= kForks;
  if (::kill(::getppid(), 0) == 0) breaches |= kSignals;
  ::execl("/bin/true", "true", nullptr);
  for (int i = 3; i < 200; ++i) {
    int type = 0;
    socklen_t size = sizeof type;
    char byte = 0;
    // Only the socket to the parent is left.
    if (::read(i, &byte, 0) == 0 && ::getsockopt(i, SOL_SOCKET, SO_TYPE, &type, &size) == 0) {
      breaches |= kHasDescriptors;
    }
  }
  if (::write(STDERR_FILENO, "", 1) > 0) breaches |= kWrites;
  if (::prctl(PR_GET_DUMPABLE) > 0) breaches |= kDumps;
  return {std::byte(breaches)};
}

TEST(ChildSandbox, OpensRunsSignalsAndWritesNothing) {
  const int inherited = ::open("/dev/null", O_RDONLY);
  const auto child = Start(TryToBreakOut);
  const auto answer = Ask(*child);
  ASSERT_TRUE(answer) << ToString(answer.error());
  EXPECT_EQ(std::to_integer<unsigned>(answer->front()), 0U);
  ::close(inherited);
}

TEST(ChildSandbox, KeepsOneDescriptorToRead) {
  const int kept = ::open(Testdata("hdf5/small.h5").c_str(), O_RDONLY);
  const int other = ::open(Testdata("hdf5/small.h5").c_str(), O_RDONLY);
  auto child = ChildProcess::Start("the library", kept, kLimits, [&](auto, auto) -> Bytes {
    std::byte first{}, none{};
    if (::pread(kept, &first, 1, 0) != 1) return {};
    return ::pread(other, &none, 1, 0) == 1 ? Bytes{} : Bytes{first};
  });
  ASSERT_TRUE(child);
  const auto answer = Ask(**child);
  ASSERT_TRUE(answer) << ToString(answer.error());
  EXPECT_EQ(*answer, Bytes{std::byte{0x89}});
  ::close(kept);
  ::close(other);
}

TEST(ChildSandbox, LeavesInterruptsToTheParent) {
  const auto child = Start(Echo);
  ASSERT_TRUE(Ask(*child));
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) ::kill(child->pid(), number);
  EXPECT_TRUE(Ask(*child));
}

void CountSignals(int) { ::_exit(42); }

TEST(ChildSandbox, RunsNoHandlerOfTheParent) {
  struct sigaction before {};
  struct sigaction mine {};
  mine.sa_handler = CountSignals;
  ::sigaction(SIGUSR1, &mine, &before);
  const auto child = Start(Echo);
  ASSERT_TRUE(Ask(*child));
  ::kill(child->pid(), SIGUSR1);
  const auto answer = Ask(*child);
  ::sigaction(SIGUSR1, &before, nullptr);
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message, HasSubstr("signal " + std::to_string(SIGUSR1)));
}

// ---- Whose end the child shares ----

TEST(ChildProcess, EndsWithItsObject) {
  auto child = Start(Echo);
  ASSERT_TRUE(Ask(*child));
  const pid_t pid = child->pid();
  child.reset();
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

// Starts a child in a process that ends at once, idle or in the middle of an endless answer. The
// orphan comes to this test, which waits for its end.
void ExpectOrphanEnds(bool busy) {
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  const pid_t middle = ::fork();
  ASSERT_GE(middle, 0);
  if (middle == 0) {
    const auto child = Start(Hang, {kLimits.memory_bytes, 1});
    const pid_t pid = child->pid();
    if (::write(pipe[1], &pid, sizeof pid) != sizeof pid) ::_exit(1);
    if (busy) std::thread([&] { static_cast<void>(Ask(*child)); }).detach();
    std::this_thread::sleep_for(std::chrono::milliseconds(busy ? 200 : 0));
    ::_exit(0);
  }
  pid_t orphan = 0;
  ASSERT_EQ(::read(pipe[0], &orphan, sizeof orphan), static_cast<ssize_t>(sizeof orphan));
  int status = 0;
  ASSERT_EQ(::waitpid(middle, &status, 0), middle);
  EXPECT_EQ(::waitpid(orphan, &status, 0), orphan);
  if (busy) {
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
  } else {
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST(ChildProcess, AnIdleOneEndsWithItsParent) {
  CKPT_NOT_UNDER_ADDRESS_SANITIZER();
  ExpectOrphanEnds(false);
}
TEST(ChildProcess, ABusyOneEndsSoonAfterItsParent) { ExpectOrphanEnds(true); }

TEST(ChildProcess, StartsWhileOtherThreadsAllocate) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      while (!stop) EXPECT_NE(std::make_unique<Bytes>(100000), nullptr);
    });
  }
  for (int i = 0; i < 50; ++i) {
    const auto child = Start([](auto, auto) { return Bytes(100, std::byte{1}); });
    const auto answer = Ask(*child);
    EXPECT_TRUE(answer) << ToString(answer.error());
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace ckpt::formats::child_process_test
