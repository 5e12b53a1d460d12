// How the tensors of two files were matched, in words.
#pragma once

#include <string>

#include "diff/match.h"

namespace ckpt {

// "names", "names, after stripping \"module.\" in A"; across frameworks how many pairs each way of
// looking found, and how many were put in another order: "conventions of naming (12) and content
// (30); 17 in another order of axes".
std::string MappingText(const Matching& matching);
// Were all pairs found by their names as they stand, and none put in another order?
bool IsByNamesAlone(const Matching& matching);

}  // namespace ckpt
