// Asks the user's own framework what it makes of the two files of a verification.
//
// Nothing of a framework is linked or known here: a program of the user's (Python) runs a small
// driver behind walls (cli/walled_child.h), is given the inputs as .npy and answers with an .npz.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/report/report.h"
#include "cli/runnable_input.h"

namespace ckpt::cli {

struct OpinionOptions {
  std::string framework = {};      // of --with: "tensorflow", "keras", "torch", "onnxruntime"
  std::string python = "python3";  // of --python: a path, or a name that PATH finds
  bool trust_input = false;        // of --trust-input
};

class OpinionAsked {
 public:
  // Before anything is run. kInvalidArgument where the framework runs neither file, kUnfit where
  // there is no such program, kUnsafe, naming what was found, where a file that it would run
  // brings code or reaches for files and is not trusted. All that is given must outlive this.
  static Result<OpinionAsked> Prepare(const OpinionOptions& options, const CommonOptions& common,
                                      const RunnableInput& a, const RunnableInput& b);

  // Runs the framework on each file that it can run, saying so on stderr before. A run that fails
  // is no error: FrameworkRun::not_run. `kept` are the values of our own run.
  Result<SecondOpinion> Ask(const Verification& verification, std::uint64_t most_bytes) const;

 private:
  OpinionAsked(const OpinionOptions& options, const CommonOptions& common)
      : options_(options), common_(common) {}
  using Made = std::vector<execution::Array>;
  Status CheckTrusted(bool of_b) const;
  Result<FrameworkRun> RunSide(bool of_b, const Verification& verification,
                               std::uint64_t most_bytes, Made& made) const;

  struct Side {
    const RunnableInput* input = nullptr;
    std::string not_run = {};
  };
  const OpinionOptions& options_;
  const CommonOptions& common_;
  std::string program_ = {};  // absolute
  std::array<Side, 2> sides_ = {};
};

// What the opinion makes of the verdict: what was the same cannot be told any more where the
// framework yields something else than our own run, or was to run a file and did not.
void Weigh(const SecondOpinion& opinion, Verification& verification);

}  // namespace ckpt::cli
