#include "tests/support/paths.h"

namespace ckpt::testing {

const char kSources[] = CKPT_SOURCES;
const char kProgram[] = CKPT_PROGRAM;
const char kFaultShim[] = CKPT_FAULT_SHIM;

}  // namespace ckpt::testing
