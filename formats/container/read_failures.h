// What the system refused while files were read, also where a reader went on without: a companion
// that cannot be read is not the same as one that is not there.
#pragma once

#include <optional>

#include "ckpt/error.h"

namespace ckpt::formats {

// Collects the failures of this thread's reads while it lives; an inner one takes those of its own
// time. Must end on the thread, and in the order, that it began in.
class ReadFailures {
 public:
  ReadFailures() noexcept;
  ~ReadFailures();
  ReadFailures(const ReadFailures&) = delete;
  ReadFailures& operator=(const ReadFailures&) = delete;

  // The first one with the code kIo; an absent file is none.
  const std::optional<Error>& first() const noexcept { return first_; }

  // For who reads: `error` goes to the innermost collection of this thread.
  static void Note(const Error& error);

 private:
  ReadFailures* const outer_;
  std::optional<Error> first_;
};

}  // namespace ckpt::formats
