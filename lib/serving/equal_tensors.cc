#include "serving/equal_tensors.h"

#include <cstring>
#include <variant>

namespace ckpt {
namespace {

// Bit for bit: a zero has a sign.
bool SameBits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}

bool SameContent(const Content& a, const Content& b) {
  if (const auto* values = std::get_if<Constant>(&a)) {
    const auto* others = std::get_if<Constant>(&b);
    return others != nullptr && SameBits(values->values, others->values);
  }
  const auto* kernel = std::get_if<ScaledKernel>(&a);
  const auto* other = std::get_if<ScaledKernel>(&b);
  return kernel != nullptr && other != nullptr && kernel->source == other->source &&
         kernel->out_view == other->out_view && kernel->in_view == other->in_view &&
         SameBits(kernel->out_factors, other->out_factors) &&
         SameBits(kernel->in_factors, other->in_factors);
}

std::uint64_t Mix(std::uint64_t hash, std::uint64_t value) {
  return (hash ^ value) * 1099511628211u;  // FNV-1a's prime
}

std::uint64_t HashOf(const FoldedTensor& tensor) {
  std::uint64_t hash = 14695981039346656037u;
  const auto add = [&](const std::vector<double>& values) {
    for (const double value : values) {
      std::uint64_t bits = 0;
      std::memcpy(&bits, &value, sizeof bits);
      hash = Mix(hash, bits);
    }
  };
  if (const auto* values = std::get_if<Constant>(&tensor.content)) add(values->values);
  if (const auto* kernel = std::get_if<ScaledKernel>(&tensor.content)) {
    hash = Mix(hash, kernel->source.index);
    add(kernel->out_factors);
    add(kernel->in_factors);
  }
  return hash;
}

}  // namespace

bool HoldTheSame(const FoldedTensor& a, const FoldedTensor& b) {
  return !a.order && !b.order && a.info.dtype == b.info.dtype && a.info.shape == b.info.shape &&
         SameContent(a.content, b.content);
}

std::map<std::uint32_t, std::uint32_t> FirstOfEqualTensors(const std::vector<FoldedTensor>& tensors,
                                                           const std::set<std::uint32_t>& among) {
  std::map<std::uint64_t, std::uint32_t> first;  // by hash: a second one of another content stays
  std::map<std::uint32_t, std::uint32_t> first_of;
  for (const std::uint32_t i : among) {
    const auto [known, is_new] = first.emplace(HashOf(tensors[i]), i);
    if (!is_new && HoldTheSame(tensors[i], tensors[known->second]))
      first_of.emplace(i, known->second);
  }
  return first_of;
}

}  // namespace ckpt
