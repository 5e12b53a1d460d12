// Recognises, by its first bytes, what lies where a checkpoint should be: a web page, an archive, a
// text. Only for messages: a reader decides by itself what it takes.
#pragma once

#include <string>

#include "formats/container/file.h"

namespace ckpt::formats {

// `error`, or a clearer one where the file that failed is none of the formats here at all: a Git
// LFS pointer, a web page, a packed file, a text under the name of a binary format. `path` is the
// file where the error names none. Only kCorrupt and kUnsupported are looked into.
Error WithForeignContent(const Files& files, const std::string& path, Error error);

}  // namespace ckpt::formats
