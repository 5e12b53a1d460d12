// The table of rules.
#include "audit/rule_table.h"

#include <set>
#include <sstream>

#include "tests/audit/audited.h"

namespace ckpt::testing::rule_table_test {
namespace {

using ::testing::HasSubstr;

TEST(RuleTable, IdsAndNamesAreUniqueAndWellFormed) {
  std::set<std::string_view> ids, names;
  for (const Rule& rule : Rules()) {
    EXPECT_TRUE(ids.insert(rule.id).second) << rule.id;
    EXPECT_TRUE(names.insert(rule.name).second) << rule.name;
    EXPECT_EQ(rule.id.size(), 5U) << rule.id;
    EXPECT_EQ(rule.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz-"), std::string_view::npos);
  }
}

TEST(RuleTable, IsFoundByIdAndByName) {
  ASSERT_NE(FindRule("BN001"), nullptr);
  EXPECT_EQ(FindRule("BN001"), FindRule("statistics-missing"));
  EXPECT_EQ(FindRule("BN999"), nullptr);
}

TEST(RuleTable, IndicesMeetTheirRows) {
  using audit::RuleIndex;
  EXPECT_EQ(audit::RuleOf(RuleIndex::kStatisticsMissing).id, "BN001");
  EXPECT_EQ(audit::RuleOf(RuleIndex::kNeverUpdated).id, "BN010");
  EXPECT_EQ(audit::RuleOf(RuleIndex::kNonFinite).id, "BN020");
  EXPECT_EQ(audit::RuleOf(RuleIndex::kShapeMismatch).id, "BN030");
  EXPECT_EQ(audit::RuleOf(RuleIndex::kEpsilonNotRecorded).id, "BN040");
  EXPECT_EQ(audit::RuleOf(RuleIndex::kUnchangedStatistics).id, "BN050");
  EXPECT_EQ(audit::RuleOf(RuleIndex::kDataAbsent).id, "CK001");
  EXPECT_EQ(static_cast<std::size_t>(RuleIndex::kRunsCode) + 1, Rules().size());
}

TEST(RuleTable, TextsSayWhyAndWhatToDo) {
  for (const Rule& rule : Rules()) {
    EXPECT_THAT(rule.text, HasSubstr("Why it matters: ")) << rule.id;
    EXPECT_THAT(rule.text, HasSubstr("What to do: ")) << rule.id;
    EXPECT_LT(rule.summary.size(), 100U) << rule.id;
    std::istringstream lines{std::string(rule.text)};
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80U) << line;
  }
}

TEST(RuleTable, WhatStopsAConversionIsWhatTheContractLists) {
  std::set<std::string_view> stopping;
  for (const Rule& rule : Rules()) {
    if (rule.stops_conversion()) stopping.insert(rule.id);
  }
  EXPECT_EQ(stopping, (std::set<std::string_view>{"BN001", "BN002", "BN010", "BN020", "BN021",
                                                  "BN022", "BN030", "CK001", "CK002", "CK003"}));
}

TEST(RuleTable, NoRuleOfSeverityErrorPassesAConversion) {
  for (const Rule& rule : Rules()) {
    if (rule.severity != Severity::kError) continue;
    EXPECT_NE(rule.in_conversion, InConversion::kPasses) << rule.id;
  }
}

}  // namespace
}  // namespace ckpt::testing::rule_table_test
