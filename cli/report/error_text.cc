#include "cli/report/error_text.h"

namespace ckpt::cli {

std::string Describe(const Error& error) {
  switch (error.remedy) {
    case Remedy::kNone:
      return ToString(error);
    case Remedy::kMoreMemory:
      return ToString(error) + "; --memory SIZE raises this limit";
  }
  return ToString(error);
}

}  // namespace ckpt::cli
