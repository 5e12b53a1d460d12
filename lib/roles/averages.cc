#include "roles/averages.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "roles/scope_words.h"

namespace ckpt {
namespace {

using std::string_view;

constexpr std::size_t kSampled = 64;   // tensors of a family that decide where its model is
constexpr std::size_t kMaxBases = 64;  // first components that are tried for it
constexpr std::size_t kMaxFamilies = 256;
constexpr unsigned kMaxJoinedSearches = 8;  // each looks at every name
constexpr string_view kLightningRaw = "current_model_state.";
constexpr string_view kLightningState = "averaging_state.";
constexpr string_view kEngineRaw = "ema_state_dict.";
constexpr string_view kHookPrefix = "ema_";

// Words of a component that say what it holds are averages.
constexpr string_view kAverageWords[] = {"ema", "swa", "averaged", "average", "shadow"};
// Modules and dicts between an average's root and the names of its model.
constexpr string_view kInner[] = {"module",        "model",      "shadow",         "shadow_params",
                                  "ema_model",     "state_dict", "params",         "averaged_model",
                                  "average_model", "ema",        "ema_state_dict", "swa_model"};
constexpr string_view kModelRoots[] = {"model", "module",  "params",       "state_dict",
                                       "net",   "network", "online_model", "student"};
// Networks that follow another one by an average of its weights, and that one.
constexpr std::pair<string_view, string_view> kFollowers[] = {
    {"teacher", "student"},
    {"target_network", "online_network"},
    {"target_encoder", "online_encoder"},
    {"momentum_encoder", "base_encoder"},
};
constexpr string_view kRawCopy = "online_model";  // within ema_pytorch's own state

template <std::size_t N>
bool StandsIn(const string_view (&table)[N], string_view word) {
  return std::find(std::begin(table), std::end(table), word) != std::end(table);
}

bool IsOneNumber(const TensorInfo& info) {
  return info.shape.element_count() == 1 && info.shape.rank() <= 1;
}
bool IsCount(const TensorInfo& info) {
  return IsOneNumber(info) && IsReal(info.dtype) && !IsFloat(info.dtype);
}

// "g_ema" -> "g", "ema" -> "": the component without the word that says average. Nothing where no
// word does.
std::optional<std::string> WithoutAverageWord(string_view component) {
  std::string base;
  bool found = false;
  while (true) {
    const std::size_t end = component.find('_');
    std::string word(component.substr(0, end));
    std::transform(word.begin(), word.end(), word.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (!found && StandsIn(kAverageWords, word)) {
      found = true;
    } else {
      base += (base.empty() ? "" : "_") + std::string(component.substr(0, end));
    }
    if (end == string_view::npos) break;
    component.remove_prefix(end + 1);
  }
  return found ? std::optional(base) : std::nullopt;
}

std::optional<string_view> FollowedBy(string_view component) {
  for (const auto& [follower, followed] : kFollowers) {
    if (component == follower) return followed;
  }
  return std::nullopt;
}

std::string Joined(string_view name, char by) {
  std::string joined;
  for (const char c : name) {
    if (c != '.' && c != '/') {
      joined += c;
    } else if (by != '\0') {
      joined += by;
    }
  }
  return joined;
}

// `rest` behind each wrapper that it begins with: "module.c.weight", "c.weight".
std::vector<string_view> Unwrapped(string_view rest) {
  std::vector<string_view> forms = {rest};
  while (true) {
    const std::size_t end = rest.find_first_of("/.");
    if (end == string_view::npos || !StandsIn(kInner, rest.substr(0, end))) return forms;
    rest.remove_prefix(end + 1);
    forms.push_back(rest);
  }
}

// The tensors under one root.
struct Family {
  std::string prefix;  // "trainer.model_ema."
  std::string outer;   // "trainer."
  std::string base;    // "model"
  char separator = '.';
  bool says_average = false;  // a word does; else it has to be a copy throughout
  std::vector<TensorId> members;
};

// Where the model of a family is, and how its names are written there.
struct Place {
  std::string base;               // "model."
  std::optional<char> joined_by;  // "conv1weight" (0), "conv1_weight": names lost their dots
  std::size_t found = 0;
};

class Finder {
 public:
  Finder(const Manifest& manifest, const NameIndex& names)
      : manifest_(manifest), names_(names), member_(manifest.tensors.size(), false) {}

  AverageRoles Run() {
    ReadRecords();
    CollectFamilies();
    CollectRoots();
    bool any = false;
    for (const auto& [prefix, family] : families_) {
      // Trainers keep a few copies; a module of that name in each of many layers is none.
      if (families_.size() > kMaxFamilies && !family.outer.empty()) continue;
      any = Settle(family) || any;
    }
    if (!any) ReadAveragedModel();
    const auto started = names_.Find("initted");  // ema_pytorch
    if (started && Info(*started).dtype == Dtype::kBool && IsOneNumber(Info(*started))) {
      Set(*started, Role::kOther, "whether the averages began");
      if (!any && !result_.model_is_averaged) {
        result_.model_is_averaged =
            Evidence{EvidenceSource::kNaming,
                     "initted stands beside the weights, as in the state of ema_pytorch's EMA"};
      }
    }
    return std::move(result_);
  }

 private:
  const TensorInfo& Info(TensorId id) const { return manifest_.tensors[id.index]; }

  void Set(TensorId id, Role role, std::string detail, std::optional<TensorId> of = {},
           EvidenceSource source = EvidenceSource::kNaming) {
    TensorRole found{role, false, {Evidence{source, std::move(detail)}}, of};
    found.of_training = role == Role::kOther;
    member_[id.index] = true;
    result_.roles.emplace(id.index, std::move(found));
  }

  bool IsModel(const TensorInfo& info) const {
    return info.section == Section::kModel && !info.slot_of;
  }

  // Where frameworks save the averages as the model, and the raw weights beside it.
  void ReadRecords() {
    const auto steps = names_.Find(std::string(kEngineRaw) + "steps");
    const bool engine = steps && IsCount(Info(*steps));
    const auto count = names_.Find(std::string(kLightningState) + "n_averaged");
    if (!engine && !count) return;
    for (std::uint32_t i = 0; i < manifest_.tensors.size(); ++i) {
      const string_view name = manifest_.tensors[i].name;
      if (engine && name.starts_with(kEngineRaw)) {
        Set({i}, Role::kOther,
            "the raw weights: mmengine's EMAHook saves the averages as the model", {},
            EvidenceSource::kFrameworkRecord);
      } else if (count && (name.starts_with(kLightningRaw) || name.starts_with(kLightningState))) {
        Set({i}, Role::kOther,
            "the raw weights: Lightning's WeightAveraging saves the averages as the model", {},
            EvidenceSource::kFrameworkRecord);
      }
    }
    result_.model_is_averaged =
        Evidence{EvidenceSource::kFrameworkRecord,
                 engine ? "mmengine's EMAHook saves the averages under the model's own names, and "
                          "the raw weights as ema_state_dict"
                        : "Lightning's WeightAveraging saves the averages as state_dict, and the "
                          "raw weights as current_model_state"};
  }

  // AveragedModel's own state dict: the count stands beside the model.
  void ReadAveragedModel() {
    const auto count = names_.Find("n_averaged");
    if (!count || !IsCount(Info(*count)) || member_[count->index]) return;
    Set(*count, Role::kOther, "how many models were averaged");
    if (result_.model_is_averaged) return;
    result_.model_is_averaged =
        Evidence{EvidenceSource::kNaming,
                 "n_averaged stands beside the weights, as in the state of an AveragedModel"};
  }

  void CollectFamilies() {
    for (std::uint32_t i = 0; i < manifest_.tensors.size(); ++i) {
      if (member_[i] || !IsModel(manifest_.tensors[i])) continue;
      const string_view name = manifest_.tensors[i].name;
      const auto add = [&](string_view outer, string_view prefix, std::string base, bool says) {
        Family& family = families_[std::string(prefix)];
        family.prefix = std::string(prefix);
        family.outer = std::string(outer);
        family.base = std::move(base);
        family.says_average = says;
        if (prefix.back() != '_') family.separator = prefix.back();
        family.members.push_back({i});
      };
      const std::vector<string_view> components = Components(name);
      bool found = false;
      for (std::size_t c = 0; c + 1 < components.size() && !found; ++c) {
        const auto at = static_cast<std::size_t>(components[c].data() - name.data());
        const string_view outer = name.substr(0, at);
        const string_view prefix = name.substr(0, at + components[c].size() + 1);
        if (auto base = WithoutAverageWord(components[c])) {
          add(outer, prefix, *std::move(base), true);
          found = true;
        } else if (const auto followed = FollowedBy(components[c])) {
          add(outer, prefix, std::string(*followed), false);
          found = true;
        }
      }
      if (!found && IsExchangedAtEpochEnd(name)) {
        add("", name.substr(0, kHookPrefix.size()), "", true);
      }
    }
    for (const auto& [prefix, family] : families_) {
      for (const TensorId id : family.members) member_[id.index] = true;
    }
  }

  // First components of what belongs to no family: a model may stand under any of them.
  void CollectRoots() {
    for (std::uint32_t i = 0; i < manifest_.tensors.size() && roots_.size() < kMaxBases; ++i) {
      if (member_[i] || !IsModel(manifest_.tensors[i])) continue;
      const string_view name = manifest_.tensors[i].name;
      const std::size_t end = name.find_first_of("/.");
      if (end == string_view::npos) continue;
      std::string root(name.substr(0, end + 1));
      if (roots_.empty() || roots_.back() != root) roots_.push_back(std::move(root));
    }
  }

  std::vector<std::string> BasesOf(const Family& family) const {
    std::vector<std::string> bases;
    const auto add = [&](std::string base) {
      if (std::find(bases.begin(), bases.end(), base) == bases.end()) bases.push_back(base);
    };
    for (const std::string& outer : {family.outer, std::string()}) {
      if (!family.base.empty()) add(outer + family.base + family.separator);
      add(outer);
      for (const string_view root : kModelRoots) add(outer + std::string(root) + family.separator);
    }
    return bases;
  }

  std::optional<TensorId> Usable(std::optional<TensorId> id) const {
    const bool usable = id && !member_[id->index] && IsModel(Info(*id));
    return usable ? id : std::nullopt;
  }

  std::optional<TensorId> At(const std::string& base, string_view rest) const {
    for (const string_view form : Unwrapped(rest)) {
      if (const auto id = Usable(names_.Find(base + std::string(form)))) return id;
    }
    return std::nullopt;
  }

  using ByJoined = std::unordered_map<std::string, std::optional<TensorId>>;

  // Names below `base` without their dots; nothing where two become one.
  ByJoined JoinedNames(const std::string& base, char by) const {
    ByJoined joined;
    for (std::uint32_t i = 0; i < manifest_.tensors.size(); ++i) {
      const string_view name = manifest_.tensors[i].name;
      if (!name.starts_with(base) || !Usable(TensorId{i})) continue;
      const auto [entry, added] = joined.emplace(Joined(name.substr(base.size()), by), TensorId{i});
      if (!added) entry->second.reset();
    }
    return joined;
  }

  static std::optional<TensorId> In(const ByJoined& joined, const std::string& rest) {
    const auto found = joined.find(rest);
    return found == joined.end() ? std::nullopt : found->second;
  }

  string_view RestOf(const Family& family, TensorId id) const {
    return string_view(Info(id).name).substr(family.prefix.size());
  }

  std::vector<TensorId> SampleOf(const Family& family) const {
    std::vector<TensorId> sample;
    for (const TensorId id : family.members) {
      if (Info(id).shape.rank() == 0) continue;
      sample.push_back(id);
      if (family.says_average && sample.size() == kSampled) break;
    }
    return sample;
  }

  // The first place with the most of the sample; found = 0 where there is none.
  Place PlaceOf(const Family& family, const std::vector<TensorId>& sample) {
    Place best;
    const auto count = [&](const auto& find) {
      return static_cast<std::size_t>(std::count_if(sample.begin(), sample.end(), [&](TensorId id) {
        const auto of = find(RestOf(family, id));
        return of && Info(*of).shape == Info(id).shape;
      }));
    };
    const std::vector<std::string> bases = BasesOf(family);
    for (const std::string& base : bases) {
      if (best.found == sample.size()) return best;
      const std::size_t found = count([&](string_view rest) { return At(base, rest); });
      if (found > best.found) best = {base, {}, found};
    }
    if (best.found != 0) return best;
    // Below any other root only a copy throughout is one, and of more than a single layer's names.
    for (const std::string& root : roots_) {
      const std::size_t found = count([&](string_view rest) -> std::optional<TensorId> {
        const bool nested = Unwrapped(rest).back().find_first_of("/.") != string_view::npos;
        return nested ? At(root, rest) : std::nullopt;
      });
      if (found == sample.size()) return {root, {}, found};
    }
    const bool flat = std::none_of(sample.begin(), sample.end(), [&](TensorId id) {
      return RestOf(family, id).find_first_of("/.") != string_view::npos;
    });
    if (!family.says_average || family.separator != '.' || !flat) return best;
    if (joined_searches_++ >= kMaxJoinedSearches) return best;
    for (const std::string& base : bases) {
      for (const char by : {'\0', '_'}) {
        const ByJoined joined = JoinedNames(base, by);
        if (joined.empty()) continue;
        const std::size_t found =
            count([&](string_view rest) { return In(joined, std::string(rest)); });
        // One name that happens to fit is none.
        if (found > 1 && found > best.found) best = {base, by, found};
      }
    }
    return best;
  }

  bool Settle(const Family& family) {
    const std::vector<TensorId> sample = SampleOf(family);
    const Place place = PlaceOf(family, sample);
    const bool enough =
        family.says_average ? 2 * place.found >= sample.size() : place.found == sample.size();
    if (place.found == 0 || !enough) return SettleLists(family);
    const ByJoined joined =
        place.joined_by ? JoinedNames(place.base, *place.joined_by) : ByJoined();
    const std::string root = family.prefix.substr(0, family.prefix.size() - 1);
    for (const TensorId id : family.members) {
      const string_view rest = RestOf(family, id);
      const auto of = place.joined_by ? In(joined, std::string(rest)) : At(place.base, rest);
      const std::string raw = std::string(kRawCopy) + family.separator;
      if (of) {
        Set(id, Role::kEmaShadow,
            (family.says_average ? "name begins with " : "a copy of the model under ") + root, of);
      } else if (rest.starts_with(raw)) {
        Set(id, Role::kOther, "the raw weights once more, beside their averages");
      } else if (IsOneNumber(Info(id))) {
        Set(id, Role::kOther, "a number that belongs to the averages under " + root);
      } else {
        Set(id, Role::kEmaShadow, "name begins with " + root);
      }
    }
    return true;
  }

  // "ema.shadow_params.0": averages without names.
  bool SettleLists(const Family& family) {
    if (!family.says_average || family.separator != '.') return false;
    bool any = false;
    for (const TensorId id : family.members) {
      if (!IsNumber(Unwrapped(RestOf(family, id)).back())) continue;
      Set(id, Role::kEmaShadow, "stands in a list under " + family.prefix);
      any = true;
    }
    return any;
  }

  const Manifest& manifest_;
  const NameIndex& names_;
  std::vector<bool> member_;  // of a family, or settled
  std::map<std::string, Family> families_;
  std::vector<std::string> roots_;
  unsigned joined_searches_ = 0;
  AverageRoles result_;
};

}  // namespace

AverageRoles FindAverages(const Manifest& manifest, const NameIndex& names) {
  return Finder(manifest, names).Run();
}

bool IsExchangedAtEpochEnd(string_view shadow) noexcept {
  return shadow.starts_with(kHookPrefix) && shadow.size() > kHookPrefix.size() &&
         shadow.find_first_of("/.") == string_view::npos;
}

}  // namespace ckpt
