// ckpt verify: do two files compute the same function?
#include <algorithm>
#include <optional>
#include <utility>

#include "ckpt/verify.h"
#include "cli/command.h"
#include "cli/name_map.h"
#include "cli/reporter.h"
#include "cli/run_values.h"
#include "cli/runnable_input.h"
#include "cli/second_opinion.h"

namespace ckpt::cli {
namespace {

// What a verdict means for the exit code, the gravest last.
ExitCode CodeOf(Verdict verdict) {
  switch (verdict) {
    case Verdict::kSame:
    case Verdict::kSameUpToRounding:
      return ExitCode::kClean;
    case Verdict::kDifferent:
      return ExitCode::kFindings;
    case Verdict::kCannotTell:
      return ExitCode::kBadInput;
  }
  return ExitCode::kInternal;
}

class VerifyCommand : public Command {
 public:
  void Setup(Arguments& app) override {
    app.add_option("A", a_, "The file whose function is the right one")->required();
    app.add_option("B", b_, "The file that is held against it")->required();
    app.add_option("--input", input_file_,
                   "Values of the inputs: an .npz by their names, an .npy for the only one; "
                   "without it they are drawn")
        ->type_name("FILE");
    app.add_option("--batch", batch_, "Examples at a time (default: one, then three)")
        ->check(Between(1, 1 << 20))
        ->type_name("N");
    app.add_option("--seed", verify_.seed, "Of the drawn values (default 1)")->type_name("N");
    app.add_option("--shape", shapes_,
                   "NAME=1x224x224x3: the shape of an input whose sizes the file leaves open")
        ->allow_extra_args(false)
        ->type_name("SHAPE");
    app.add_option("--map", map_file_,
                   "JSON: {\"inputs\": {\"a's name\": \"b's\"}, \"outputs\": {...}}")
        ->type_name("FILE");
    app.add_option("--until", verify_.until, "Compare only what leads to LAYER")
        ->type_name("LAYER");
    app.add_option("--graph", graph_, "A file whose network a side without one belongs to")
        ->type_name("FILE");
    app.add_option("--max-operations", max_operations_,
                   "Multiplications and additions that a run may take")
        ->type_name("N");
    AddOpinionOptions(app);
    AddInputOptions(app, options_, nullptr);
    AddReportOptions(app, CommandId::kVerify, options_);
  }

  ExitCode Run() override {
    if (Status status = CheckCommonOptions(options_); !status) return Complain(status.error());
    if (Status status = Prepare(); !status) return Complain(status.error());
    auto reporter = OpenReporter(options_);
    if (!reporter) return Complain(reporter.error());
    VerifiedPair verified{a_, b_};
    ExitCode code = ExitCode::kClean;
    if (Result<Verification> verification = Verify(); !verification) {
      code = Complain(verification.error());
      verified.error = std::move(verification).error();
    } else {
      code = CodeOf(verification->verdict);
      verified.verification = *std::move(verification);
      verified.second_opinion = std::move(opinion_);
    }
    Status status = reporter->Add(verified);
    if (status) status = reporter->Finish();
    return status ? code : std::max(code, Complain(status.error()));
  }

 private:
  void AddOpinionOptions(Arguments& app) {
    Option* const with =
        app.add_option("--with", opinion_options_.framework,
                       "Ask a framework too, which is run on the files: tensorflow, keras, torch "
                       "or onnxruntime")
            ->check(OneOfWords({"tensorflow", "keras", "torch", "onnxruntime"}))
            ->type_name("FRAMEWORK");
    app.add_option("--python", opinion_options_.python,
                   "The Python that has the framework (default python3)")
        ->needs(with)
        ->type_name("PATH");
    app.add_flag("--trust-input", opinion_options_.trust_input,
                 "Let the framework run files that bring code or reach for other files")
        ->needs(with);
  }

  Status Prepare() {
    verify_.keep_values = !opinion_options_.framework.empty();
    if (verify_.keep_values && !verify_.until.empty()) {
      return Fail(ErrorCode::kInvalidArgument,
                  "--until: a framework (--with) runs whole networks only");
    }
    if (options_.memory > 0) verify_.budget.memory_bytes = options_.memory;
    if (max_operations_ > 0) verify_.budget.operations = max_operations_;
    CKPT_ASSIGN_OR_RETURN(verify_.shapes, ParseShapes(shapes_));
    if (!map_file_.empty()) {
      CKPT_ASSIGN_OR_RETURN(PortMap map, ReadPortMap(*options_.read, map_file_));
      verify_.input_map = std::move(map.inputs);
      verify_.output_map = std::move(map.outputs);
    }
    if (input_file_.empty()) return {};
    CKPT_ASSIGN_OR_RETURN(verify_.inputs,
                          ReadArrays(options_, input_file_, verify_.budget.memory_bytes));
    return {};
  }

  Result<Verification> Verify() {
    CKPT_ASSIGN_OR_RETURN(const RunnableInput a, OpenRunnable(a_, options_, graph_));
    CKPT_ASSIGN_OR_RETURN(const RunnableInput b, OpenRunnable(b_, options_, graph_));
    CKPT_RETURN_IF_ERROR(NameOnlyInput(a.network));
    std::vector<std::int64_t> batches = {1, 3};
    if (batch_ > 0) batches = {batch_};
    if (!verify_.keep_values) return VerifyAtBatches(a.view(), b.view(), verify_, batches);
    CKPT_ASSIGN_OR_RETURN(const OpinionAsked asked,
                          OpinionAsked::Prepare(opinion_options_, options_, a, b));
    CKPT_ASSIGN_OR_RETURN(Verification found,
                          VerifyAtBatches(a.view(), b.view(), verify_, batches));
    CKPT_ASSIGN_OR_RETURN(opinion_, asked.Ask(found, verify_.budget.memory_bytes));
    Weigh(*opinion_, found);
    return found;
  }

  // An array without a name is for a lone input.
  Status NameOnlyInput(const network::Network& network) {
    const auto nameless = verify_.inputs.find("");
    if (nameless == verify_.inputs.end()) return {};
    if (network.inputs.size() != 1) {
      return Fail(ErrorCode::kInvalidArgument, "--input: A has " +
                                                   std::to_string(network.inputs.size()) +
                                                   " inputs, and an .npy holds the values of one");
    }
    auto array = verify_.inputs.extract(nameless);
    array.key() = network.inputs[0].name;
    verify_.inputs.insert(std::move(array));
    return {};
  }

  CommonOptions options_;
  VerifyOptions verify_;
  OpinionOptions opinion_options_;
  std::optional<SecondOpinion> opinion_;
  std::string a_, b_, input_file_, map_file_, graph_;
  std::vector<std::string> shapes_;
  std::int64_t batch_ = 0;
  std::uint64_t max_operations_ = 0;
};

}  // namespace

std::unique_ptr<Command> MakeVerify() { return std::make_unique<VerifyCommand>(); }

}  // namespace ckpt::cli
