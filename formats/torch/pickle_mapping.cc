#include "formats/torch/pickle_mapping.h"

namespace ckpt::formats {
namespace {

constexpr std::size_t kMaxKeyParts = 8;

bool IsOrderedDict(const PickleGraph& graph, PickleId id) {
  return graph.kind(id) == PickleKind::kObject &&
         graph.IsGlobal(graph.object(id).callable, "collections.OrderedDict");
}

void AddFlat(std::span<const PickleId> items, std::vector<PicklePair>& pairs) {
  for (std::size_t i = 0; i + 1 < items.size(); i += 2) pairs.emplace_back(items[i], items[i + 1]);
}

// OrderedDict([[key, value], ...]), as Python 2 wrote it.
void AddArguments(const PickleGraph& graph, PickleId arguments, std::vector<PicklePair>& pairs) {
  const auto is_sequence = [&](PickleId id) {
    return graph.kind(id) == PickleKind::kList || graph.kind(id) == PickleKind::kTuple;
  };
  const auto items = graph.TupleItems(arguments);
  if (items.size() != 1) return;
  if (graph.kind(items[0]) == PickleKind::kDict) return AddFlat(graph.items(items[0]), pairs);
  if (!is_sequence(items[0])) return;
  for (const PickleId pair : graph.items(items[0])) {
    if (!is_sequence(pair) || graph.items(pair).size() != 2) continue;
    pairs.emplace_back(graph.items(pair)[0], graph.items(pair)[1]);
  }
}

}  // namespace

bool IsMapping(const PickleGraph& graph, PickleId id) {
  if (graph.kind(id) == PickleKind::kDict || IsOrderedDict(graph, id)) return true;
  return graph.kind(id) == PickleKind::kObject && !graph.object(id).pairs().empty();
}

std::vector<PicklePair> Pairs(const PickleGraph& graph, PickleId id) {
  std::vector<PicklePair> pairs;
  if (graph.kind(id) == PickleKind::kDict) AddFlat(graph.items(id), pairs);
  if (graph.kind(id) != PickleKind::kObject) return pairs;
  if (IsOrderedDict(graph, id)) AddArguments(graph, graph.object(id).arguments, pairs);
  AddFlat(graph.object(id).pairs(), pairs);
  return pairs;
}

std::optional<PickleId> ValueOf(const PickleGraph& graph, PickleId mapping, std::string_view key) {
  std::optional<PickleId> value;
  for (const auto& [name, held] : Pairs(graph, mapping)) {
    if (graph.IsText(name, key)) value = held;
  }
  return value;
}

std::string KeyText(const PickleGraph& graph, PickleId key) {
  switch (graph.kind(key)) {
    case PickleKind::kText:
    case PickleKind::kBytes:
    case PickleKind::kGlobal:
      return std::string(graph.text(key));
    case PickleKind::kInt:
      return std::to_string(graph.integer(key));
    case PickleKind::kFloat:
      return std::to_string(graph.real(key));
    case PickleKind::kBool:
      return graph.boolean(key) ? "True" : "False";
    case PickleKind::kNone:
      return "None";
    case PickleKind::kTuple: {
      std::string text = "(";
      const auto items = graph.items(key);
      for (std::size_t i = 0; i < items.size() && i < kMaxKeyParts; ++i) {
        const bool nested = graph.kind(items[i]) == PickleKind::kTuple;
        text += (i == 0 ? "" : ", ") + (nested ? "..." : KeyText(graph, items[i]));
      }
      return text + ")";
    }
    default:
      return "?";
  }
}

}  // namespace ckpt::formats
