#include "serving/active_randomness.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "core/name_list.h"
#include "serving/op_facts.h"

namespace ckpt {
namespace {

constexpr std::size_t kMaxSteps = 16;     // from a random number to the comparison of a dropout
constexpr std::size_t kMaxReaders = 256;  // looked at on the way

// Scales and shifts: uniform numbers of another range.
constexpr std::array<std::string_view, 7> kScaling = {"Mul",  "Add",      "AddV2",  "Sub",
                                                      "Cast", "Identity", "RealDiv"};
// What makes a mask of uniform numbers: keep where u >= rate, or floor(u + keep).
constexpr std::array<std::string_view, 5> kMasking = {"GreaterEqual", "Greater", "Less",
                                                      "LessEqual", "Floor"};

bool FeedsDropout(const OpBodies& bodies, OpRef random) {
  std::vector<OpRef> pending = {random};
  std::set<OpId> seen = {random.op};
  std::size_t looked_at = 0;
  while (!pending.empty() && seen.size() < kMaxSteps) {
    const OpRef at = pending.back();
    pending.pop_back();
    for (const OpId reader : bodies.Consumers(at)) {
      if (++looked_at > kMaxReaders) return false;
      const std::string_view type = bodies.op({at.body, reader}).type;
      if (IsOneOf(type, kMasking)) return true;
      if (IsOneOf(type, kScaling) && seen.insert(reader).second)
        pending.push_back({at.body, reader});
    }
  }
  return false;
}

bool DrawsNumbers(const Op& op) {
  return IsRandomType(op.type) && !op.type.starts_with("StatelessRandomGet");  // seeds
}

}  // namespace

std::vector<std::string> TellRandomness(const OpBodies& bodies) {
  NameList dropouts, others;
  for (std::uint32_t body = 0; body < bodies.size(); ++body) {
    for (OpId id = 0; id < bodies.body(body).ops.size(); ++id) {
      const OpRef at{body, id};
      if (!DrawsNumbers(bodies.op(at))) continue;
      (FeedsDropout(bodies, at) ? dropouts : others).Add(bodies.Describe(at));
    }
  }
  std::vector<std::string> notes;
  if (dropouts.count() > 0) {
    notes.push_back(
        "a dropout stays active in what is written, which drops other elements at every request: " +
        dropouts.text());
  }
  if (others.count() > 0)
    notes.push_back("what is written draws random numbers at every request: " + others.text());
  return notes;
}

}  // namespace ckpt
