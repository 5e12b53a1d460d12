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

namespace ckpt::cli::text_for_people_test {
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

TensorDiff Changed(const std::string& name, double max_abs, double norm) {
  TensorDiff tensor;
  tensor.name_a = tensor.name_b = name;
  tensor.status = TensorStatus::kChanged;
  tensor.by = ComparedBy::kBytes;
  tensor.elements = 16;
  tensor.differing = tensor.beyond_tolerance = 16;
  tensor.max_abs = max_abs;
  tensor.relative_norm = norm;
  return tensor;
}

TEST(Diff, ShowsNanAsNanAndNotAsNoDifference) {
  Comparison comparison{"a", "b"};
  comparison.diff.emplace();
  TensorDiff lost = Changed("bn.running_var", 0, 0);
  lost.non_finite = lost.nan_b = 16;
  TensorDiff partly = Changed("w", 0.5, 0.25);
  partly.non_finite = 3;
  partly.nan_b = 2;
  comparison.diff->tensors = {lost, partly};
  comparison.diff->changed = 2;
  const std::string text = FindForm("text")->make({})->Add(comparison);
  EXPECT_THAT(text, HasSubstr("max abs -  max rel -  rel norm -  16 of 16 differ: all NaN in B"));
  EXPECT_THAT(text, HasSubstr("rel norm 0.25  16 of 16 differ; 3 not finite (2 NaN in B)"));
  EXPECT_THAT(text, HasSubstr("values that are not finite in 2 tensors"));
}

TEST(Diff, PutsTheLargestFirstOnRequest) {
  Comparison comparison{"a", "b"};
  comparison.diff.emplace();
  TensorDiff lost = Changed("lost", 0, 0);
  lost.non_finite = lost.nan_b = 1;
  comparison.diff->tensors = {Changed("small", 9, 0.1), Changed("large", 1, 0.9), lost};
  const auto order = [&](DiffOrder by, std::optional<std::size_t> most) {
    comparison.order = by;
    comparison.most = most;
    std::string names;
    for (const std::string& line : LinesOf(FindForm("text")->make({})->Add(comparison)))
      if (line.starts_with("* ")) names += line.substr(2, line.find(' ', 2) - 2) + " ";
    return names;
  };
  EXPECT_EQ(order(DiffOrder::kName, {}), "small large lost ");
  EXPECT_EQ(order(DiffOrder::kNorm, {}), "lost large small ");
  EXPECT_EQ(order(DiffOrder::kMaxAbs, {}), "lost small large ");
  EXPECT_EQ(order(DiffOrder::kNorm, 2), "lost large ");
}

TEST(Diff, SaysOnceWhatHoldsForManyBatchNorms) {
  Comparison comparison{"a", "b"};
  comparison.diff.emplace();
  for (int i = 0; i < 40; ++i) {
    BatchNormDiff layer;
    layer.scope_b = "block" + std::to_string(i) + ".bn";
    layer.compared = false;
    layer.note = "not compared: not in A";
    comparison.diff->batch_norms.push_back(layer);
  }
  const std::string text = FindForm("text")->make({})->Add(comparison);
  EXPECT_THAT(text, HasSubstr("40 batch norms block{0..39}.bn: not compared: not in A\n"));
  EXPECT_THAT(LinesOf(text), SizeIs(2));
}

TEST(Convert, HasOneLineForEachPairAndForEachReason) {
  Conversion conversion{"a", "b"};
  conversion.formats = {"a", "npz", "npz", {}};
  conversion.plan.emplace();
  for (int i = 0; i < 300; ++i) {
    const std::string n = std::to_string(i);
    Folded fold;
    fold.batch_norm = "block" + n + ".bn";
    fold.into = {"block" + n + ".conv"};
    conversion.plan->folded.push_back(fold);
    conversion.plan->dropped.push_back({"m" + n, "optimizer state", "w" + n});
  }
  const std::string text = FindForm("text")->make({})->Add(conversion);
  EXPECT_THAT(text, AllOf(HasSubstr("folded block{0..299}.bn  300 batch norms  backward"),
                          HasSubstr("dropped 300 tensors: optimizer state\n")));
  EXPECT_THAT(LinesOf(text), SizeIs(4));
  FormOptions full;
  full.full = true;
  EXPECT_THAT(FindForm("text")->make(full)->Add(conversion),
              HasSubstr("folded block7.bn    backward into block7.conv"));
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
}  // namespace ckpt::cli::text_for_people_test
