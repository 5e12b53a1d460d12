// Runs a program as a user would and holds what it printed.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "tests/support/temporary_folder.h"

namespace ckpt::testing {

struct ProgramResult {
  int exit_code = -1;  // 128 + signal where one ended it
  std::string out, err;
};

inline std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void WriteFile(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

struct ProgramOptions {
  std::filesystem::path folder = {};    // working folder
  std::string input = {};               // what stdin holds
  std::string stdout_path = {};         // where stdout goes instead of ProgramResult::out
  std::function<void()> in_child = {};  // before exec: limits and the like
};

inline ProgramResult RunProgram(const std::string& program,
                                const std::vector<std::string>& arguments,
                                const ProgramOptions& options = {}) {
  const TemporaryFolder folder;
  const std::string out =
      options.stdout_path.empty() ? (folder / "out").string() : options.stdout_path;
  WriteFile(folder / "in", options.input);
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    const int in_file = ::open((folder / "in").c_str(), O_RDONLY);
    const int out_file = ::open(out.c_str(), O_WRONLY | O_CREAT, 0666);
    const int err_file = ::open((folder / "err").c_str(), O_WRONLY | O_CREAT, 0666);
    ::dup2(in_file, STDIN_FILENO);
    ::dup2(out_file, STDOUT_FILENO);
    ::dup2(err_file, STDERR_FILENO);
    if (!options.folder.empty() && ::chdir(options.folder.c_str()) != 0) ::_exit(126);
    if (options.in_child) options.in_child();
    ::execv(program.c_str(), argv.data());
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ProgramResult result;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (options.stdout_path.empty()) result.out = ReadFile(out);
  result.err = ReadFile(folder / "err");
  return result;
}

}  // namespace ckpt::testing
