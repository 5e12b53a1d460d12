// Where the kernel takes no filter of system calls for the child that reads HDF5, a note says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <nlohmann/json.hpp>

#include "tests/cli/ckpt_program.h"

namespace ckpt::testing::sandbox_note_test {
namespace {

// From here on this process and its children can load no filter: EPERM, as some containers have it.
void RefuseFilters() {
  constexpr auto kNumber = static_cast<std::uint32_t>(offsetof(seccomp_data, nr));
  constexpr auto kFirst = static_cast<std::uint32_t>(offsetof(seccomp_data, args));
  std::array<sock_filter, 7> code = {{
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, kNumber},
      {BPF_JMP | BPF_JEQ | BPF_K, 3, 0, SYS_seccomp},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 3, SYS_prctl},
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, kFirst},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, PR_SET_SECCOMP},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  }};
  sock_fprog program = {static_cast<unsigned short>(code.size()), code.data()};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) ::_exit(125);
}

std::size_t NotesOnSeccomp(const std::string& input, bool refused) {
  ProgramOptions options;
  if (refused) options.in_child = RefuseFilters;
  const ProgramResult result = Ckpt({"audit", "--format", "json", input}, options);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  if (result.exit_code != 0) return 0;
  std::size_t found = 0;
  const auto report = nlohmann::json::parse(result.out);
  for (const auto& note : report["inputs"][0]["notes"]) {
    const std::string text = note.get<std::string>();
    for (std::size_t at = text.find("seccomp"); at != std::string::npos;
         at = text.find("seccomp", at + 1))
      ++found;
  }
  return found;
}

TEST(SandboxNote, AChildWithoutAFilterOfSystemCallsIsSaidOnce) {
  for (const char* input : {"keras_h5/conv2d_bn.h5", "keras3/k3_functional.keras",
                            "keras3/k3_functional.weights.h5", "keras3/k3_many.weights.json"}) {
    EXPECT_EQ(NotesOnSeccomp(input, true), 1U) << input;
    EXPECT_EQ(NotesOnSeccomp(input, false), 0U) << input;
  }
}

}  // namespace
}  // namespace ckpt::testing::sandbox_note_test
