// Files cut short and damaged bit by bit: an error or a value, in bounded time, and never more.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <chrono>
#include <map>

#include "tests/hdf5/hdf5_support.h"
#include "tests/support/sanitized.h"

namespace ckpt::formats::damage_test {
namespace {

using ::ckpt::testing::OpenHdf5Bytes;
using ::ckpt::testing::ReadDataset;
using ::ckpt::testing::Testdata;

// One of so many of the damages; each takes a child, which takes long to make with sanitizers.
constexpr std::size_t kEvery = ::ckpt::testing::kSanitized ? 10 : 1;

// A hang costs this much; a good file takes milliseconds.
constexpr Limits kLimits{.hdf5_memory_bytes = std::uint64_t{256} << 20, .hdf5_seconds = 2};

std::vector<std::byte> BytesOf(const char* name) {
  const auto file = SystemFiles().Open(Testdata(name));
  EXPECT_TRUE(file);
  std::vector<std::byte> bytes((*file)->size());
  EXPECT_TRUE((*file)->ReadAt(0, bytes));
  return bytes;
}

// Opens and reads everything; counts how it ended, by code, and by "died" where the child did.
class Outcomes {
 public:
  void Add(std::vector<std::byte> bytes) {
    const auto file = OpenHdf5Bytes(std::move(bytes), kLimits);
    if (!file) return Count(file.error());
    for (const Hdf5Object& object : (*file)->objects()) {
      if (object.kind != Hdf5Object::Kind::kDataset) continue;
      const auto read = ReadDataset(**file, object);
      if (!read) return Count(read.error());
      EXPECT_EQ(read->size(), object.byte_size);
    }
    ++counts_["read"];
  }

  int operator[](const std::string& what) const {
    const auto found = counts_.find(what);
    return found == counts_.end() ? 0 : found->second;
  }

  void Print(const char* title) const {
    std::printf("%s:", title);
    for (const auto& [what, count] : counts_) std::printf(" %s %d", what.c_str(), count);
    std::printf("\n");
  }

 private:
  void Count(const Error& error) {
    EXPECT_EQ(error.file, "memory.h5") << ToString(error);
    EXPECT_TRUE(error.code == ErrorCode::kCorrupt || error.code == ErrorCode::kLimitExceeded ||
                error.code == ErrorCode::kUnsupported || error.code == ErrorCode::kUnsafe)
        << ToString(error);
    ++counts_[std::string(ErrorCodeName(error.code))];
    if (error.message.find("died") != std::string::npos) ++counts_["died"];
    if (error.message.find("hdf5_seconds") != std::string::npos) ++counts_["hung"];
  }

  std::map<std::string, int> counts_;
};

class DamagedFile : public ::testing::TestWithParam<const char*> {};

TEST_P(DamagedFile, CutShortIsRefusedAtEveryLength) {
  const auto bytes = BytesOf(GetParam());
  Outcomes outcomes;
  int lengths = 0;
  for (std::size_t size = 0; size < bytes.size();
       size += kEvery * (size < 1024 ? 7 : 61), ++lengths) {
    outcomes.Add({bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)});
  }
  outcomes.Print("cut short");
  EXPECT_EQ(outcomes["corrupt"], lengths);
}

TEST_P(DamagedFile, AChangedByteIsAnErrorOrAValue) {
  const auto bytes = BytesOf(GetParam());
  Outcomes outcomes;
  const std::size_t end = std::min<std::size_t>(bytes.size() - 1, 4096);
  for (std::size_t at = 0; at < end;
       at += 2 * kEvery) {  // half of the bytes, to stay below a minute
    auto damaged = bytes;
    // Another bit for each place; every fourth byte becomes its complement.
    damaged[at + at / 2 % 2] ^= at % 8 == 6 ? std::byte{0xff} : std::byte{1} << (at / 2 * 5 % 8);
    outcomes.Add(std::move(damaged));
  }
  outcomes.Print("changed bytes");
  EXPECT_GT(outcomes["read"], 0);
  EXPECT_GT(outcomes["corrupt"], 0);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
}

INSTANTIATE_TEST_SUITE_P(Hdf5, DamagedFile,
                         ::testing::Values("hdf5/small.h5", "hdf5/small_v110.h5"),
                         [](const auto& name) {
                           return std::string(name.param).find("v110") == std::string::npos
                                      ? "small"
                                      : "small_v110";
                         });

}  // namespace
}  // namespace ckpt::formats::damage_test
