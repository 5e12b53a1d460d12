#include "diff/correspondence.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "ckpt/elements.h"
#include "ckpt/natural_order.h"
#include "diff/compare.h"
#include "diff/fingerprint.h"
#include "diff/kernel_channels.h"
#include "diff/possible_orders.h"
#include "roles/tensor_name.h"

namespace ckpt {
namespace {

// Roles that two files may give to one tensor.
enum class PartKind : std::uint8_t { kMultiplies, kAdds, kMean, kVariance, kUnknown };
PartKind KindOf(Role role) {
  switch (role) {
    case Role::kKernel:
    case Role::kGamma:
      return PartKind::kMultiplies;
    case Role::kBias:
    case Role::kBeta:
      return PartKind::kAdds;
    case Role::kMovingMean:
      return PartKind::kMean;
    case Role::kMovingVariance:
      return PartKind::kVariance;
    default:
      return PartKind::kUnknown;
  }
}
bool MayBeOne(PartKind a, PartKind b) {
  return a == b || a == PartKind::kUnknown || b == PartKind::kUnknown;
}

// One of the two files.
struct Side {
  const Checkpoint& checkpoint;
  const Analysis& analysis;
  std::vector<bool> open = {};                 // not paired yet, and sought
  std::vector<std::string> scopes = {};        // of each tensor's layer, components joined by '.'
  std::vector<Fingerprint> fingerprints = {};  // of the open ones
  std::vector<bool> has_fingerprint = {};

  const TensorInfo& Info(std::uint32_t i) const { return checkpoint.manifest().tensors[i]; }
  PartKind Kind(std::uint32_t i) const { return KindOf(analysis.roles[i].role); }
  std::uint64_t Count(std::uint32_t i) const { return Info(i).shape.element_count(); }
  std::uint32_t size() const {
    return static_cast<std::uint32_t>(checkpoint.manifest().tensors.size());
  }

  void FindScopes() {
    for (std::uint32_t i = 0; i < size(); ++i) scopes.emplace_back(ParseName(Info(i).name).scope);
    for (const BatchNorm& layer : analysis.batch_norms) {
      for (const auto& id : {layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance}) {
        if (id) scopes[id->index] = layer.scope;
      }
    }
    for (std::string& scope : scopes) std::replace(scope.begin(), scope.end(), '/', '.');
  }

  bool IsSought(std::uint32_t i) const {
    const TensorInfo& info = Info(i);
    return info.data_present && IsReal(info.dtype) && BitSize(info.dtype) % 8 == 0 &&
           !IsTrainingState(info, analysis.roles[i]);
  }
};

class Finder {
 public:
  Finder(Side a, Side b, Matching& matching)
      : a_(std::move(a)),
        b_(std::move(b)),
        matching_(matching),
        direction_(DirectionOf(b_.analysis.framework, a_.analysis.framework)) {}

  Status Find(const std::set<std::uint32_t>& renamed) {
    TakeUp(renamed);
    PairByConvention();
    CKPT_RETURN_IF_ERROR(ReadFingerprints());
    PairByContent(false);
    PairByContent(true);
    while (PairByLayer(true)) {
    }
    PairByOrder();
    CKPT_RETURN_IF_ERROR(PairByFactors());
    while (PairByLayer(false)) {
    }
    CKPT_RETURN_IF_ERROR(SettleOrders());
    HandBack();
    return {};
  }

 private:
  void TakeUp(const std::set<std::uint32_t>& renamed) {
    for (Side* side : {&a_, &b_}) {
      side->open.assign(side->size(), false);
      side->fingerprints.resize(side->size());
      side->has_fingerprint.assign(side->size(), false);
      side->FindScopes();
    }
    for (Match& match : matching_.matches) {
      if (match.a && match.b && IsOnlyAName(match)) {
        a_.open[match.a->index] = b_.open[match.b->index] = true;
        names_only_.push_back(std::move(match));
      } else if (match.a && match.b) {
        paired_.push_back(std::move(match));
      } else if (match.a) {
        a_.open[match.a->index] = a_.IsSought(match.a->index) && !renamed.contains(match.a->index);
      } else {
        b_.open[match.b->index] = b_.IsSought(match.b->index);
      }
    }
  }

  // The same name over different numbers of elements: layers that a program numbered anew.
  bool IsOnlyAName(const Match& match) const {
    return match.by == MatchedBy::kName && a_.IsSought(match.a->index) &&
           b_.IsSought(match.b->index) && a_.Count(match.a->index) != b_.Count(match.b->index);
  }

  static std::vector<std::uint32_t> Open(const Side& side) {
    std::vector<std::uint32_t> open;
    for (std::uint32_t i = 0; i < side.size(); ++i) {
      if (side.open[i]) open.push_back(i);
    }
    std::sort(open.begin(), open.end(), [&](std::uint32_t x, std::uint32_t y) {
      return NaturalLess(side.Info(x).name, side.Info(y).name);
    });
    return open;
  }

  void Pair(std::uint32_t a, std::uint32_t b, MatchedBy by, std::string note = {}) {
    a_.open[a] = b_.open[b] = false;
    paired_.push_back({TensorId{a}, TensorId{b}, by, {}, std::move(note)});
  }

  bool HasSameContent(std::uint32_t a, std::uint32_t b) const {
    return a_.has_fingerprint[a] && b_.has_fingerprint[b] &&
           a_.fingerprints[a] == b_.fingerprints[b];
  }

  bool HaveOneShape(std::uint32_t a, std::uint32_t b) const {
    return !PossibleOrders(a_.Info(a), b_.Info(b), a_.analysis.roles[a].role, direction_).empty();
  }

  // "conv1/kernel" and "conv1.weight" are both "conv1" and what multiplies there; what has no such
  // part goes by its whole name: "encoder/pos_embed" and "encoder.pos_embed".
  void PairByConvention() {
    const auto keys = [](const Side& side, const std::vector<std::uint32_t>& open) {
      std::vector<std::string> names;
      for (const std::uint32_t i : open) {
        const bool known = side.Kind(i) != PartKind::kUnknown;
        names.push_back(known ? side.scopes[i] : side.Info(i).name);
        if (known) names.back() += '.' + std::to_string(static_cast<int>(side.Kind(i)));
        std::replace(names.back().begin(), names.back().end(), '/', '.');
      }
      return names;
    };
    const auto open_a = Open(a_), open_b = Open(b_);
    const std::vector<std::string> names_a = keys(a_, open_a), names_b = keys(b_, open_b);
    const CommonPrefixes prefixes =
        ChoosePrefixes({names_a.begin(), names_a.end()}, {names_b.begin(), names_b.end()});
    struct Named {
      std::vector<std::uint32_t> a, b;
    };
    std::map<std::string_view, Named> named;
    for (std::size_t i = 0; i < open_a.size(); ++i) {
      named[WithoutPrefix(names_a[i], prefixes.prefix_a)].a.push_back(open_a[i]);
    }
    for (std::size_t i = 0; i < open_b.size(); ++i) {
      named[WithoutPrefix(names_b[i], prefixes.prefix_b)].b.push_back(open_b[i]);
    }
    for (const auto& [name, ids] : named) {
      if (ids.a.size() != 1 || ids.b.size() != 1) continue;
      if (HaveOneShape(ids.a[0], ids.b[0])) Pair(ids.a[0], ids.b[0], MatchedBy::kConvention);
    }
  }

  Status ReadFingerprints() {
    std::set<std::uint64_t> sizes_a, sizes_b;
    for (const std::uint32_t i : Open(a_)) sizes_a.insert(a_.Count(i));
    for (const std::uint32_t i : Open(b_)) sizes_b.insert(b_.Count(i));
    for (auto [side, others] : {std::pair(&a_, &sizes_b), std::pair(&b_, &sizes_a)}) {
      for (const std::uint32_t i : Open(*side)) {
        if (!others->contains(side->Count(i))) continue;
        CKPT_ASSIGN_OR_RETURN(side->fingerprints[i], FingerprintOf(side->checkpoint, TensorId{i}));
        side->has_fingerprint[i] = true;
      }
    }
    return {};
  }

  struct Content {
    std::vector<std::uint32_t> a, b;
  };
  // Open tensors of the same values; of one kind only, where asked for.
  std::vector<Content> Contents(bool of_one_kind) const {
    std::map<std::tuple<std::uint64_t, Fingerprint, PartKind>, Content> contents;
    const auto key = [&](const Side& side, std::uint32_t i) {
      const PartKind kind = of_one_kind ? side.Kind(i) : PartKind::kUnknown;
      return std::tuple(side.Count(i), side.fingerprints[i], kind);
    };
    for (const std::uint32_t i : Open(a_)) {
      if (a_.has_fingerprint[i]) contents[key(a_, i)].a.push_back(i);
    }
    for (const std::uint32_t i : Open(b_)) {
      if (b_.has_fingerprint[i]) contents[key(b_, i)].b.push_back(i);
    }
    std::vector<Content> both;
    for (auto& [values, content] : contents) {
      if (!content.a.empty() && !content.b.empty()) both.push_back(std::move(content));
    }
    return both;
  }

  void PairByContent(bool of_one_kind) {
    for (const Content& content : Contents(of_one_kind)) {
      if (content.a.size() != 1 || content.b.size() != 1) continue;
      if (!MayBeOne(a_.Kind(content.a[0]), b_.Kind(content.b[0]))) continue;
      Pair(content.a[0], content.b[0], MatchedBy::kContent);
    }
  }

  // The one layer of B that the tensors of each layer of A were found in.
  std::map<std::string_view, std::string_view> Layers() const {
    std::map<std::string_view, std::string_view> layers, back;
    std::set<std::string_view> contested;
    for (const Match& match : paired_) {
      const std::string_view a = a_.scopes[match.a->index], b = b_.scopes[match.b->index];
      if (a.empty() || b.empty()) continue;  // names without a layer say nothing
      if (layers.emplace(a, b).first->second != b) contested.insert(a);
      const auto other = back.emplace(b, a).first->second;
      if (other != a) contested.insert({a, other});
    }
    for (const std::string_view layer : contested) layers.erase(layer);
    return layers;
  }

  bool PairByLayer(bool same_content) {
    bool any = false;
    const auto layers = Layers();
    std::map<std::string_view, std::vector<std::uint32_t>> open_b;
    for (const std::uint32_t i : Open(b_)) open_b[b_.scopes[i]].push_back(i);
    for (const std::uint32_t a : Open(a_)) {
      const auto layer = layers.find(a_.scopes[a]);
      if (layer == layers.end()) continue;
      std::vector<std::uint32_t> candidates;
      for (const std::uint32_t b : open_b[layer->second]) {
        if (!b_.open[b] || !MayBeOne(a_.Kind(a), b_.Kind(b)) || !HaveOneShape(a, b)) continue;
        if (same_content && !HasSameContent(a, b)) continue;
        candidates.push_back(b);
      }
      // Of several, the one of the very same kind.
      if (candidates.size() > 1) {
        std::erase_if(candidates, [&](std::uint32_t b) { return a_.Kind(a) != b_.Kind(b); });
      }
      if (candidates.size() != 1) continue;
      Pair(a, candidates[0], MatchedBy::kLayer);
      any = true;
    }
    return any;
  }

  void PairByOrder() {
    for (const bool of_one_kind : {true, false}) {
      for (const Content& content : Contents(of_one_kind)) {
        const std::size_t count = std::min(content.a.size(), content.b.size());
        for (std::size_t i = 0; i < count; ++i) {
          if (!MayBeOne(a_.Kind(content.a[i]), b_.Kind(content.b[i]))) continue;
          Pair(content.a[i], content.b[i], MatchedBy::kOrder,
               std::to_string(content.a.size()) + " of A and " + std::to_string(content.b.size()) +
                   " of B hold these values; paired in the order of their names");
        }
      }
    }
  }

  // Kernels that differ by one factor for each output channel, as a fold leaves them.
  Status PairByFactors() {
    struct Profiled {
      std::uint32_t id;
      std::vector<double> profile;
    };
    std::map<std::uint64_t, std::pair<std::vector<Profiled>, std::vector<Profiled>>> by_size;
    for (const bool in_a : {true, false}) {
      const Side& side = in_a ? a_ : b_;
      for (const std::uint32_t i : Open(side)) {
        if (side.Info(i).shape.rank() < 2 || !IsFloat(side.Info(i).dtype)) continue;
        if (!side.has_fingerprint[i]) continue;  // nothing of its size in the other
        for (const ChannelView& view : OutViews(side.Info(i).shape, side.analysis.framework)) {
          CKPT_ASSIGN_OR_RETURN(auto profile, ChannelProfile(side.checkpoint, TensorId{i}, view));
          auto& both = by_size[side.Count(i)];
          (in_a ? both.first : both.second).push_back({i, std::move(profile)});
        }
      }
    }
    std::map<std::uint32_t, std::set<std::uint32_t>> partners, back;
    for (const auto& [size, both] : by_size) {
      for (const Profiled& a : both.first) {
        for (const Profiled& b : both.second) {
          if (!AreOneProfile(a.profile, b.profile) || !HaveOneShape(a.id, b.id)) continue;
          partners[a.id].insert(b.id);
          back[b.id].insert(a.id);
        }
      }
    }
    for (const auto& [a, bs] : partners) {
      if (bs.size() == 1 && back[*bs.begin()].size() == 1) {
        Pair(a, *bs.begin(), MatchedBy::kFactors);
      }
    }
    return {};
  }

  // A file whose batch norms are folded has no names that say whose conventions it follows: the
  // shapes of its kernels do.
  Direction DirectionOfShapes() const {
    std::set<ShapeEvidence> found;
    for (const Match& match : paired_) {
      if (a_.Kind(match.a->index) != PartKind::kMultiplies) continue;
      found.insert(EvidenceOfShapes(a_.Info(match.a->index), b_.Info(match.b->index)));
    }
    const bool last = found.contains(ShapeEvidence::kToLast);
    const bool first = found.contains(ShapeEvidence::kToFirst);
    if (found.contains(ShapeEvidence::kSame) || (last && first)) return Direction::kUnknown;
    if (last) return Direction::kToChannelsLast;
    if (first) return Direction::kToChannelsFirst;
    if (!found.contains(ShapeEvidence::kOther)) return Direction::kUnknown;
    if (const auto a = a_.analysis.framework) {
      return IsChannelsFirst(*a) ? Direction::kToChannelsFirst : Direction::kToChannelsLast;
    }
    const auto b = b_.analysis.framework;
    if (!b) return Direction::kUnknown;
    return IsChannelsFirst(*b) ? Direction::kToChannelsLast : Direction::kToChannelsFirst;
  }

  Status SettleOrders() {
    if (!a_.analysis.framework || !b_.analysis.framework) direction_ = DirectionOfShapes();
    for (Match& match : paired_) {
      const TensorInfo& a = a_.Info(match.a->index);
      const TensorInfo& b = b_.Info(match.b->index);
      const bool reals = IsReal(a.dtype) && IsReal(b.dtype) && a.data_present && b.data_present;
      if (!reals || a.shape.rank() + b.shape.rank() < 3) continue;
      // What a name or a layer paired stands as its framework has it: elements that fit better in
      // another order are a difference.
      const bool by_values = match.by == MatchedBy::kContent || match.by == MatchedBy::kOrder;
      if (!by_values && direction_ == Direction::kUnknown && a.shape == b.shape) continue;
      const Role role = a_.analysis.roles[match.a->index].role;
      std::vector<AxisOrder> orders = by_values ? PossibleOrders(a, b, role, direction_)
                                                : ConventionalOrders(a, b, role, direction_);
      const bool conventional = !orders.empty();
      if (!conventional) orders = PossibleOrders(a, b, role, direction_);
      CKPT_ASSIGN_OR_RETURN(match.order_of_b, ChooseOrder(std::move(orders), match, conventional));
    }
    return {};
  }

  // The first order in which both hold the same, or else the same but for a factor of each output
  // channel, as a fold leaves it; else the likeliest, which is the first, where they are orders
  // that frameworks have.
  Result<std::optional<AxisOrder>> ChooseOrder(std::vector<AxisOrder> orders, const Match& match,
                                               bool conventional) {
    for (AxisOrder& order : orders) {
      if (orders.size() == 1 && conventional) break;
      CKPT_ASSIGN_OR_RETURN(const bool same,
                            HoldSame(a_.checkpoint, *match.a, b_.checkpoint, *match.b, order));
      if (same) return std::optional(std::move(order));
    }
    if (orders.empty() || !conventional) return std::optional<AxisOrder>{};
    for (AxisOrder& order : orders) {
      if (orders.size() == 1) break;
      CKPT_ASSIGN_OR_RETURN(const bool scaled, DifferByFactors(match, order));
      if (scaled) return std::optional(std::move(order));
    }
    return std::optional(std::move(orders.front()));
  }

  Result<bool> DifferByFactors(const Match& match, const AxisOrder& order) const {
    const TensorInfo& a = a_.Info(match.a->index);
    const TensorInfo& b = b_.Info(match.b->index);
    if (a.shape.rank() < 2 || !IsFloat(a.dtype) || !IsFloat(b.dtype)) return false;
    const double unit = std::max(UnitRoundoff(a.dtype), UnitRoundoff(b.dtype));
    for (const ChannelView& view : OutViews(a.shape, a_.analysis.framework)) {
      // With a few elements a channel any order may fit.
      if (view.channels_per_group * 4 > a.shape.element_count()) continue;
      CKPT_ASSIGN_OR_RETURN(
          const ChannelFactors factors,
          FactorsBetween(a_.checkpoint, *match.a, b_.checkpoint, *match.b, order, view));
      if (factors.off <= 16 * unit) return true;
    }
    return false;
  }

  void HandBack() {
    for (Match& match : names_only_) {
      if (a_.open[match.a->index] && b_.open[match.b->index]) paired_.push_back(std::move(match));
    }
    std::vector<bool> in_a(a_.size(), true), in_b(b_.size(), true);
    for (const Match& match : paired_) in_a[match.a->index] = in_b[match.b->index] = false;
    matching_.matches = std::move(paired_);
    for (std::uint32_t i = 0; i < in_a.size(); ++i) {
      if (in_a[i]) matching_.matches.push_back({TensorId{i}, {}});
    }
    for (std::uint32_t i = 0; i < in_b.size(); ++i) {
      if (in_b[i]) matching_.matches.push_back({{}, TensorId{i}});
    }
    SortMatches(a_.checkpoint.manifest(), b_.checkpoint.manifest(), matching_.matches);
  }

  Side a_, b_;
  Matching& matching_;
  Direction direction_;
  std::vector<Match> paired_;
  std::vector<Match> names_only_ = {};  // pairs that content may undo
};

}  // namespace

Status FindCorrespondence(const Checkpoint& a, const Analysis& analysis_a, const Checkpoint& b,
                          const Analysis& analysis_b, const DiffOptions& options,
                          Matching& matching) {
  std::set<std::uint32_t> renamed;
  for (const auto& [from, to] : options.rename) {
    if (const auto id = FindTensor(a.manifest(), from)) renamed.insert(id->index);
  }
  return Finder({a, analysis_a}, {b, analysis_b}, matching).Find(renamed);
}

}  // namespace ckpt
