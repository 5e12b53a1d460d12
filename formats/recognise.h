// Which format the content of a file is of, without opening it as one.
#pragma once

#include <optional>
#include <string>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {

// How sure the best of the formats is of the file, by its first and last bytes; kNo where none
// takes it. Nothing where the file cannot be read.
std::optional<Match> RecogniseFile(const Files& files, const std::string& path);

}  // namespace ckpt::formats
