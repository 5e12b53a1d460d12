#include "tf_graph/pattern_walk.h"

#include <algorithm>

namespace ckpt::tf_graph {
namespace {

// Readers of one operation that are looked at; gradients and summaries read a scale too.
constexpr std::size_t kMaxReaders = 64;
// Casts and identities between two operations of the pattern.
constexpr std::size_t kMaxBetween = 4;

bool IsBetween(std::string_view type) {
  return type == "Cast" || type == "Identity" || type == "StopGradient";
}

}  // namespace

std::optional<OpRef> PatternWalk::SourceOf(OpRef at, std::size_t input) const {
  auto value = bodies_.Input(at, input);
  for (std::size_t i = 0; value && i < kMaxBetween && IsBetween(op(value->at).type); ++i) {
    value = bodies_.Input(value->at, 0);
  }
  return value ? std::optional(value->at) : std::nullopt;
}

std::vector<InputPlace> PatternWalk::ReadersOf(OpRef at) const {
  std::vector<InputPlace> readers;
  std::vector<OpRef> sources = {at};
  for (std::size_t i = 0; i < sources.size() && readers.size() < kMaxReaders; ++i) {
    const std::span<const OpId> ids = bodies_.Consumers(sources[i]);
    for (const OpId id : ids.first(std::min(ids.size(), kMaxReaders))) {
      const OpRef reader{at.body, id};
      if (IsBetween(op(reader).type) && sources.size() < kMaxBetween) sources.push_back(reader);
      const std::vector<OpEdge>& inputs = op(reader).inputs;
      for (std::size_t input = 0; input < inputs.size() && input < 2; ++input) {
        if (inputs[input].op == sources[i].op) readers.push_back({reader, input});
      }
    }
  }
  return readers;
}

std::optional<PatternWalk::Sum> PatternWalk::VarianceBehind(OpRef root) const {
  const auto sum = SourceOf(root, 0);
  if (!sum || !IsAdd(op(*sum).type) || op(*sum).inputs.size() != 2) return std::nullopt;
  for (std::size_t i = 0; i < 2; ++i) {
    if (const auto epsilon = EpsilonAt(*sum, i)) return Sum{*sum, {*sum, 1 - i}, *epsilon};
  }
  return std::nullopt;
}

std::optional<double> PatternWalk::EpsilonAt(OpRef sum, std::size_t input) const {
  for (const OpValue& origin : bodies_.OriginsOfInput(sum, input).values) {
    const std::optional<double> value = ScalarConstant(op(origin.at));
    // A variance of one channel that was made a constant is no epsilon.
    const bool scalar =
        value && op(origin.at).constant->shape.rank() == 0 && *value >= 0 && *value < 1;
    return scalar ? value : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace ckpt::tf_graph
