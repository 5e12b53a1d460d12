// The renames that the user asks for (--rename).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ckpt/convert.h"

namespace ckpt {

// Renames tensors of the plan, sorts them by their new names and records what was renamed. `rename`
// maps names of the input, by which people or the file call a tensor, or of a bias that a fold
// created. Fails with kInvalidArgument for a name that neither has, an empty new name, and two
// tensors of one name.
Status Rename(const Manifest& manifest, const std::map<std::string, std::string>& rename,
              ConversionPlan& plan);

}  // namespace ckpt
