// Long lists of names: repeated layers in one line, an end to every list, natural order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "cli/report/collapsed_names.h"
#include "cli/report/form.h"
#include "tests/cli/ckpt_program.h"

namespace ckpt::cli::long_lists_test {
namespace {

using ckpt::testing::Ckpt;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> Collapsed(const std::vector<std::string>& names) {
  std::vector<NamedThing> things;
  for (const std::string& name : names) things.push_back({name, "kind"});
  std::vector<std::string> lines;
  std::size_t members = 0;
  for (const CollapsedName& line : CollapseNames(things)) {
    lines.push_back(line.name);
    members += line.members.size();
  }
  EXPECT_EQ(members, names.size());
  return lines;
}

TEST(CollapsedNames, StandForEveryCombinationOfTheirNumbers) {
  std::vector<std::string> names;
  for (int layer = 0; layer < 125; ++layer) {
    for (const int norm : {1, 2})
      names.push_back("layer" + std::to_string(layer) + ".bn" + std::to_string(norm));
  }
  EXPECT_THAT(Collapsed(names), ElementsAre("layer{0..124}.bn{1,2}"));
}

TEST(CollapsedNames, StandForNoNameThatIsNotThere) {
  EXPECT_THAT(Collapsed({"a1.b1", "a1.b2", "a2.b1"}), ElementsAre("a1.b{1,2}", "a2.b1"));
  EXPECT_THAT(Collapsed({"x0", "x1", "x2", "x5", "x7", "x8"}), ElementsAre("x{0..2,5,7,8}"));
  EXPECT_THAT(Collapsed({"x01", "x1", "x02", "x2", "x03"}), ElementsAre("x{01,1,02,2,03}"));
  EXPECT_THAT(Collapsed({"a", "b", "c1", "d1"}), ElementsAre("a", "b", "c1", "d1"));
}

TEST(CollapsedNames, KeepKindsApartAndEscape) {
  const std::vector<CollapsedName> lines = CollapseNames({{"x1\n", "a"}, {"x2\n", "b"}});
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].name, "x1\\x0a");
}

TEST(CollapsedNames, OfMoreNumbersThanLayersNestStayAsTheyAre) {
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += "1.";
  EXPECT_EQ(Collapsed({many + "0", many + "1"}).size(), 2U);
}

// A safetensors file of `count` float32 scalars.
void WriteScalars(const std::filesystem::path& path, const std::vector<std::string>& names,
                  float value) {
  std::string header = "{", data;
  for (std::size_t i = 0; i < names.size(); ++i) {
    header += (i == 0 ? "\"" : ",\"") + names[i] +
              "\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[" + std::to_string(4 * i) +
              "," + std::to_string(4 * i + 4) + "]}";
    data.append(reinterpret_cast<const char*>(&value), 4);
  }
  header += "}";
  std::string size(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) size[i] = static_cast<char>(header.size() >> (8 * i));
  testing::WriteFile(path, size + header + data);
}

// No two of them differ in numbers alone.
std::vector<std::string> NamesWithoutAPattern(std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) {
    std::string name = "n.";
    for (std::size_t rest = i + 1; rest > 0; rest /= 26) name += static_cast<char>('a' + rest % 26);
    names.push_back(name);
  }
  return names;
}

std::size_t LinesIn(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

TEST(LongLists, OfAHundredThousandTensorsHaveAnEnd) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "a.safetensors";
  WriteScalars(path, NamesWithoutAPattern(100'000), 1);
  const std::string inspected = Ckpt({"inspect", path}).out;
  EXPECT_LT(LinesIn(inspected), 600U);
  EXPECT_THAT(inspected, HasSubstr("and 99500 tensors more: -v lists all"));
}

TEST(LongLists, OfAHundredThousandChangesHaveAnEnd) {
  Comparison comparison{"a", "b"};
  comparison.diff.emplace();
  comparison.diff->across = true;
  for (const std::string& name : NamesWithoutAPattern(100'000)) {
    TensorDiff tensor;
    tensor.name_a = name;
    tensor.name_b = name;
    tensor.status = TensorStatus::kChanged;
    tensor.matched_by = MatchedBy::kContent;
    comparison.diff->tensors.push_back(std::move(tensor));
    BatchNormDiff layer;
    layer.scope_a = name;
    comparison.diff->batch_norms.push_back(std::move(layer));
  }
  const std::string text = FindForm("text")->make({})->Add(comparison);
  EXPECT_LT(LinesIn(text), 1600U);
  EXPECT_THAT(text, AllOf(HasSubstr("and 99500 pairs more: -v lists all"),
                          HasSubstr("and 99500 tensors more: -v lists all"),
                          HasSubstr("and 99500 batch norms more: -v lists all")));
}

TEST(LongLists, AreCutByTop) {
  const testing::TemporaryFolder folder;
  const auto names = NamesWithoutAPattern(600);
  const std::string a = folder / "a.safetensors", b = folder / "b.safetensors";
  WriteScalars(a, names, 1);
  WriteScalars(b, names, 2);
  EXPECT_THAT(Ckpt({"diff", a, b}).out, HasSubstr("and 100 tensors more: -v lists all"));
  const std::string top = Ckpt({"diff", "--top", "3", a, b}).out;
  EXPECT_EQ(LinesIn(top), 5U) << top;
  EXPECT_THAT(top, HasSubstr("and 597 tensors more: -v lists all"));
}

TEST(LongLists, OfRepeatedLayersAreOneLineEach) {
  const testing::TemporaryFolder folder;
  std::vector<std::string> names;
  for (int layer = 0; layer < 60; ++layer) {
    for (const char* leaf : {"a.weight", "b.weight"})
      names.push_back("block" + std::to_string(layer) + "." + leaf);
  }
  const std::string path = folder / "m.safetensors", other = folder / "o.safetensors";
  WriteScalars(path, names, 1);
  WriteScalars(other, {"x"}, 2);
  const std::string text = Ckpt({"inspect", "--stats", path}).out;
  EXPECT_THAT(text, AllOf(HasSubstr("  block{0..59}.a.weight  60     float32"),
                          HasSubstr("  block{0..59}.b.weight  60")));
  EXPECT_LT(LinesIn(text), 10U) << text;
  EXPECT_THAT(Ckpt({"inspect", "-v", path}).out, HasSubstr("  block59.b.weight"));
  EXPECT_THAT(Ckpt({"diff", path, other}).out,
              HasSubstr("- block{0..59}.a.weight  other  [] float32, 60 of them\n"));
}

TEST(LongLists, OfFindingsHaveAnEnd) {
  Manifest manifest;
  manifest.resolved = "m";
  const Analysis analysis;
  AuditedInput audited{{"m", {}, &manifest, &analysis, "npz", {}}};
  for (int i = 0; i < 100'000; ++i)
    audited.findings.push_back({FindRule("BN020"), Severity::kError, "x", {}, "m", ""});
  const std::string text = FindForm("text")->make({})->Add(audited);
  EXPECT_LT(LinesIn(text), 1100U);
  EXPECT_THAT(text, HasSubstr("and 99500 findings more: -v lists all"));
  FormOptions full;
  full.full = true;
  EXPECT_GT(LinesIn(FindForm("text")->make(full)->Add(audited)), 200'000U);
}

TEST(Inspect, OrdersNumbersByValue) {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "m.safetensors";
  WriteScalars(path, {"layer10.w", "layer2.w", "layer1.w"}, 1);
  const std::string text = Ckpt({"inspect", path}).out;
  EXPECT_LT(text.find("layer2.w"), text.find("layer10.w"));
  const std::string compared = Ckpt({"diff", path, "safetensors/torch_good.safetensors"}).out;
  EXPECT_LT(compared.find("layer2.w"), compared.find("layer10.w"));
}

TEST(Inspect, ListsWhatMatchesOnly) {
  const std::string text =
      Ckpt({"inspect", "--only", "*bn1.*", "safetensors/torch_good.safetensors"}).out;
  EXPECT_THAT(text, AllOf(HasSubstr("  10 of these match --only\n"), HasSubstr("layer1.0.bn1 "),
                          Not(HasSubstr("bn2")), Not(HasSubstr("conv1"))));
}

TEST(Inspect, SummaryListsNoTensor) {
  const std::string text = Ckpt({"inspect", "--summary", "safetensors/torch_good.safetensors"}).out;
  EXPECT_THAT(text, AllOf(HasSubstr("types: float32 (22), int64 (4)\n"),
                          HasSubstr("epsilon: 1e-05 (default) (4)\n"), Not(HasSubstr("bn1."))));
}

TEST(Inspect, StatisticsOfDataThatCannotBeReadAreAnError) {
  const auto run = Ckpt({"inspect", "--stats", "bad_values/inf_mean.h5"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.out, HasSubstr("1 infinite"));
}

}  // namespace
}  // namespace ckpt::cli::long_lists_test
