// What a file brings along that its own framework would run, or use to read and write other files,
// once it loads or runs it.
#pragma once

#include <string>
#include <vector>

#include "ckpt/formats/format.h"

namespace ckpt::formats {

// Phrases for people, each once, in the order of the file: "the class Lambda", "the operation
// PyFunc". Empty where nothing was found. Looks at configs of Keras (every object in them, however
// deep), at the operations of TensorFlow graphs (of every function, whether called or not) and at
// the code of TorchScript; of other formats nothing is known, and nothing found. Errors are those
// of a text that cannot be parsed: such a file is not to be trusted either.
Result<std::vector<std::string>> ForeignCode(const Files& files, const Checkpoint& checkpoint);

// Is it an archive of TorchScript, which holds its network as code?
bool IsTorchScript(const Files& files, const Checkpoint& checkpoint);

}  // namespace ckpt::formats
