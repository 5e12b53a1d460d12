// A checkpoint as text that git can compare line by line (gitattributes(5), "textconv").
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "ckpt/result.h"
#include "cli/command.h"
#include "formats/container/files_read.h"

namespace ckpt::cli {

// Hands the text on, piece by piece: what the file records, then a line for each tensor, in
// natural order of their names, with dtype, shape, role, a hash of its bytes, mean and standard
// deviation. It depends on the bytes of this one file alone, not on its name or on what lies
// beside it, and a line on its own tensor alone. A file that cannot be read, or only in part, has
// lines that say why, and its size and hash: for git a failure would end the whole diff. An error
// is one of the system (kIo, kNotFound) or of `write`.
Status WriteTextOfFile(const std::string& path,
                       const std::function<Status(std::string_view)>& write);

// The same to stdout, of the one input that --textconv takes.
ExitCode PrintTextOfFile(const CommonOptions& options, const std::vector<std::string>& inputs);

}  // namespace ckpt::cli
