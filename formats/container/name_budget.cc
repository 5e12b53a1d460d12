#include "formats/container/name_budget.h"

#include <algorithm>

#include "formats/encoding/byte_reader.h"

namespace ckpt::formats {
namespace {

constexpr std::uint64_t kFreeNameBytes = std::uint64_t{64} << 20;
constexpr std::uint64_t kNameBytesPerByte = 4;

std::uint64_t SaturatingAdd(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum = 0;
  return CheckedAdd(a, b, &sum) ? sum : UINT64_MAX;
}

}  // namespace

NameBudget::NameBudget(const Limits& limits, std::uint64_t record_bytes)
    : record_bytes_(record_bytes), at_least_(limits.memory_bytes) {}

void NameBudget::AddRecord(std::uint64_t bytes) noexcept {
  record_bytes_ = SaturatingAdd(record_bytes_, bytes);
}

bool NameBudget::Take(std::uint64_t name_bytes) noexcept {
  taken_ = SaturatingAdd(taken_, name_bytes);
  return taken_ <= Allowed();
}

Error NameBudget::Exceeded(std::string file) const {
  return Error{.code = ErrorCode::kLimitExceeded,
               .message = "its names take more than " + std::to_string(Allowed()) +
                          " bytes together, which so small a record has no use for",
               .file = std::move(file),
               .remedy = Remedy::kMoreMemory};
}

std::uint64_t NameBudget::Allowed() const noexcept {
  std::uint64_t scaled = 0;
  if (!CheckedMul(record_bytes_, kNameBytesPerByte, &scaled)) scaled = UINT64_MAX;
  return std::max(SaturatingAdd(kFreeNameBytes, scaled), at_least_);
}

}  // namespace ckpt::formats
