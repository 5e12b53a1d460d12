#include "formats/keras/variables/trainable_order.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string_view>
#include <utility>

#include "formats/keras/model/variable_names.h"
#include "formats/keras/variables/variable_groups.h"

namespace ckpt::formats::keras {
namespace {

constexpr std::size_t kMaxDepth = 32;          // of objects in objects
constexpr std::size_t kMaxSteps = 2'000'000;   // of the whole search
constexpr std::size_t kMaxOpenOrders = 1'000;  // that one object's layers may stand in, half way

// Attributes that a class of Keras always makes in this order: Bidirectional, MultiHeadAttention,
// EinsumDense-based attention of Keras 2. By the attribute's name, with or without "_" before it.
constexpr std::array<std::array<std::string_view, 4>, 2> kOrderOfAttributes = {{
    {"forward_layer", "backward_layer", "", ""},
    {"query_dense", "key_dense", "value_dense", "output_dense"},
}};

using NodeIndex = std::uint32_t;

struct Node {
  std::vector<TensorId> own;
  std::vector<std::vector<NodeIndex>> chains;  // each in the order of the model
  // How many variables the first 0, 1, ... objects of a chain have.
  std::vector<std::vector<std::size_t>> sizes;
  std::size_t size = 0;  // variables in it and below it
};

// Which chain of its owner an object stands in, and where.
struct Place {
  std::string chain;
  std::uint64_t number = 0;
};

// `way` leads from the owner: "bn" is an attribute, "blocks/dense_1" stands in a container.
Place PlaceOf(std::string_view way) {
  if (way.find('/') == std::string_view::npos) {
    const std::string_view plain = way.starts_with('_') ? way.substr(1) : way;
    for (const auto& attributes : kOrderOfAttributes) {
      const auto found = std::find(attributes.begin(), attributes.end(), plain);
      if (found != attributes.end()) {
        return {"/" + std::string(attributes[0]),
                static_cast<std::uint64_t>(found - attributes.begin())};
      }
    }
    return {std::string(way), 0};
  }
  const std::string_view stem = WithoutCounter(way);
  Place place{std::string(stem), 0};
  if (stem.size() < way.size()) {
    const std::string_view digits = way.substr(stem.size() + 1);
    std::from_chars(digits.data(), digits.data() + digits.size(), place.number);
  }
  return place;
}

// The objects of the file as they hold each other.
class Tree {
 public:
  explicit Tree(const std::vector<TrainableGroup>& groups) {
    nodes_.emplace_back();
    std::vector<std::pair<std::string, NodeIndex>> open = {{"", 0}};  // from the model down
    std::vector<std::map<std::string, std::map<std::uint64_t, NodeIndex>>> places(1);
    for (const TrainableGroup& group : groups) {
      if (group.path.empty()) {
        nodes_[0].own = group.variables;
        continue;
      }
      while (!IsBelow(group.path, open.back().first)) open.pop_back();
      const auto& [owner_path, owner] = open.back();
      const std::string_view way =
          std::string_view(group.path).substr(owner_path.empty() ? 0 : owner_path.size() + 1);
      const Place place = PlaceOf(way);
      const auto node = static_cast<NodeIndex>(nodes_.size());
      usable_ = usable_ && places[owner][place.chain].emplace(place.number, node).second &&
                open.size() < kMaxDepth;
      nodes_.push_back({group.variables, {}, {}, 0});
      places.emplace_back();
      owners_.push_back(owner);
      open.emplace_back(group.path, node);
    }
    for (NodeIndex i = 0; i < nodes_.size(); ++i) {
      for (const auto& [name, members] : places[i]) AddChain(i, members);
    }
    AddSizes();
  }

  // Has every object one place?
  bool usable() const { return usable_; }
  const std::vector<Node>& nodes() const { return nodes_; }

 private:
  static bool IsBelow(const std::string& path, const std::string& top) {
    return top.empty() ||
           (path.size() > top.size() && path.starts_with(top) && path[top.size()] == '/');
  }

  void AddChain(NodeIndex owner, const std::map<std::uint64_t, NodeIndex>& members) {
    auto& chain = nodes_[owner].chains.emplace_back();
    for (const auto& [number, node] : members) chain.push_back(node);
  }

  // What holds no variable needs no place. Owners stand before what they hold.
  void AddSizes() {
    for (NodeIndex i = static_cast<NodeIndex>(nodes_.size()); i-- > 0;) {
      nodes_[i].size += nodes_[i].own.size();
      if (i > 0) nodes_[owners_[i - 1]].size += nodes_[i].size;
    }
    for (Node& node : nodes_) {
      for (auto& chain : node.chains) {
        std::erase_if(chain, [this](NodeIndex held) { return nodes_[held].size == 0; });
      }
      std::erase_if(node.chains, [](const auto& chain) { return chain.empty(); });
      for (const auto& chain : node.chains) {
        auto& sizes = node.sizes.emplace_back(1, 0);
        for (const NodeIndex held : chain) sizes.push_back(sizes.back() + nodes_[held].size);
      }
    }
  }

  std::vector<Node> nodes_;        // the model itself first
  std::vector<NodeIndex> owners_;  // of all nodes but the first
  bool usable_ = true;
};

// How an object's variables can stand from some place on.
struct Fit {
  int orders = 0;  // 0, 1, or 2 for more
  std::vector<TensorId> order = {};
};

class OrderSearch {
 public:
  OrderSearch(const std::vector<Node>& nodes, const std::vector<TensorInfo>& tensors,
              const std::vector<Shape>& shapes)
      : nodes_(nodes), tensors_(tensors), shapes_(shapes) {}

  // Is there one order of the object's variables that fits the shapes from `start` on?
  Fit At(NodeIndex index, std::size_t start) {
    const Node& node = nodes_[index];
    steps_taken_ += node.own.size();
    if (start + node.size > shapes_.size()) return {};
    for (std::size_t i = 0; i < node.own.size(); ++i) {
      if (tensors_[node.own[i].index].shape != shapes_[start + i]) return {};
    }
    Fit fit{1, node.own};
    return node.chains.empty() ? fit : Merge(node, start, std::move(fit));
  }

  bool gave_up() const { return gave_up_; }

 private:
  using Heads = std::vector<std::uint32_t>;  // how much of each chain stands already
  struct Reached {
    int orders = 0;
    std::size_t before = 0, chain = 0;  // the state one object earlier, the chain of that object
    Fit last = {};
  };
  using Step = std::vector<std::pair<Heads, Reached>>;

  // Lays the chains side by side, one object at a time.
  Fit Merge(const Node& node, std::size_t start, Fit own) {
    std::vector<Step> steps;
    Reached nothing;
    nothing.orders = 1;
    steps.push_back({{Heads(node.chains.size(), 0), std::move(nothing)}});
    std::size_t objects = 0;
    for (const auto& chain : node.chains) objects += chain.size();
    for (std::size_t i = 0; i < objects; ++i) {
      Step next = After(node, start, steps.back());
      if (next.empty() || gave_up_) return {};
      steps.push_back(std::move(next));
    }
    own.orders = steps.back()[0].second.orders;
    if (own.orders == 1) Trace(steps, own.order);
    return own;
  }

  Step After(const Node& node, std::size_t start, const Step& step) {
    std::map<Heads, Reached> next;
    for (std::size_t state = 0; state < step.size(); ++state) {
      const auto& [heads, reached] = step[state];
      for (std::size_t chain = 0; chain < heads.size(); ++chain) {
        steps_taken_ += heads.size();
        gave_up_ = gave_up_ || steps_taken_ > kMaxSteps || next.size() > kMaxOpenOrders;
        if (gave_up_) return {};
        if (heads[chain] == node.chains[chain].size()) continue;
        Fit fit = At(node.chains[chain][heads[chain]], start + SizeOf(node, heads));
        if (fit.orders == 0) continue;
        Heads after = heads;
        ++after[chain];
        Reached& known = next[std::move(after)];
        known.orders = std::min(2, known.orders + reached.orders * fit.orders);
        known.before = state;
        known.chain = chain;
        known.last = std::move(fit);
      }
    }
    return {std::make_move_iterator(next.begin()), std::make_move_iterator(next.end())};
  }

  static std::size_t SizeOf(const Node& node, const Heads& heads) {
    std::size_t size = node.own.size();
    for (std::size_t i = 0; i < heads.size(); ++i) size += node.sizes[i][heads[i]];
    return size;
  }

  static void Trace(const std::vector<Step>& steps, std::vector<TensorId>& order) {
    std::vector<const Fit*> objects;
    std::size_t state = 0;
    for (std::size_t i = steps.size(); i-- > 1;) {
      const Reached& reached = steps[i][state].second;
      objects.push_back(&reached.last);
      state = reached.before;
    }
    for (auto fit = objects.rbegin(); fit != objects.rend(); ++fit) {
      order.insert(order.end(), (*fit)->order.begin(), (*fit)->order.end());
    }
  }

  const std::vector<Node>& nodes_;
  const std::vector<TensorInfo>& tensors_;
  const std::vector<Shape>& shapes_;
  std::size_t steps_taken_ = 0;
  bool gave_up_ = false;
};

}  // namespace

std::optional<std::vector<TensorId>> OrderByShapes(const std::vector<TrainableGroup>& groups,
                                                   const std::vector<TensorInfo>& tensors,
                                                   const std::vector<Shape>& shapes) {
  const Tree tree(groups);
  const Node& model = tree.nodes().front();
  // TensorFlow's Keras lists a model's own variables behind those of its layers.
  if (!tree.usable() || !model.own.empty() || model.size != shapes.size()) return std::nullopt;
  OrderSearch search(tree.nodes(), tensors, shapes);
  Fit fit = search.At(0, 0);
  if (search.gave_up() || fit.orders != 1) return std::nullopt;
  return std::move(fit.order);
}

}  // namespace ckpt::formats::keras
