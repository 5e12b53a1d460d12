// The walls of the fetching child, each from inside a child of this test that is behind them.
#include "formats/remote/fetch_walls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <netdb.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>

namespace ckpt::formats::fetch_walls_test {
namespace {

constexpr int kNoSuchWall = 77;

// What `act`, behind the walls, gives; kNoSuchWall where the kernel has none of the kind.
int Behind(bool FetchWalls::*wall, const std::vector<std::string>& readable,
           const std::function<int()>& act) {
  const pid_t child = ::fork();
  if (child == 0) {
    const FetchWalls walls = EnterFetchWalls(readable);
    ::_exit(walls.*wall ? act() : kNoSuchWall);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int Number(int result) { return result < 0 ? errno : 0; }
int Opened(const std::string& path, int flags = O_RDONLY) {
  return Number(::open(path.c_str(), flags | O_CLOEXEC, 0600));
}

class FetchWallsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) / ("walls" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    for (const char* name : {"key", "ca.pem"}) std::ofstream(folder_ / name) << "text";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string In(const char* name) const { return (folder_ / name).string(); }
  std::filesystem::path folder_;
};

TEST_F(FetchWallsTest, AFileOfTheUserIsNotReadButForTheOnesThatAreNamed) {
  const auto opened = [&](const std::string& path, int flags = O_RDONLY) {
    return Behind(&FetchWalls::files, {In("ca.pem")}, [&] { return Opened(path, flags); });
  };
  if (opened("/etc/passwd") == kNoSuchWall) GTEST_SKIP() << "this kernel has no Landlock";
  EXPECT_EQ(Opened(In("key")), 0);  // out here it can
  EXPECT_EQ(opened(In("key")), EACCES);
  EXPECT_EQ(opened(In("ca.pem")), 0);
  EXPECT_EQ(opened(In("ca.pem"), O_RDWR), EACCES);
  EXPECT_EQ(opened(In("new"), O_WRONLY | O_CREAT), EACCES);
  EXPECT_EQ(opened("/etc/passwd"), 0);
}

TEST_F(FetchWallsTest, NoProgramIsStartedAndNobodyIsServedOrSignalled) {
  const auto done = [&](const std::function<int()>& act) {
    return Behind(&FetchWalls::system_calls, {}, act);
  };
  if (done([] { return 0; }) == kNoSuchWall) GTEST_SKIP() << "this kernel takes no filter";
  EXPECT_EQ(done([] { return Number(::execl("/bin/true", "true", nullptr)); }), EPERM);
  EXPECT_EQ(done([] { return Number(::kill(::getppid(), 0)); }), EPERM);
  EXPECT_EQ(done([] { return Number(::socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)); }), EPERM);
  EXPECT_EQ(done([] { return Number(::socket(AF_PACKET, SOCK_DGRAM, 0)); }), EPERM);
  EXPECT_EQ(done([] { return Number(::socket(AF_ALG, SOCK_SEQPACKET, 0)); }), EPERM);
  EXPECT_EQ(done([] { return Number(::listen(::socket(AF_INET, SOCK_STREAM, 0), 1)); }), EPERM);
  EXPECT_EQ(done([] { return Number(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }), 0);
  EXPECT_EQ(done([]() -> int { std::abort(); }), 128 + SIGABRT);
}

TEST_F(FetchWallsTest, NamesAreResolved) {
  const int got = Behind(&FetchWalls::system_calls, {}, [] {
    addrinfo* found = nullptr;
    return ::getaddrinfo("localhost", "443", nullptr, &found) == 0 && found != nullptr ? 0 : 1;
  });
  EXPECT_THAT(got, ::testing::AnyOf(0, kNoSuchWall));
}

}  // namespace
}  // namespace ckpt::formats::fetch_walls_test
