#include "tests/fuzz/fuzz_targets.h"

const char ckpt::fuzz::kTargetName[] = CKPT_FUZZ_TARGET;
