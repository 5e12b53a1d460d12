#include "cli/report/error_text.h"

#include "cli/report/advice.h"

namespace ckpt::cli {

std::string Describe(const Error& error) {
  Error worded = error;
  worded.message = MessageOf(error);
  return ToString(worded);
}

}  // namespace ckpt::cli
