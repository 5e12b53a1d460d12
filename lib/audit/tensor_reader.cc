#include "audit/tensor_reader.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "audit/non_finite.h"
#include "ckpt/elements.h"

namespace ckpt::audit {
namespace {

// Of all vectors that one audit holds: 128 MiB as doubles, some hundred times the channels of the
// largest networks with batch norm.
constexpr std::uint64_t kMaxElementsHeld = std::uint64_t{1} << 24;

void CountDetails(Dtype part, std::span<const std::byte> bytes, ElementCounts& counts) {
  std::array<double, 4096> block;
  const std::size_t element_bytes = BitSize(part) / 8;
  while (bytes.size() >= element_bytes) {
    const std::size_t count = std::min(block.size(), bytes.size() / element_bytes);
    const std::span<double> values(block.data(), count);
    DecodeToDouble(part, bytes.first(count * element_bytes), values);
    bytes = bytes.subspan(count * element_bytes);
    for (const double value : values) {
      if (std::isnan(value)) {
        ++counts.nan;
      } else if (std::isinf(value)) {
        ++(value > 0 ? counts.positive_infinity : counts.negative_infinity);
      } else if (value != 0) {
        ++counts.finite_non_zero;
      }
    }
  }
}

}  // namespace

bool TensorReader::Readable(TensorId id) {
  return !interrupted_ && manifest().tensors[id.index].data_present && !failed_.contains(id);
}

void TensorReader::Remember(TensorId id, Error error) {
  if (error.code == ErrorCode::kInterrupted) interrupted_ = true;
  const TensorInfo& info = manifest().tensors[id.index];
  if (error.tensor.empty()) error.tensor = info.name;
  if (error.file.empty()) error.file = info.data_file;
  if (error.code == ErrorCode::kCorrupt) NoteChecked(id);
  failed_.insert(id);
  failures_.push_back({id, std::move(error)});
}

void TensorReader::NoteChecked(TensorId id) {
  if (manifest().tensors[id.index].checksum) checked_.insert(id);
}

std::size_t TensorReader::checksums_failed() const {
  std::size_t count = 0;
  for (const Failure& failure : failures_) {
    if (failure.error.code == ErrorCode::kCorrupt && checked_.contains(failure.tensor)) ++count;
  }
  return count;
}

std::optional<std::vector<double>> TensorReader::Doubles(TensorId id) {
  if (!Readable(id)) return std::nullopt;
  if (!IsReal(manifest().tensors[id.index].dtype)) {
    unsupported_.insert(id);
    return std::nullopt;
  }
  Result<std::vector<double>> values =
      ReadDoubles(checkpoint_, id, kMaxElementsHeld - elements_held_);
  if (!values) {
    Remember(id, std::move(values).error());
    return std::nullopt;
  }
  NoteChecked(id);
  elements_held_ += values->size();
  return *std::move(values);
}

std::optional<double> TensorReader::Scalar(TensorId id) {
  const auto [cached, is_new] = scalars_.try_emplace(id);
  if (is_new && manifest().tensors[id.index].shape.element_count() == 1) {
    const std::optional<std::vector<double>> values = Doubles(id);
    if (values && values->size() == 1) cached->second = values->front();
  }
  return cached->second;
}

Result<ElementCounts> TensorReader::Count(TensorId id, bool details) const {
  const Dtype dtype = manifest().tensors[id.index].dtype;
  ElementCounts counts;
  CKPT_ASSIGN_OR_RETURN(const auto stream, checkpoint_.Open(id));
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const auto chunk, stream->Next());
    if (chunk.empty()) return counts;
    if (!CanBeNonFinite(dtype)) continue;
    if (details) {
      CountDetails(PartType(dtype), chunk, counts);
    } else {
      counts.nan += CountNonFinite(dtype, chunk);
    }
  }
}

std::optional<ElementCounts> TensorReader::Scan(TensorId id) {
  if (!Readable(id)) return std::nullopt;
  Result<ElementCounts> counts = Count(id, false);
  // A second pass over the rare tensor that needs it keeps the first one fast.
  if (counts && counts->nan != 0) counts = Count(id, true);
  if (!counts) {
    Remember(id, std::move(counts).error());
    return std::nullopt;
  }
  NoteChecked(id);
  return *counts;
}

}  // namespace ckpt::audit
