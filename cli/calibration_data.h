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
  std::vector<std::string> files = {};   // --data; folders too
  std::vector<std::string> inputs = {};  // --data-input
};

// All examples, in the order of the files, which are joined along axis 0, and what they look like.
// They stay in their files, which are read once for each layer. kInvalidArgument where an array is
// for no input, an input has none, or the shapes or counts do not agree; kLimitExceeded where one
// example takes more than `most_bytes`.
struct CalibrationData {
  std::unique_ptr<ExampleSource> examples;
  std::vector<DataRange> ranges;
  std::vector<std::string> files = {};  // that were read
};
Result<CalibrationData> ReadCalibrationData(const DataFiles& data, const network::Network& network,
                                            const CommonOptions& options, std::uint64_t most_bytes);

}  // namespace ckpt::cli
