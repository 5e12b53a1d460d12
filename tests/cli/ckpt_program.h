// The built program, run in the folder of the test data.
#pragma once

#include <string>
#include <vector>

#include "tests/support/paths.h"
#include "tests/support/program.h"

namespace ckpt::testing {

inline ProgramResult Ckpt(const std::vector<std::string>& arguments, ProgramOptions options = {}) {
  if (options.folder.empty()) options.folder = ckpt::testing::TestData();
  return RunProgram(ckpt::testing::Program(), arguments, options);
}

}  // namespace ckpt::testing
