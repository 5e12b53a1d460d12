#include "verification/reference_values.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

namespace ckpt {

using execution::Array;
using network::kNoValue;
using network::Operation;

namespace {

// Kept whatever they take: what a step of B is compared with, and what that is computed of.
constexpr std::size_t kLeastKept = 2;
// An operation that has to run again more often than this on the average wants more memory.
constexpr std::uint64_t kMostRepeats = 32;

std::uint64_t BytesOf(const Array& array) { return array.elements.size() * sizeof(double); }

}  // namespace

ReferenceValues::ReferenceValues(const Runnable& a, const execution::Budget& budget,
                                 std::uint64_t kept_bytes)
    : network_(*a.network),
      weights_(*a.weights),
      budget_(budget),
      most_bytes_(kept_bytes),
      streamed_(execution::StreamedConstants(*a.network, *a.weights)),
      outlines_(network_.values.size()) {}

ReferenceValues::Sums ReferenceValues::SumsOf(const Array& array) {
  Sums sums;
  for (const double element : array.elements) {
    sums.sum += element;
    sums.squares += element * element;
  }
  return sums;
}

ReferenceValues::Key ReferenceValues::KeyOf(const network::Sizes& shape) {
  Key key;
  std::copy_if(shape.begin(), shape.end(), std::back_inserter(key),
               [](std::int64_t size) { return size != 1; });
  std::sort(key.begin(), key.end());
  return key;
}

void ReferenceValues::Note(network::ValueId id, const Array& value) {
  by_size_[KeyOf(value.shape)].emplace_back(id, SumsOf(value));
  outlines_[id.index] = Outline{value.shape, value.kind};
}

Status ReferenceValues::Made(network::ValueId id, const Array& value) {
  Note(id, value);
  if (kept_bytes_ + BytesOf(value) > most_bytes_) return {};
  used_.push_back(id.index);
  kept_[id.index] = {std::make_shared<const Array>(value), std::prev(used_.end())};
  kept_bytes_ += BytesOf(value);
  return {};
}

void ReferenceValues::Hold(network::ValueId id, Array value) {
  Note(id, value);
  kept_[id.index] = {std::make_shared<const Array>(std::move(value)), {}};
}

void ReferenceValues::Keep(std::uint32_t id, SharedArray array) const {
  kept_bytes_ += BytesOf(*array);
  used_.push_front(id);
  kept_[id] = {std::move(array), used_.begin()};
  while (kept_bytes_ > most_bytes_ && used_.size() > kLeastKept) {
    const auto last = kept_.find(used_.back());
    kept_bytes_ -= BytesOf(*last->second.array);
    kept_.erase(last);
    used_.pop_back();
  }
}

SharedArray ReferenceValues::Find(std::uint32_t id) const {
  const auto found = kept_.find(id);
  if (found == kept_.end()) return nullptr;
  auto& place = found->second.place;
  if (place) used_.splice(used_.begin(), used_, *place);
  return found->second.array;
}

Result<SharedArray> ReferenceValues::Get(network::ValueId id) const {
  if (SharedArray found = Find(id.index)) return found;
  return ComputeAgain(id);
}

std::vector<std::uint32_t> ReferenceValues::OperationsFor(network::ValueId id) const {
  std::set<std::uint32_t> operations;
  std::vector<network::ValueId> open = {id};
  while (!open.empty()) {
    const network::ValueId at = open.back();
    open.pop_back();
    const auto& producer = network_.value(at).producer;
    if (!producer || kept_.contains(at.index) || !operations.insert(producer->index).second) {
      continue;
    }
    for (const network::ValueId operand : network_.operation(*producer).operands) {
      if (operand != kNoValue) open.push_back(operand);
    }
  }
  return {operations.begin(), operations.end()};
}

Result<SharedArray> ReferenceValues::ComputeAgain(network::ValueId id) const {
  const std::vector<std::uint32_t> operations = OperationsFor(id);
  computed_again_ += operations.size();
  if (computed_again_ > kMostRepeats * (network_.operations.size() + 1)) {
    Error error{ErrorCode::kLimitExceeded, "the values that are compared do not fit memory"};
    error.remedy = Remedy::kMoreMemory;
    return Fail(std::move(error));
  }
  Pending pending;
  ++pending.readers[id.index];  // the caller
  for (const std::uint32_t i : operations) {
    for (const network::ValueId operand : network_.operations[i].operands) {
      if (operand == kNoValue) continue;
      ++pending.readers[operand.index];
      // What is kept now may be let go on the way.
      if (SharedArray found = Find(operand.index)) pending.arrays[operand.index] = found;
    }
  }
  for (const std::uint32_t i : operations) CKPT_RETURN_IF_ERROR(RunAgain(i, pending));
  const auto found = pending.arrays.find(id.index);
  if (found == pending.arrays.end()) return Fail(ErrorCode::kInternal, "a value that is not made");
  return found->second;
}

Result<SharedArray> ReferenceValues::Take(network::ValueId operand, Pending& pending) const {
  if (const auto found = pending.arrays.find(operand.index); found != pending.arrays.end()) {
    SharedArray array = found->second;
    if (--pending.readers[operand.index] == 0) pending.arrays.erase(found);
    return array;
  }
  const auto& constant = network_.value(operand).constant;
  if (!constant) return Fail(ErrorCode::kInternal, "a value that is not made");
  CKPT_ASSIGN_OR_RETURN(
      Array array, execution::ReadOperand(*constant, weights_, budget_, streamed_[operand.index]));
  return std::make_shared<const Array>(std::move(array));
}

Status ReferenceValues::RunAgain(std::uint32_t operation, Pending& pending) const {
  const Operation& op = network_.operations[operation];
  std::vector<SharedArray> read;
  std::vector<const Array*> operands;
  for (const network::ValueId operand : op.operands) {
    if (operand == kNoValue) {
      operands.push_back(nullptr);
      continue;
    }
    CKPT_ASSIGN_OR_RETURN(SharedArray array, Take(operand, pending));
    operands.push_back(array.get());
    read.push_back(std::move(array));
  }
  CKPT_ASSIGN_OR_RETURN(std::vector<Array> results,
                        execution::Evaluate(op.computation, operands, op.results.size(), budget_));
  for (std::size_t k = 0; k < results.size(); ++k) {
    if (op.results[k] == kNoValue) continue;
    const std::uint32_t made = op.results[k].index;
    auto array = std::make_shared<const Array>(std::move(results[k]));
    if (pending.readers.contains(made)) pending.arrays[made] = array;
    if (!kept_.contains(made)) Keep(made, std::move(array));
  }
  return {};
}

std::vector<network::ValueId> ReferenceValues::Like(const Array& wanted, const Array* bound,
                                                    std::size_t most) const {
  const auto found = by_size_.find(KeyOf(wanted.shape));
  if (found == by_size_.end()) return {};
  const Sums sums = SumsOf(wanted), allowed = bound == nullptr ? Sums{} : SumsOf(*bound);
  const double count = static_cast<double>(std::max<std::size_t>(wanted.elements.size(), 1));
  const double size = std::sqrt(std::max(sums.squares, 1e-300)), spread = size * std::sqrt(count);
  // Elements within the bound have sums within its sum and a length within its length. A bound by
  // A's own formula may be wider, and hardly by more than a hundredth.
  const double of_sum = std::max(allowed.sum, 1e-2 * spread);
  const double of_length = std::max(std::sqrt(allowed.squares), 1e-2 * size);
  std::vector<std::pair<double, network::ValueId>> ranked;
  for (const auto& [id, other] : found->second) {
    const double sum = std::abs(other.sum - sums.sum);
    const double length = std::abs(std::sqrt(other.squares) - std::sqrt(sums.squares));
    if (sum <= of_sum && length <= of_length) ranked.emplace_back(length / size + sum / spread, id);
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
