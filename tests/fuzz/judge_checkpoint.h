// Everything that the tool does with a checkpoint, up to the bytes of an output.
#pragma once

#include "ckpt/formats/format.h"

namespace ckpt::fuzz {

// Reads every tensor, audits, folds, rewrites the graph that its format keeps and makes the serving
// graph, as far as there is one. Ends the program
// where a promise of the library is broken: a stream that is not as long as its tensor, an error
// without words, an internal error.
void JudgeCheckpoint(const Checkpoint& checkpoint, const formats::Format& format);

// Ends the program unless `error` has words and is no internal one.
void ExpectInWords(const Error& error);

}  // namespace ckpt::fuzz
