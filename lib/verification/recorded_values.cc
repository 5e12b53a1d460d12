#include "verification/recorded_values.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace ckpt {

using execution::Array;

RecordedValues::Sums RecordedValues::SumsOf(const Array& array) {
  Sums sums;
  for (const double element : array.elements) {
    sums.sum += element;
    sums.squares += element * element;
  }
  return sums;
}

RecordedValues::Key RecordedValues::KeyOf(const Array& array) {
  Key key;
  std::copy_if(array.shape.begin(), array.shape.end(), std::back_inserter(key),
               [](std::int64_t size) { return size != 1; });
  std::sort(key.begin(), key.end());
  return key;
}

Status RecordedValues::Made(network::ValueId id, const Array& value) {
  Keep(id, value);
  return {};
}

void RecordedValues::Keep(network::ValueId id, Array value) {
  by_size_[KeyOf(value)].emplace_back(id, SumsOf(value));
  arrays_[id.index] = std::move(value);
}

std::vector<network::ValueId> RecordedValues::Like(const Array& wanted, std::size_t most) const {
  const auto found = by_size_.find(KeyOf(wanted));
  if (found == by_size_.end()) return {};
  const Sums sums = SumsOf(wanted);
  const double scale = std::max(sums.squares, 1e-300);
  std::vector<std::pair<double, network::ValueId>> ranked;
  for (const auto& [id, other] : found->second) {
    const double count = static_cast<double>(std::max<std::size_t>(wanted.elements.size(), 1));
    const double distance = std::abs(other.squares - sums.squares) / scale +
                            std::abs(other.sum - sums.sum) / std::sqrt(scale * count);
    if (std::isfinite(distance)) ranked.emplace_back(distance, id);
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<network::ValueId> ids;
  for (const auto& [distance, id] : ranked) {
    if (ids.size() == most) break;
    ids.push_back(id);
  }
  return ids;
}

}  // namespace ckpt
