// How much the names of one file may take in memory, all together.
#pragma once

#include <cstdint>
#include <string>

#include "ckpt/formats/format.h"

namespace ckpt::formats {

// Formats that nest spell a name out of the names around it, so that a few bytes in the file can be
// a long name in memory. All names together may take kFreeNameBytes and kNameBytesPerByte for each
// byte of the record that spells them, or Limits::memory_bytes where that is more. Real files stay
// far below: their names are shorter than their records.
class NameBudget {
 public:
  explicit NameBudget(const Limits& limits, std::uint64_t record_bytes = 0);

  // More of the record was read.
  void AddRecord(std::uint64_t bytes) noexcept;
  // Another name; false where it no longer fits, and ever after.
  [[nodiscard]] bool Take(std::uint64_t name_bytes) noexcept;
  // kLimitExceeded, for what did not fit.
  Error Exceeded(std::string file) const;

 private:
  std::uint64_t Allowed() const noexcept;

  std::uint64_t record_bytes_, at_least_, taken_ = 0;
};

}  // namespace ckpt::formats
