// The text that people read: what it leaves out and says so, and how it breaks on a terminal.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <sstream>

#include "cli/report/form.h"
#include "cli/report/text_table.h"
#include "cli/report/wrapped_text.h"
#include "tests/cli/ckpt_program.h"

namespace ckpt::cli {
namespace {

using ckpt::testing::Ckpt;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

constexpr const char* kGood = "safetensors/torch_good.safetensors";
constexpr const char* kWarned = "safetensors/torch_never_updated_tracked_0.safetensors";
constexpr const char* kErrors = "bad_values/inf_mean.h5";

std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(Notes, AreCountedAndShownOnRequest) {
  const auto run = Ckpt({"audit", kGood});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.out, Not(HasSubstr("BN040")));
  EXPECT_THAT(run.out, EndsWith("  clean\n0 errors, 0 warnings, 2 notes (-v shows all)\n"));
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{"-v"}, {"--show", "info"}, {"--fail-on", "info"}}) {
    std::vector<std::string> arguments = {"audit", kGood};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const std::string text = Ckpt(arguments).out;
    EXPECT_THAT(text, AllOf(HasSubstr("info BN040"), HasSubstr("info BN041"))) << more[0];
    EXPECT_THAT(text, EndsWith("2 notes\n")) << more[0];
  }
}

TEST(Notes, AreAllInWhatProgramsRead) {
  for (const char* form : {"json", "jsonl", "sarif", "junit"}) {
    EXPECT_THAT(Ckpt({"audit", "--format", form, kGood}).out, HasSubstr("BN040")) << form;
  }
}

TEST(Show, HidesNothingThatMakesTheExitCodeOne) {
  const std::vector<std::string> both = {"audit", kWarned, kErrors, "--show", "error"};
  const std::string text = Ckpt(both).out;
  EXPECT_THAT(text, AllOf(HasSubstr("BN011"), HasSubstr("BN020")));
  std::vector<std::string> lenient = both;
  lenient.insert(lenient.end(), {"--fail-on", "error"});
  EXPECT_THAT(Ckpt(lenient).out, AllOf(Not(HasSubstr("BN011")), HasSubstr("BN020"),
                                       HasSubstr("1 warning"), HasSubstr("(-v shows all)")));
  lenient.insert(lenient.end(), {"--format", "concise"});
  EXPECT_THAT(Ckpt(lenient).out, AllOf(Not(HasSubstr("BN011")), HasSubstr("BN020")));
}

TEST(Quiet, SaysNothingOfFilesThatPass) {
  EXPECT_EQ(Ckpt({"audit", "-q", kGood}).out, "");
  EXPECT_EQ(Ckpt({"audit", "-q", "--fail-on", "error", kWarned}).out, "");
  const std::string text = Ckpt({"audit", "-q", "--fail-on", "error", kGood, kWarned, kErrors}).out;
  EXPECT_THAT(text, AllOf(HasSubstr("BN020"), Not(HasSubstr("BN011")), Not(HasSubstr("BN040"))));
}

TEST(UnreadableInputs, AreSaidOnceAndCounted) {
  const auto audit = Ckpt({"audit", "no/such"});
  EXPECT_EQ(audit.err, "ckpt: no/such: cannot open: No such file or directory\n");
  EXPECT_EQ(audit.out, "1 file: 1 unreadable\n");
  EXPECT_EQ(Ckpt({"inspect", "no/such"}).out, "1 file: 1 unreadable\n");
  EXPECT_THAT(Ckpt({"inspect", kGood, "no/such"}).out,
              EndsWith("\n2 files: 1 read, 1 unreadable\n"));
  const ckpt::testing::TemporaryFolder folder;
  const std::string report = folder / "r.txt";
  const auto both = Ckpt({"audit", "no/such", "--report", report});
  EXPECT_EQ(both.out, "1 file: 1 unreadable\n");
  EXPECT_THAT(folder.Read("r.txt"), HasSubstr("cannot open: No such file"));
  EXPECT_THAT(Ckpt({"audit", "no/such", "--format", "concise"}).out, HasSubstr("cannot open"));
}

TEST(Width, CountsColumnsOfATerminal) {
  EXPECT_EQ(WidthOf("conv1"), 5U);
  EXPECT_EQ(WidthOf("\xE5\xB1\x82\xE4\xB8\x80"), 4U);  // two ideographs
  EXPECT_EQ(WidthOf("e\xCC\x81"), 1U);                 // e and a combining accent
  EXPECT_EQ(WidthOf("\xF0\x9F\x99\x82"), 2U);          // an emoji
  EXPECT_EQ(WidthOf("\033[31merror\033[0m"), 5U);
}

TEST(Width, AlignsColumnsBehindNamesOfAnyScript) {
  TextTable table("");
  for (const char* name : {"conv1", "\xE5\xB1\x82\xE4\xB8\x80", "e\xCC\x81", "\xF0\x9F\x99\x82"}) {
    table.AddRow({name, "|"});
  }
  for (const std::string& line : LinesOf(table.ToString())) EXPECT_EQ(WidthOf(line), 8U) << line;
}

TEST(Wrapping, BreaksBetweenWordsAndHangs) {
  EXPECT_EQ(Wrapped("  one two three four\n", 12), "  one two\n    three\n    four\n");
  EXPECT_EQ(Wrapped("fits\n", 12), "fits\n");
  EXPECT_EQ(Wrapped("a_name_longer_than_the_line x\n", 12), "a_name_longer_than_the_line\n  x\n");
  EXPECT_EQ(Wrapped("  one two three", 0), "  one two three");
  EXPECT_EQ(Wrapped("\033[31mone\033[0m two\n", 7), "\033[31mone\033[0m two\n");
}

TEST(Wrapping, JoinsParagraphsThatWereBrokenElsewhere) {
  EXPECT_EQ(Rewrapped("one two\nthree\n\n- four five\n  six\n", 10),
            "one two\n  three\n\n- four\n  five six\n");
  EXPECT_EQ(Rewrapped("one two\nthree\n", 10), "one two\nthree\n");
}

// Runs with a terminal of `columns` as stdout, and returns what it showed.
std::string OnATerminal(const std::vector<std::string>& arguments, unsigned short columns) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (terminal < 0 || ::grantpt(terminal) != 0 || ::unlockpt(terminal) != 0) return {};
  const int other = ::open(::ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
  winsize size{};
  size.ws_col = columns;
  ::ioctl(other, TIOCSWINSZ, &size);
  testing::ProgramOptions options;
  options.in_child = [other] {
    ::unsetenv("COLUMNS");
    ::dup2(other, STDOUT_FILENO);
  };
  Ckpt(arguments, options);
  ::close(other);
  std::string shown;
  std::array<char, 4096> chunk;
  for (ssize_t got = 0; (got = ::read(terminal, chunk.data(), chunk.size())) > 0;)
    shown.append(chunk.data(), static_cast<std::size_t>(got));
  ::close(terminal);
  std::erase(shown, '\r');
  return shown;
}

MATCHER_P(FitsIn, columns, "") { return WidthOf(arg) <= static_cast<std::size_t>(columns); }

TEST(Wrapping, FollowsTheWidthOfTheTerminal) {
  const std::string shown = OnATerminal({"audit", "--color", "never", kWarned}, 60);
  ASSERT_NE(shown, "");
  EXPECT_THAT(LinesOf(shown), Each(FitsIn(60)));
  EXPECT_THAT(LinesOf(OnATerminal({"explain", "BN001"}, 50)), Each(FitsIn(50)));
  const auto unbroken = Ckpt({"audit", kWarned});
  EXPECT_THAT(LinesOf(unbroken.out), ::testing::Contains(SizeIs(::testing::Gt(60U))));
}

}  // namespace
}  // namespace ckpt::cli
