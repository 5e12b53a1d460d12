#include "diff/fingerprint.h"

#include <bit>
#include <cmath>

#include "fold/element_stream.h"

namespace ckpt {
namespace {

// The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
// generators", OOPSLA 2014).
std::uint64_t Mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

constexpr std::uint64_t kNotANumber = 0x7ff8000000000000U;

}  // namespace

Result<Fingerprint> FingerprintOf(const Checkpoint& checkpoint, TensorId id) {
  CKPT_ASSIGN_OR_RETURN(auto elements, ElementStream::Open(checkpoint, id));
  Fingerprint fingerprint;
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const auto piece, elements.Next());
    if (piece.empty()) return fingerprint;
    for (const double value : piece) {
      const std::uint64_t bits =
          std::isnan(value) ? kNotANumber : std::bit_cast<std::uint64_t>(value == 0 ? 0.0 : value);
      const std::uint64_t hash = Mix(bits + 0x9e3779b97f4a7c15U);
      fingerprint.sum += hash;
      fingerprint.other_sum += Mix(hash ^ 0xd1b54a32d192ed03U);
    }
  }
}

}  // namespace ckpt
