// Opens each input of a command that takes many, several at a time, and hands the results on in
// order.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ckpt/batch_norm.h"
#include "cli/options.h"
#include "cli/report/report.h"

namespace ckpt::cli {

// An opened input with its analysis.
struct OpenedInput {
  std::unique_ptr<Checkpoint> checkpoint;
  Analysis analysis;
};
// What has to be said of an input before anything else: how its name led there, what its reader
// noted.
std::vector<std::string> NotesOf(const Checkpoint& checkpoint);
// Of the input `path`; `opened` must outlive it.
InputReport ReportOf(const std::string& path, const Result<OpenedInput>& opened);

// The checkpoint that the user's `path` names, where one is taken: a folder with a single one
// stands for it, several are kInvalidArgument.
Result<std::unique_ptr<Checkpoint>> OpenNamed(const std::string& path,
                                              const CommonOptions& options);

// `graph` names a file whose graph is evidence for an input that has none itself; empty: there is
// none. With `compute_weights` the weights of weight norms stand in the place of their parts.
Result<OpenedInput> OpenInput(const std::string& path, const CommonOptions& options,
                              const AnalysisOptions& analysis = {}, const std::string& graph = {},
                              bool compute_weights = false);

// Of a file behind a URL: all its tensors will be read, so that small ones are fetched together.
// Those of batch norms are announced of each input that is opened with its analysis.
void AnnounceTensors(const Checkpoint& checkpoint);
// A checkpoint whose batch norms an input's are held against.
Result<std::unique_ptr<Checkpoint>> OpenBeside(const std::string& path,
                                               const CommonOptions& options);

// What an input ends with that needs more memory than there is, so that the others go on.
Error NotEnoughMemory(const std::string& path);

// Runs work(i) for every input, on up to `jobs` threads, and then emit(i) in order of i, each as
// soon as its turn has come. Stops early when emit fails, and returns its error;
// what work throws is thrown here.
Status ForEachInput(std::size_t count, unsigned jobs, const std::function<void(std::size_t)>& work,
                    const std::function<Status(std::size_t)>& emit);

}  // namespace ckpt::cli
