#include "formats/remote/covered_ranges.h"

#include <algorithm>
#include <iterator>

namespace ckpt::formats {

void CoveredRanges::Add(ByteRange range) {
  if (range.begin >= range.end) return;
  auto at = ranges_.upper_bound(range.begin);
  if (at != ranges_.begin() && std::prev(at)->second >= range.begin) --at;
  while (at != ranges_.end() && at->first <= range.end) {
    range = {std::min(range.begin, at->first), std::max(range.end, at->second)};
    at = ranges_.erase(at);
  }
  ranges_.emplace(range.begin, range.end);
}

void CoveredRanges::Remove(ByteRange range) {
  if (range.begin >= range.end) return;
  auto at = ranges_.upper_bound(range.begin);
  if (at != ranges_.begin() && std::prev(at)->second > range.begin) --at;
  while (at != ranges_.end() && at->first < range.end) {
    const ByteRange old{at->first, at->second};
    at = ranges_.erase(at);
    if (old.begin < range.begin) ranges_.emplace(old.begin, range.begin);
    if (old.end > range.end) at = ranges_.emplace(range.end, old.end).first;
  }
}

std::vector<ByteRange> CoveredRanges::Missing(ByteRange range) const {
  std::vector<ByteRange> missing;
  auto at = ranges_.upper_bound(range.begin);
  if (at != ranges_.begin()) --at;
  for (; at != ranges_.end() && at->first < range.end; ++at) {
    if (at->second <= range.begin) continue;
    if (at->first > range.begin) missing.push_back({range.begin, at->first});
    range.begin = at->second;
  }
  if (range.begin < range.end) missing.push_back(range);
  return missing;
}

bool CoveredRanges::Covers(ByteRange range) const { return Missing(range).empty(); }

bool CoveredRanges::Touches(ByteRange range) const {
  const std::vector<ByteRange> missing = Missing(range);
  return range.begin < range.end &&
         !(missing.size() == 1 && missing.front().size() == range.size());
}

}  // namespace ckpt::formats
