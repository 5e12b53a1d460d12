// One run of one file by a framework, in a scratch folder of its own.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ckpt/execution/array.h"
#include "cli/options.h"

namespace ckpt::cli {

struct FrameworkRequest {
  std::string program;    // Python, absolute
  std::string framework;  // as --with names it
  const Checkpoint* checkpoint = nullptr;
  bool trust = false;
  std::vector<std::pair<std::string, execution::Array>> inputs = {};
  std::vector<std::string> outputs = {};  // names
  std::uint64_t most_bytes = 0;           // of the outputs
  std::chrono::milliseconds wall_clock = std::chrono::minutes{10};
};

struct FrameworkAnswer {
  std::string version;
  std::vector<execution::Array> outputs;  // as they were asked for
  std::string missing_walls;              // see WalledResult
};

// kUnfit, with the last line of what the program printed, where it does not succeed.
Result<FrameworkAnswer> RunByFramework(const FrameworkRequest& request,
                                       const CommonOptions& common);

}  // namespace ckpt::cli
