// One reader against libFuzzer's mutants of its fixtures.
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"
#include "tests/fuzz/fuzz_targets.h"
#include "tests/fuzz/judge_checkpoint.h"
#include "tests/fuzz/judge_network.h"
#include "tests/fuzz/sealed_mutation.h"
#include "tests/support/paths.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace ckpt::fuzz {
namespace {

const Target& TheTarget() {
  static const Target& target = FindTarget(kTargetName);
  return target;
}

std::string ReadFixture(const std::string& name) {
  const std::string path =
      testing::TestData() + "/" + std::string(TheTarget().beside_folder) + "/" + name;
  std::ifstream file(path, std::ios::binary);
  if (!file.is_open()) std::abort();
  return {std::istreambuf_iterator<char>(file), {}};
}

formats::MemoryFiles FilesBeside() {
  formats::MemoryFiles files;
  for (const std::string_view name : TheTarget().beside)
    files.Add(std::string(name), std::string_view(ReadFixture(std::string(name))));
  return files;
}

// Small, so that no mutant costs seconds only because it claims much.
formats::Limits SmallLimits() {
  formats::Limits limits;
  limits.index_bytes = limits.metadata_bytes = std::uint64_t{1} << 24;
  limits.tensors = 100'000;
  limits.hdf5_seconds = 2;  // there are files in which the HDF5 library runs for ever
  return limits;
}

std::string MutateBytes(std::string bytes, std::size_t max_size) {
  const std::size_t size = bytes.size();
  bytes.resize(std::max(size, max_size));
  bytes.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(bytes.data()), size, bytes.size()));
  return bytes;
}

}  // namespace
}  // namespace ckpt::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ckpt::fuzz;
  static const ckpt::formats::MemoryFiles beside = FilesBeside();
  static const ckpt::formats::Format& format = *ckpt::formats::FindFormat(TheTarget().format);
  ckpt::formats::MemoryFiles files = beside;
  files.Add(std::string(TheTarget().file),
            std::string_view(reinterpret_cast<const char*>(data), size));
  const auto checkpoint = format.open(files, TheTarget().open, SmallLimits());
  if (!checkpoint) {
    ExpectInWords(checkpoint.error());
    return 0;
  }
  TheTarget().judge == Judge::kNetwork ? JudgeNetwork(**checkpoint)
                                       : JudgeCheckpoint(**checkpoint, format);
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned int seed) {
  using namespace ckpt::fuzz;
  std::minstd_rand random(seed);
  const auto mutate = [&](std::string bytes) { return MutateBytes(std::move(bytes), max_size); };
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (TheTarget().sealed == Sealed::kNothing || random() % 4 == 0) {
    return LLVMFuzzerMutate(data, size, max_size);
  }
  bytes = TheTarget().sealed == Sealed::kZipMembers ? MutateZipMember(bytes, random, mutate)
                                                    : SealTableBlocks(mutate(std::move(bytes)));
  if (bytes.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  bytes.copy(reinterpret_cast<char*>(data), bytes.size());
  return bytes.size();
}
