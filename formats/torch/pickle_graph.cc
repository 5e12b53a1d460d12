#include "formats/torch/pickle_graph.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace ckpt::formats {
namespace {

// Of a block that was allocated apart, for the allocator.
constexpr std::uint64_t kBlockBytes = 16;
// What finding the values above each value takes: two offsets and a flag for a value, a parent for
// each item.
constexpr std::uint64_t kWalkBytes = 17, kWalkItemBytes = 4;

constexpr std::size_t kTupleBlock = std::size_t{1} << 14;  // items
constexpr unsigned kBlockShift = 32;

}  // namespace

std::span<const PickleId> PickleGraph::items(PickleId id) const {
  const Node& node = nodes_[id];
  if (node.kind != PickleKind::kTuple && node.kind != PickleKind::kPersistent) {
    return items_[node.place];
  }
  if (node.place == 0) return {};
  const auto place = static_cast<std::uint64_t>(node.integer);
  const std::vector<PickleId>& block = tuples_[static_cast<std::size_t>(place >> kBlockShift)];
  const auto first = static_cast<std::size_t>(place & ((std::uint64_t{1} << kBlockShift) - 1));
  return std::span(block).subspan(first, node.place);
}

PickleId PickleGraph::AddTuple(PickleKind kind, std::span<const PickleId> items) {
  const auto count = static_cast<std::uint32_t>(items.size());
  if (items.empty()) return Add({kind, 0, 0});
  const bool fits =
      !tuples_.empty() && tuples_.back().capacity() - tuples_.back().size() >= items.size();
  if (!fits) {
    tuples_.emplace_back();
    tuples_.back().reserve(std::max(kTupleBlock, items.size()));
  }
  std::vector<PickleId>& block = tuples_.back();
  const std::uint64_t place = (std::uint64_t{tuples_.size() - 1} << kBlockShift) | block.size();
  block.insert(block.end(), items.begin(), items.end());
  bytes_ += items.size() * (sizeof(PickleId) + kWalkItemBytes);
  return Add({kind, count, static_cast<std::int64_t>(place)});
}

PickleObject::Later& PickleGraph::LaterOf(PickleId object) {
  PickleObject& found = objects_[nodes_[object].place];
  if (found.later == nullptr) {
    found.later = std::make_unique<PickleObject::Later>();
    bytes_ += sizeof(PickleObject::Later) + kBlockBytes;
  }
  return *found.later;
}

void PickleGraph::AddState(PickleId object, PickleId state) {
  LaterOf(object).states.push_back(state);
  bytes_ += 4 * sizeof(PickleId) + kWalkItemBytes;
}

void PickleGraph::AddPairs(PickleId object, std::span<const PickleId> items) {
  std::vector<PickleId>& pairs = LaterOf(object).pairs;
  pairs.insert(pairs.end(), items.begin(), items.end());
  bytes_ += items.size() * (2 * sizeof(PickleId) + kWalkItemBytes);
}

void PickleGraph::AppendTo(PickleId object, std::span<const PickleId> items) {
  std::vector<PickleId>& appended = LaterOf(object).appended;
  appended.insert(appended.end(), items.begin(), items.end());
  bytes_ += items.size() * (2 * sizeof(PickleId) + kWalkItemBytes);
}

double PickleGraph::real(PickleId id) const { return std::bit_cast<double>(nodes_[id].integer); }

bool PickleGraph::IsText(PickleId id, std::string_view wanted) const {
  return kind(id) == PickleKind::kText && text(id) == wanted;
}

bool PickleGraph::IsGlobal(PickleId id, std::string_view name) const {
  return kind(id) == PickleKind::kGlobal && text(id) == name;
}

std::span<const PickleId> PickleGraph::TupleItems(PickleId id) const {
  return kind(id) == PickleKind::kTuple ? items(id) : std::span<const PickleId>();
}

PickleId PickleGraph::Add(Node node) {
  nodes_.push_back(node);
  bytes_ += sizeof(Node) + kWalkBytes;
  return static_cast<PickleId>(nodes_.size() - 1);
}

PickleId PickleGraph::AddNone() { return Add({PickleKind::kNone}); }
PickleId PickleGraph::AddBool(bool value) { return Add({PickleKind::kBool, 0, value ? 1 : 0}); }
PickleId PickleGraph::AddInt(std::int64_t value) { return Add({PickleKind::kInt, 0, value}); }
PickleId PickleGraph::AddFloat(double value) {
  return Add({PickleKind::kFloat, 0, std::bit_cast<std::int64_t>(value)});
}

PickleId PickleGraph::AddText(PickleKind kind, std::string text) {
  bytes_ += sizeof(std::string);
  if (text.size() >= sizeof(std::string) / 2) bytes_ += text.size() + kBlockBytes;
  texts_.push_back(std::move(text));
  return Add({kind, static_cast<std::uint32_t>(texts_.size() - 1)});
}

PickleId PickleGraph::AddGlobal(std::string_view module, std::string_view name) {
  std::string text(module);
  text += '.';
  text += name;
  const PickleId id = AddText(PickleKind::kGlobal, std::move(text));
  nodes_[id].integer = static_cast<std::int64_t>(module.size());
  return id;
}

PickleId PickleGraph::AddItems(PickleKind kind, std::vector<PickleId> items) {
  if (kind == PickleKind::kTuple || kind == PickleKind::kPersistent) return AddTuple(kind, items);
  bytes_ += sizeof(std::vector<PickleId>);
  if (!items.empty()) {
    bytes_ += items.size() * (sizeof(PickleId) + kWalkItemBytes) + kBlockBytes;
  }
  items_.push_back(std::move(items));
  return Add({kind, static_cast<std::uint32_t>(items_.size() - 1)});
}

PickleId PickleGraph::AddObject(PickleId callable, PickleId arguments) {
  bytes_ += sizeof(PickleObject);
  objects_.emplace_back(callable, arguments);
  return Add({PickleKind::kObject, static_cast<std::uint32_t>(objects_.size() - 1)});
}

void PickleGraph::Append(PickleId container, PickleId item) {
  items_[nodes_[container].place].push_back(item);
  bytes_ += 2 * sizeof(PickleId) + kWalkItemBytes;
}

bool OneOf(std::span<const std::string_view> words, std::string_view word) noexcept {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace ckpt::formats
