// The checkpoints of runs, in order: what each of the inputs that `trend` takes stands for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/options.h"

namespace ckpt::cli {

struct RunInput {
  std::string name;                // the folder, or the first of the files that the user named
  std::vector<std::string> paths;  // oldest first
};

struct RunList {
  std::vector<RunInput> runs = {};
  std::vector<NotRead> not_read = {};
};

// Files that are named go together as one run, in the order in which they are named. A folder, or a
// state file, is a run of its own: the checkpoints that its state file lists, else those whose
// paths differ in numbers alone, in natural order; with --recursive all such runs below it.
// kInvalidArgument where a run has fewer than two.
Result<RunList> RunsOf(const CommonOptions& options, const std::vector<std::string>& inputs);

// The last number in the name of a file or of its folder: "epoch_3.pt", "checkpoint-500/".
std::optional<std::uint64_t> NumberIn(const std::string& path);

}  // namespace ckpt::cli
