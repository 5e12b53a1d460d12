// Runs somebody else's program on a file that is not trusted, behind what walls the system has.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "ckpt/result.h"

namespace ckpt::cli {

struct WalledProgram {
  std::vector<std::string> command;  // its path first
  std::filesystem::path folder;      // where it works, empty: the only place where it may write
  std::filesystem::path output;      // a file that takes what it prints, created
  std::chrono::milliseconds wall_clock = std::chrono::minutes{10};  // and of processor time
  std::uint64_t memory_bytes = std::uint64_t{8} << 30;
  std::uint64_t file_bytes = std::uint64_t{4} << 30;  // of one file that it writes
};

struct WalledResult {
  int status = 0;                  // as waitpid tells it
  bool out_of_time = false;        // it was ended for that
  std::string missing_walls = {};  // for people: what the kernel refused; empty: nothing
};

// Starts it in a process group of its own, without descriptors but its output, with an environment
// of PATH, HOME and TMPDIR (its folder) and what keeps frameworks quiet and off a GPU; it can
// create no socket, can trace no process, and writes below `folder` alone. Waits for its end, then
// ends what it left behind. kIo where it cannot be started.
Result<WalledResult> RunWalled(const WalledProgram& program);

}  // namespace ckpt::cli
