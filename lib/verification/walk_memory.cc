#include "verification/walk_memory.h"

#include <algorithm>
#include <utility>

namespace ckpt {
namespace {

using network::Network;

// Of a value that is no constant. The plan has checked that it can be counted.
std::uint64_t BytesOf(const Network& net, const execution::Plan& plan, network::ValueId id) {
  if (id == network::kNoValue || net.value(id).constant || !plan.shapes[id.index]) return 0;
  std::uint64_t bytes = sizeof(double);
  for (const std::int64_t size : *plan.shapes[id.index]) bytes *= static_cast<std::uint64_t>(size);
  return bytes;
}

// Of the step that takes most: its operands with their bounds, and their absolute values; its
// results, theirs in A, and a bound of each by B's and by A's formula.
std::uint64_t LargestStep(const Network& net, const execution::Plan& plan) {
  constexpr std::uint64_t kOfOperands = 3, kOfResults = 5;
  std::uint64_t largest = 0;
  for (const network::Operation& op : net.operations) {
    std::uint64_t bytes = 0;
    for (const network::ValueId id : op.operands) bytes += kOfOperands * BytesOf(net, plan, id);
    for (const network::ValueId id : op.results) bytes += kOfResults * BytesOf(net, plan, id);
    largest = std::max(largest, bytes);
  }
  return largest;
}

}  // namespace

std::uint64_t KeptBytes(const execution::Budget& budget) { return budget.memory_bytes / 8; }

Status CheckWalkMemory(const Network& a, const execution::Plan& of_a, const Network& b,
                       const execution::Plan& of_b, const execution::Budget& budget) {
  std::uint64_t of_all = 0;
  for (std::uint32_t i = 0; i < a.values.size(); ++i)
    of_all += BytesOf(a, of_a, network::ValueId{i});
  const std::uint64_t bytes = std::min(of_all, KeptBytes(budget)) +
                              std::max({of_a.peak_bytes, of_b.peak_bytes, LargestStep(b, of_b)});
  if (bytes <= budget.memory_bytes) return {};
  Error error{ErrorCode::kLimitExceeded,
              "comparing all steps takes " + std::to_string(bytes >> 20) + " MiB, and " +
                  std::to_string(budget.memory_bytes >> 20) + " MiB are allowed"};
  error.remedy = Remedy::kMoreMemory;
  return Fail(std::move(error));
}

}  // namespace ckpt
