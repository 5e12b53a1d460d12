// The built program, run in the folder of the test data.
#pragma once

#include <string>
#include <vector>

#include "tests/support/program.h"

namespace ckpt::testing {

inline ProgramResult Ckpt(const std::vector<std::string>& arguments, ProgramOptions options = {}) {
  if (options.folder.empty()) options.folder = CKPT_TESTDATA;
  return RunProgram(CKPT_PROGRAM, arguments, options);
}

}  // namespace ckpt::testing
