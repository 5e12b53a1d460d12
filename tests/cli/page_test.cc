// The page of --report html:FILE: nothing in a file becomes markup, nothing but its own script
// runs, and it stays small.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/report/form.h"
#include "cli/report/page/page_document.h"
#include "cli/report/page/page_values.h"
#include "tests/cli/ckpt_program.h"

namespace ckpt::cli::page_test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::size_t kMostBytes = 3'000'000;

std::size_t CountOf(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1))
    ++count;
  return count;
}

std::string Between(const std::string& text, const std::string& from, const std::string& to) {
  const std::size_t begin = text.find(from);
  if (begin == std::string::npos) return "";
  const std::size_t end = text.find(to, begin + from.size());
  return text.substr(begin + from.size(), end - begin - from.size());
}

json DataOf(const std::string& page) {
  return json::parse(Between(page, "<script type=\"application/json\" id=\"data\">", "</script>"));
}

// An audited file of so many batch norms, made of names alone.
class MadeInput {
 public:
  explicit MadeInput(std::size_t layers, const std::string& name = "layer") {
    manifest_.resolved = "m";
    for (std::size_t i = 0; i < layers; ++i) {
      const std::string scope = name + std::to_string(i);
      const auto first = static_cast<std::uint32_t>(manifest_.tensors.size());
      for (const char* part : {".bias", ".running_mean", ".running_var", ".weight"}) {
        TensorInfo& tensor = manifest_.tensors.emplace_back();
        tensor.name = tensor.stored_as = scope + part;
      }
      BatchNorm norm{scope};
      norm.beta = TensorId{first};
      norm.moving_mean = TensorId{first + 1};
      norm.moving_variance = TensorId{first + 2};
      norm.gamma = TensorId{first + 3};
      analysis_.batch_norms.push_back(std::move(norm));
    }
    analysis_.roles.resize(manifest_.tensors.size());
  }
  AuditedInput Audited(const std::string& path) const {
    AuditedInput audited{{path, {}, &manifest_, &analysis_, "npz", {}}};
    const std::vector<double> values = {-1.2345678, 0.1, 2.3456789, 77.7, 1e-7};
    LayerProfile profile;
    for (auto& of : profile.of) of = DistributionOf(values);
    audited.profiles.assign(analysis_.batch_norms.size(), profile);
    return audited;
  }

 private:
  Manifest manifest_;
  Analysis analysis_;
};

Finding FindingOf(const std::string& subject, std::vector<std::size_t> layers,
                  Severity severity = Severity::kError) {
  Finding finding{FindRule("BN020"), severity, subject, {}, subject + " is bad", "mend it"};
  finding.layers = std::move(layers);
  return finding;
}

std::string PageOf(const std::vector<AuditedInput>& inputs) {
  const auto form = FindForm("html")->make({});
  AuditSummary summary{inputs.size()};
  for (const AuditedInput& input : inputs) {
    summary.Add(input);
    EXPECT_EQ(form->Add(input), "");
  }
  return form->End(summary);
}

TEST(Policy, NamesAnElementByTheBase64OfItsSha256) {
  // The digests of FIPS 180-4's examples, as `openssl dgst -sha256 -binary | base64` prints them.
  EXPECT_EQ(page::HashSource(""), "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
  EXPECT_EQ(page::HashSource("abc"), "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
}

TEST(Policy, AllowsTheScriptAndTheStyleThatStandInThePageAndNothingElse) {
  const std::string html = PageOf({MadeInput(2).Audited("m")});
  const std::string script = Between(html, "</script>\n<script>", "</script>");
  const std::string style = Between(html, "<style>", "</style>");
  ASSERT_FALSE(script.empty());
  ASSERT_FALSE(style.empty());
  EXPECT_EQ(Between(html, "Content-Security-Policy\" content=\"", "\""),
            "default-src 'none'; script-src '" + page::HashSource(script) + "'; style-src '" +
                page::HashSource(style) + "'; base-uri 'none'; form-action 'none'");
  EXPECT_LT(html.find("Content-Security-Policy"), html.find("<style>"));
}

TEST(Script, CannotEndItselfAndMakesNoMarkupOfText) {
  const std::string script(page::Script());
  EXPECT_THAT(script, StartsWith("\"use strict\""));
  for (const char* banned : {"</script", "<!--", "innerHTML", "outerHTML", "insertAdjacentHTML",
                             "document.write", "eval(", "Function(", "fetch(", "import("}) {
    EXPECT_THAT(script, Not(HasSubstr(banned)));
  }
  for (const char* banned : {"@import", "url(", "</style"})
    EXPECT_THAT(std::string(page::Style()), Not(HasSubstr(banned)));
}

TEST(Names, NeverBecomeMarkup) {
  const std::string name =
      "</script><!--<script>alert(1)</script>]]>&amp;\"'`\x1b[2J\u202egpj\u2028\n\x80";
  const MadeInput made(1, name);
  AuditedInput audited = made.Audited(name);
  audited.findings.push_back(FindingOf(name, {0}));
  const std::string html = PageOf({audited});
  EXPECT_EQ(CountOf(html, "<script"), 2U);
  EXPECT_EQ(CountOf(html, "</script"), 2U);
  EXPECT_EQ(CountOf(html, "<!--"), 0U);
  EXPECT_EQ(CountOf(html, "alert(1)<"), 0U);
  EXPECT_EQ(CountOf(html, "\u202e") + CountOf(html, "\u2028") + CountOf(html, "\x1b"), 0U);
  // It is still there, to be read.
  const json data = DataOf(html);
  const std::string shown = data["inputs"][0]["detail"]["layers"][0]["scope"];
  EXPECT_THAT(shown, StartsWith("</script><!--<script>alert(1)</script>]]>&amp;\"'`\\x1b[2J\\x"));
  EXPECT_EQ(data["inputs"][0]["detail"]["findings"][0]["layers"], json::array({0}));
}

TEST(Size, OfFiveHundredBatchNormsHasThemAll) {
  const std::string html = PageOf({MadeInput(500, "backbone.layer4.block").Audited("m")});
  EXPECT_LT(html.size(), kMostBytes / 2);
  EXPECT_EQ(DataOf(html)["inputs"][0]["detail"]["layers"].size(), 500U);
}

TEST(Size, StaysBoundedAndTheLayersWithErrorsStay) {
  const MadeInput made(1000, std::string(200, '<'));
  AuditedInput audited = made.Audited("m");
  for (std::size_t i = 0; i < 300; ++i)
    audited.findings.push_back(FindingOf(std::string(3000, '&'), {999}));
  const std::string html = PageOf({audited});
  EXPECT_LT(html.size(), kMostBytes);
  const json detail = DataOf(html)["inputs"][0]["detail"];
  ASSERT_FALSE(detail.is_null());
  EXPECT_GT(detail["layers"].size(), 10U);
  EXPECT_EQ(detail["layers"].back()["i"], 999);
  EXPECT_EQ(detail["finding_count"], 300);
}

TEST(Size, OfManyInputsStaysBoundedAndTheBadOnesStay) {
  const MadeInput small(20), bad(20);
  std::vector<AuditedInput> inputs;
  for (std::size_t i = 0; i < 10'000; ++i) {
    AuditedInput audited = small.Audited("runs/of/a/long/path/epoch_" + std::to_string(i));
    if (i % 2500 == 2499) audited.findings.push_back(FindingOf("layer7", {7}));
    inputs.push_back(std::move(audited));
  }
  const std::string html = PageOf(inputs);
  EXPECT_LT(html.size(), kMostBytes);
  const json data = DataOf(html);
  std::size_t errors = 0;
  for (const json& input : data["inputs"]) {
    if (input["row"]["state"] != "errors") continue;
    ++errors;
    EXPECT_FALSE(input["detail"].is_null()) << input["row"]["path"];
  }
  EXPECT_EQ(errors, 4U);
  EXPECT_EQ(data["inputs"].size() + data["inputs_left_out"].get<std::size_t>(), 10'000U);
  EXPECT_GT(data["inputs"].size(), 2000U);
}

TEST(Size, OfAComparisonKeepsTheLargestChanges) {
  Comparison comparison{"a", "b"};
  CheckpointDiff& diff = comparison.diff.emplace();
  for (std::size_t i = 0; i < 30'000; ++i) {
    TensorDiff tensor;
    tensor.name_a = tensor.name_b = "t" + std::to_string(i);
    tensor.status = TensorStatus::kChanged;
    tensor.by = ComparedBy::kBytes;
    tensor.max_abs = i == 22'777 ? 10 : 1;
    diff.tensors.push_back(std::move(tensor));
  }
  diff.changed = diff.tensors.size();
  const std::string html = FindForm("html")->make({})->Add(comparison);
  EXPECT_LT(html.size(), kMostBytes);
  const json tensors = DataOf(html)["detail"]["tensors"];
  EXPECT_TRUE(std::any_of(tensors.begin(), tensors.end(),
                          [](const json& tensor) { return tensor["name"] == "t22777"; }));
}

TEST(Page, OfTheProgramIsWrittenBesideTheText) {
  const ckpt::testing::TemporaryFolder folder;
  const std::string path = (folder / "page.html").string();
  const auto result = ckpt::testing::Ckpt(
      {"audit", "--report", "html:" + path, "bad_values/nan_variance.npz", "bad_values/good.npz"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, HasSubstr("BN020"));
  std::ostringstream html;
  html << std::ifstream(path).rdbuf();
  const json data = DataOf(html.str());
  EXPECT_EQ(data["states"], json::array({1, 0, 1, 0}));
  const json layer = data["inputs"][0]["detail"]["layers"][0];
  EXPECT_EQ(layer["of"]["mean"]["h"].is_array(), true);
  EXPECT_THAT(Between(html.str(), "<noscript>", "</noscript>"),
              HasSubstr("error BN020 non-finite"));
}

TEST(Page, OfARunHasEachStepWithItsRatio) {
  const ckpt::testing::TemporaryFolder folder;
  const std::string path = (folder / "page.html").string();
  const std::string file = "keras_h5/trained_functional_adam.h5";
  ASSERT_EQ(ckpt::testing::Ckpt({"verify", "-q", "--report", "html:" + path, file, file}).exit_code,
            0);
  std::ostringstream html;
  html << std::ifstream(path).rdbuf();
  const json run = DataOf(html.str())["detail"]["run"];
  EXPECT_EQ(run["steps"].size(), run["compared"]);
  EXPECT_EQ(run["steps"][0][2], 0);
}

}  // namespace
}  // namespace ckpt::cli::page_test
