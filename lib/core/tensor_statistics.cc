#include "ckpt/tensor_statistics.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ckpt/elements.h"

namespace ckpt {
namespace {

constexpr std::size_t kBlock = 4096;  // elements widened at a time

// The mean of finite values whose sum may be beyond the range of double.
double MeanOf(std::span<const double> values) {
  const auto count = static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += value;
  if (std::isfinite(sum)) return sum / count;
  sum = 0;
  for (const double value : values) sum += value / count;
  return sum;
}

}  // namespace

double TensorStatistics::deviation() const {
  return finite == 0 ? std::numeric_limits<double>::quiet_NaN()
                     : std::sqrt(squares / static_cast<double>(finite));
}

void TensorStatistics::Add(std::span<const double> values) {
  std::vector<double> numbers;
  numbers.reserve(values.size());
  TensorStatistics block;
  for (const double value : values) {
    if (std::isfinite(value)) {
      numbers.push_back(value);
    } else {
      ++(std::isnan(value) ? block.nan : block.infinite);
    }
  }
  block.finite = numbers.size();
  if (!numbers.empty()) {
    const auto [least, most] = std::minmax_element(numbers.begin(), numbers.end());
    block.min = *least;
    block.max = *most;
    block.mean = MeanOf(numbers);
    for (const double value : numbers) block.squares += (value - block.mean) * (value - block.mean);
  }
  Add(block);
}

void TensorStatistics::Add(Dtype dtype, std::span<const std::byte> bytes) {
  const std::size_t bits = BitSize(dtype);
  std::vector<double> values;
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), kBlock * bits / 8));
    values.resize(part.size() * 8 / bits);
    DecodeToDouble(dtype, part, values);
    Add(values);
    bytes = bytes.subspan(part.size());
  }
}

// Chan, Golub and LeVeque: "Updating formulae and a pairwise algorithm for computing sample
// variances" (1979).
void TensorStatistics::Add(const TensorStatistics& other) {
  nan += other.nan;
  infinite += other.infinite;
  if (other.finite == 0) return;
  if (finite == 0) {
    min = other.min;
    max = other.max;
    mean = other.mean;
    squares = other.squares;
    finite = other.finite;
    return;
  }
  const auto mine = static_cast<double>(finite), theirs = static_cast<double>(other.finite);
  const double weight = theirs / (mine + theirs);
  const double step = other.mean - mean;
  squares += other.squares + step * step * mine * weight;
  mean = mean * (1 - weight) + other.mean * weight;
  min = std::min(min, other.min);
  max = std::max(max, other.max);
  finite += other.finite;
}

Result<std::optional<TensorStatistics>> MeasureTensor(const Checkpoint& checkpoint, TensorId id) {
  const TensorInfo& info = checkpoint.manifest().tensors[id.index];
  if (!IsReal(info.dtype) || !info.data_present) return std::optional<TensorStatistics>();
  CKPT_ASSIGN_OR_RETURN(auto stream, checkpoint.Open(id));
  TensorStatistics statistics;
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const auto bytes, stream->Next());
    if (bytes.empty()) return std::optional(statistics);
    statistics.Add(info.dtype, bytes);
  }
}

}  // namespace ckpt
