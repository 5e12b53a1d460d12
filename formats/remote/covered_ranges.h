// Which parts of a file are there.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

namespace ckpt::formats {

struct ByteRange {
  std::uint64_t begin = 0, end = 0;  // [begin, end)
  std::uint64_t size() const noexcept { return end - begin; }
  bool operator==(const ByteRange&) const = default;
};

// A set of offsets, kept as ranges that do not touch.
class CoveredRanges {
 public:
  void Add(ByteRange range);
  void Remove(ByteRange range);
  bool Covers(ByteRange range) const;
  // What of `range` is not in the set, front to back.
  std::vector<ByteRange> Missing(ByteRange range) const;
  // Is any byte of it in the set?
  bool Touches(ByteRange range) const;

 private:
  std::map<std::uint64_t, std::uint64_t> ranges_;  // begin to end
};

}  // namespace ckpt::formats
