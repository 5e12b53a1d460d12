// The examples that `ckpt calibrate` runs a network over.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ckpt/calibrate.h"
#include "cli/options.h"
#include "cli/report/report.h"

namespace ckpt::cli {

// What is read of the command line: files of arrays by the inputs' names, and NAME=FILE.
struct DataFiles {
  std::vector<std::string> files = {};   // --data
  std::vector<std::string> inputs = {};  // --data-input
};

// All examples, in the order of the files, which are joined along axis 0, and what they look like.
// kInvalidArgument where an array is for no input, an input has none, or the shapes or counts do
// not agree; kLimitExceeded where they take more than `most_bytes`.
struct CalibrationData {
  std::unique_ptr<ExampleSource> examples;
  std::vector<DataRange> ranges;
};
Result<CalibrationData> ReadCalibrationData(const DataFiles& data, const network::Network& network,
                                            const CommonOptions& options, std::uint64_t most_bytes);

}  // namespace ckpt::cli
