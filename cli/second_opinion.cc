#include "cli/second_opinion.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string_view>
#include <utility>

#include "ckpt/formats/foreign_code.h"
#include "cli/framework_run.h"
#include "cli/report/advice.h"
#include "cli/report/text_table.h"
#include "formats/encoding/few_of.h"

namespace ckpt::cli {
namespace {

namespace fs = std::filesystem;
using execution::Array;

// A framework adds up in another order and with other kernels than our own run in float32 does.
constexpr double kNoiseFactor = 100;
constexpr double kOfSize = 1e-6;
constexpr std::size_t kMostNamed = 5;

struct Reads {
  std::string_view framework, files;
  std::array<std::string_view, 2> formats;
};
constexpr std::array<Reads, 4> kReads = {{
    {"onnxruntime", ".onnx files", {"onnx", ""}},
    {"keras", "whole models in .keras and .h5 files", {"keras", "keras-h5"}},
    {"tensorflow", "SavedModel folders and frozen graphs", {"saved-model", "graph-def"}},
    {"torch", "TorchScript archives", {"torch", ""}},
}};

const Reads& ReadsOf(const std::string& framework) {
  const auto* const row = std::find_if(kReads.begin(), kReads.end(), [&](const Reads& reads) {
    return reads.framework == framework;
  });
  return row == kReads.end() ? kReads[0] : *row;
}

bool CanRun(const Reads& reads, const formats::Files& files, const Checkpoint& checkpoint) {
  const std::string_view format = checkpoint.format();
  if (format != reads.formats[0] && format != reads.formats[1]) return false;
  return format != "torch" || formats::IsTorchScript(files, checkpoint);
}

// As a shell finds it; a link is kept, for it is what tells a virtual environment.
Result<std::string> FindProgram(const std::string& name) {
  const auto runs = [](const fs::path& path) {
    std::error_code unreachable;
    return fs::is_regular_file(path, unreachable) && ::access(path.c_str(), X_OK) == 0;
  };
  std::error_code ignored;
  if (name.find('/') != std::string::npos) {
    if (runs(name)) return fs::absolute(name, ignored).lexically_normal().string();
    return Fail(ErrorCode::kUnfit, "--python: \"" + name + "\" is no program");
  }
  const char* const list = std::getenv("PATH");
  std::string_view left = list == nullptr ? std::string_view() : std::string_view(list);
  while (!left.empty()) {
    const std::size_t colon = left.find(':');
    const fs::path path = fs::path(left.substr(0, colon)) / name;
    if (path.is_absolute() && runs(path)) return path.string();
    left = colon == std::string_view::npos ? std::string_view() : left.substr(colon + 1);
  }
  return Fail(ErrorCode::kUnfit,
              "--with: there is no program " + name + " on the PATH; --python names one");
}

// Operations that are not understood may be anything.
std::vector<std::string> NotUnderstoodIn(const RunnableInput& input) {
  std::vector<std::string> found;
  if (input.checkpoint->format() == "torch") return found;  // its network is that of --graph
  for (const network::Operation& op : input.network.operations) {
    const auto* unknown = std::get_if<network::Unknown>(&op.computation);
    if (unknown == nullptr) continue;
    found.push_back("\"" + input.network.layers[op.layer].name + "\" (" + unknown->what +
                    "), which is not understood");
  }
  return found;
}

double SizeOf(const Array& array) {
  double size = 0;
  for (const double element : array.elements) size = std::max(size, std::abs(element));
  return size;
}

network::Sizes WithoutOnes(network::Sizes sizes) {
  std::erase(sizes, 1);
  return sizes;
}

// Infinite where the shapes differ or one alone is no number.
double LargestDifference(const Array& a, const Array& b) {
  if (WithoutOnes(a.shape) != WithoutOnes(b.shape) || a.elements.size() != b.elements.size()) {
    return HUGE_VAL;
  }
  double largest = 0;
  for (std::size_t i = 0; i < a.elements.size(); ++i) {
    const double x = a.elements[i], y = b.elements[i];
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    const double difference = std::abs(x - y);
    largest = std::isnan(difference) ? HUGE_VAL : std::max(largest, difference);
  }
  return largest;
}

// What one output of the framework is beside that of our own run of the same file.
FrameworkOutput AgainstOurs(bool of_b, std::size_t i, const std::string& name, const Array& theirs,
                            const Verification& verification) {
  FrameworkOutput output{name, SizeOf(theirs), {}, 0};
  const KeptValues& kept = *verification.kept;
  const auto& ours = of_b ? kept.outputs_b : kept.outputs_a;
  if (i >= ours.size()) return output;
  const OutputDifference& known = verification.outputs[i];
  output.max_abs = LargestDifference(ours[i], theirs);
  output.allowed = kNoiseFactor * known.noise + kOfSize * known.size;
  return output;
}

}  // namespace

Result<OpinionAsked> OpinionAsked::Prepare(const OpinionOptions& options,
                                           const CommonOptions& common, const RunnableInput& a,
                                           const RunnableInput& b) {
  OpinionAsked asked(options, common);
  asked.sides_ = {Side{&a, {}}, Side{&b, {}}};
  const Reads& reads = ReadsOf(options.framework);
  const std::string what = options.framework + " runs " + std::string(reads.files);
  for (Side& side : asked.sides_) {
    if (!CanRun(reads, *common.read, *side.input->checkpoint)) side.not_run = what;
  }
  if (!asked.sides_[0].not_run.empty() && !asked.sides_[1].not_run.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "--with: " + what + ", and neither A nor B is one");
  }
  for (const bool of_b : {false, true}) CKPT_RETURN_IF_ERROR(asked.CheckTrusted(of_b));
  CKPT_ASSIGN_OR_RETURN(asked.program_, FindProgram(options.python));
  return asked;
}

Status OpinionAsked::CheckTrusted(bool of_b) const {
  const Side& side = sides_[of_b ? 1 : 0];
  if (options_.trust_input || !side.not_run.empty()) return {};
  const Checkpoint& checkpoint = *side.input->checkpoint;
  CKPT_ASSIGN_OR_RETURN(std::vector<std::string> found,
                        formats::ForeignCode(*common_.read, checkpoint));
  for (std::string& phrase : NotUnderstoodIn(*side.input)) found.push_back(std::move(phrase));
  if (found.empty()) return {};
  return Fail(Error{ErrorCode::kUnsafe,
                    options_.framework + " is not run on it, for it may run code of the file or " +
                        "reach for other files: " + formats::FewOf(found, kMostNamed) +
                        "; --trust-input says that you know what it does",
                    checkpoint.manifest().resolved});
}

Result<FrameworkRun> OpinionAsked::RunSide(bool of_b, const Verification& verification,
                                           std::uint64_t most_bytes, Made& made) const {
  const Side& side = sides_[of_b ? 1 : 0];
  const Manifest& manifest = side.input->checkpoint->manifest();
  FrameworkRun run{of_b, {}, side.not_run, false, {}};
  if (!run.not_run.empty()) return run;
  run.failed = true;
  if (!verification.kept) {
    run.not_run = "it is not known what its inputs are to be";
    return run;
  }
  const KeptValues& kept = *verification.kept;
  FrameworkRequest request{program_, options_.framework, side.input->checkpoint.get(),
                           options_.trust_input};
  const auto& values = of_b ? kept.inputs_b : kept.inputs_a;
  for (std::size_t i = 0; i < values.size(); ++i) {
    request.inputs.emplace_back(side.input->network.inputs[i].name, values[i]);
  }
  for (const auto& [a, b] : kept.outputs) request.outputs.push_back(of_b ? b : a);
  request.most_bytes = most_bytes;
  std::cerr << "ckpt: " << EscapeForDisplay(program_) << " runs " << options_.framework << " on "
            << EscapeForDisplay(manifest.resolved) << " (" << (of_b ? "B" : "A") << ")\n";
  auto answer = RunByFramework(request, common_);
  if (!answer && answer.error().code != ErrorCode::kUnfit) return Fail(std::move(answer).error());
  if (!answer) {
    run.not_run = MessageOf(answer.error());
    std::cerr << "ckpt: " << ToString(Error{ErrorCode::kUnfit, run.not_run}) << '\n';
    return run;
  }
  if (!answer->missing_walls.empty()) {
    std::cerr << "ckpt: it ran with " << answer->missing_walls << '\n';
  }
  run.failed = false;
  run.version = std::move(answer->version);
  made = std::move(answer->outputs);
  return run;
}

Result<SecondOpinion> OpinionAsked::Ask(const Verification& verification,
                                        std::uint64_t most_bytes) const {
  SecondOpinion opinion{options_.framework, {}, {}};
  std::array<Made, 2> made;
  for (const bool of_b : {false, true}) {
    Made& theirs = made[of_b ? 1 : 0];
    CKPT_ASSIGN_OR_RETURN(FrameworkRun run, RunSide(of_b, verification, most_bytes, theirs));
    for (std::size_t i = 0; i < theirs.size(); ++i) {
      const auto& [name_a, name_b] = verification.kept->outputs[i];
      run.outputs.push_back(AgainstOurs(of_b, i, of_b ? name_b : name_a, theirs[i], verification));
    }
    opinion.sides.push_back(std::move(run));
  }
  for (std::size_t i = 0; i < std::min(made[0].size(), made[1].size()); ++i) {
    opinion.between.push_back({verification.kept->outputs[i].first, SizeOf(made[0][i]),
                               LargestDifference(made[0][i], made[1][i]), HUGE_VAL});
  }
  return opinion;
}

void Weigh(const SecondOpinion& opinion, Verification& verification) {
  if (verification.verdict == Verdict::kDifferent) return;
  std::string doubt;
  for (const FrameworkRun& run : opinion.sides) {
    const std::string side = run.of_b ? "B" : "A";
    if (run.failed) doubt = opinion.framework + " did not run " + side + ": " + run.not_run;
    for (const FrameworkOutput& output : run.outputs) {
      if (output.agrees() || !doubt.empty()) continue;
      doubt = opinion.framework + " yields \"" + output.name + "\" of " + side + " " +
              ThreeDigits(*output.max_abs) + " away from our own run, where rounding explains " +
              ThreeDigits(output.allowed);
    }
    if (!doubt.empty()) break;
  }
  if (doubt.empty()) return;
  const bool told = verification.verdict != Verdict::kCannotTell;
  verification.reason =
      told || verification.reason.empty() ? doubt : verification.reason + "; and " + doubt;
  verification.verdict = Verdict::kCannotTell;
}

}  // namespace ckpt::cli
