// What a shell offers for the value of an option.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/arguments.h"

namespace ckpt::cli {

struct Completed {
  enum class Kind : std::uint8_t { kNothing, kFiles, kWords };
  Kind kind = Kind::kNothing;
  std::vector<std::string> words = {};  // of kWords
};

// By the words that the option takes, or else by what its value is called in --help: those names
// are a closed vocabulary, in which FILE is a file wherever it stands. Absent where the name is not
// in it.
std::optional<Completed> CompletedBy(const Option& option);

}  // namespace ckpt::cli
