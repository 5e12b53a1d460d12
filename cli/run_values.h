// What a user gives a network that is run: values of its inputs, shapes, names.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ckpt/execution/array.h"
#include "cli/options.h"

namespace ckpt::cli {

// An .npz or .npy, whose arrays are tensors.
Result<std::unique_ptr<Checkpoint>> OpenArrays(const CommonOptions& options,
                                               const std::string& path);
// kUnsupported where the elements of the array `info` of that file are no numbers.
Status CheckNumbers(const TensorInfo& info, const std::string& path);

// The arrays of an .npz by their names; that of an .npy under the name "". Objects and strings are
// refused: kUnsupported. `most_bytes` bounds what is read.
Result<std::map<std::string, execution::Array>> ReadArrays(const CommonOptions& options,
                                                           const std::string& path,
                                                           std::uint64_t most_bytes);

// "NAME=1x224x224x3": kInvalidArgument where it is not of that form.
Result<std::map<std::string, network::Sizes>> ParseShapes(const std::vector<std::string>& texts);

}  // namespace ckpt::cli
