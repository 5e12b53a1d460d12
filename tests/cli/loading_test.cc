// What the loader brings into the process that parses hostile files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "tests/support/paths.h"
#include "tests/support/program.h"

namespace ckpt::testing::loading_test {
namespace {

using ::testing::Contains;
using ::testing::Not;

// Their names without version, of all that are loaded at the start, whoever asked for them.
std::set<std::string> LoadedBy(const std::string& program) {
  const auto listed = RunProgram("/usr/bin/env", {"LD_TRACE_LOADED_OBJECTS=1", program});
  EXPECT_EQ(listed.exit_code, 0);
  std::set<std::string> names;
  std::istringstream lines(listed.out);
  for (std::string line, name; std::getline(lines, line);) {
    std::istringstream(line) >> name;
    name = name.substr(name.rfind('/') + 1);
    names.insert(name.substr(0, name.find(".so")));
  }
  return names;
}

TEST(Loading, BringsInWhatIsKnownAndNoNetworkCode) {
  // A name that is added here is code beside hostile bytes: none of it may reach for the network.
  const std::set<std::string> known = {
      "linux-vdso",  "ld-linux-x86-64", "ld-linux-aarch64", "libc",        "libm",
      "libgcc_s",    "libstdc++",       "libcrypto",        "libisal",     "libz",
      "libprotobuf", "libsnappy",       "libseccomp",       "libunistring"};
  const std::set<std::string> loaded = LoadedBy(ckpt::testing::Program());
  ASSERT_THAT(loaded, Contains("libc"));
  for (const std::string& name : loaded) EXPECT_THAT(known, Contains(name));
  EXPECT_THAT(loaded, Not(Contains("libcurl")));
}

}  // namespace
}  // namespace ckpt::testing::loading_test
