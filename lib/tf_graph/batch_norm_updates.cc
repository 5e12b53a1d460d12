#include "tf_graph/batch_norm_updates.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "tf_graph/assigned_value.h"

namespace ckpt::tf_graph {
namespace {

// A moving average is at most a dozen operations away from what it averages.
constexpr std::size_t kMaxIngredients = 48;

// Values that are loaded or made anew: they update nothing.
bool IsPlainSource(std::string_view type) {
  constexpr auto kTypes =
      std::to_array<std::string_view>({"Const", "Fill", "OnesLike", "Placeholder", "Restore",
                                       "RestoreSlice", "RestoreV2", "ZerosLike"});
  return std::find(kTypes.begin(), kTypes.end(), type) != kTypes.end() ||
         type.starts_with("Random") || type.starts_with("StatelessRandom") ||
         type.starts_with("TruncatedNormal") || IsVariableOp(type);
}

class UpdateFinder {
 public:
  UpdateFinder(const OpBodies& bodies, const OpVariables& variables,
               const BatchStatistics& statistics, const std::map<std::string, bool>& moving)
      : bodies_(bodies), variables_(variables), statistics_(statistics), moving_(moving) {}

  std::vector<OpUpdate> Find() {
    for (std::uint32_t body = 0; body < bodies_.size(); ++body) {
      for (OpId id = 0; id < bodies_.body(body).ops.size(); ++id) {
        if (IsAssignOp(bodies_.body(body).ops[id].type)) Read({body, id});
      }
    }
    // Zero debiasing writes the moving average from the result of the assignment to a helper, which
    // is the one that decays.
    std::map<std::string, double> decays;
    for (const OpUpdate& update : updates_) {
      if (update.momentum) decays.emplace(update.variable, *update.momentum);
    }
    for (OpUpdate& update : updates_) {
      const auto helper = helper_of_.find(update.variable);
      const auto decay = helper == helper_of_.end() ? decays.end() : decays.find(helper->second);
      if (!update.momentum && decay != decays.end()) update.momentum = decay->second;
    }
    std::erase_if(updates_, [&](const OpUpdate& update) {
      return helpers_.count(update.variable) != 0 && moving_.count(update.variable) == 0;
    });
    return std::move(updates_);
  }

 private:
  std::optional<OpRef> Target(OpRef assign) const {
    for (const OpValue& origin : bodies_.OriginsOfInput(assign, 0).values) {
      if (IsVariableOp(bodies_.op(origin.at).type)) return origin.at;
    }
    return std::nullopt;
  }

  void Read(OpRef assign) {
    const auto target = Target(assign);
    const auto value = bodies_.Input(assign, 1);
    if (!target || !value) return;
    const OpVariable* record = variables_.RecordOf(bodies_.op(*target));
    if (record != nullptr && assign.body == 0 && record->initializer == bodies_.op(assign).name) {
      return;
    }
    OpUpdate update{assign, variables_.NameOf(bodies_.op(*target))};
    const std::vector<OpValue> ingredients = Ingredients(bodies_, *value, kMaxIngredients);
    bool takes_statistic = false, plain = true;
    std::vector<std::string> assigned;
    for (const OpValue& ingredient : ingredients) {
      const Op& op = bodies_.op(ingredient.at);
      plain = plain && IsPlainSource(op.type);
      const auto [first, last] = statistics_.equal_range(ingredient);
      for (auto it = first; it != last; ++it) {
        takes_statistic = true;
        update.variance = update.variance || it->second.variance;
        update.norms.push_back(it->second.norm);
      }
      if (IsAssignOp(op.type)) {
        const auto other = Target(ingredient.at);
        if (other) assigned.push_back(variables_.NameOf(bodies_.op(*other)));
      } else if (IsVariableOp(op.type)) {
        const std::string name = variables_.NameOf(op);
        if (name.ends_with("/biased")) assigned.push_back(name);
      }
    }
    const auto known = moving_.find(update.variable);
    if (known != moving_.end()) update.variance = known->second;
    if (plain || (!takes_statistic && known == moving_.end())) {
      // An average of the helper, without a statistic in sight (resource variables).
      const bool debiased =
          !plain && std::any_of(assigned.begin(), assigned.end(), [&](const std::string& name) {
            return name == update.variable + "/biased";
          });
      if (!debiased) return;
    }
    for (std::string& name : assigned) {
      if (name == update.variable) continue;
      helper_of_.emplace(update.variable, name);
      helpers_.insert(std::move(name));
    }
    std::sort(update.norms.begin(), update.norms.end());
    update.norms.erase(std::unique(update.norms.begin(), update.norms.end()), update.norms.end());
    update.momentum = MomentumOf(bodies_, assign);
    updates_.push_back(std::move(update));
  }

  const OpBodies& bodies_;
  const OpVariables& variables_;
  const BatchStatistics& statistics_;
  const std::map<std::string, bool>& moving_;
  std::vector<OpUpdate> updates_ = {};
  std::set<std::string> helpers_ = {};
  std::map<std::string, std::string> helper_of_ = {};  // of a moving average, by its variable
};

}  // namespace

std::vector<OpUpdate> FindUpdates(const OpBodies& bodies, const OpVariables& variables,
                                  const BatchStatistics& statistics,
                                  const std::map<std::string, bool>& moving) {
  return UpdateFinder(bodies, variables, statistics, moving).Find();
}

}  // namespace ckpt::tf_graph
