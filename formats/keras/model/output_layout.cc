#include "formats/keras/model/output_layout.h"

#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

#include "formats/keras/model/weight_names.h"

namespace ckpt::formats::keras {
namespace {

using Kind = WeightGroup::Kind;

constexpr std::string_view kKerasOrder[] = {"depthwise_kernel",
                                            "pointwise_kernel",
                                            "embeddings",
                                            "kernel",
                                            "weights",
                                            "recurrent_kernel",
                                            "bias",
                                            "biases",
                                            "gamma",
                                            "beta",
                                            "moving_mean",
                                            "moving_variance",
                                            "moving_stddev",
                                            "renorm_mean",
                                            "renorm_stddev"};

std::string_view ParentOf(std::string_view name) {
  const std::size_t slash = name.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : name.substr(0, slash);
}

class Planner {
 public:
  explicit Planner(const OutputModel& model) : model_(model), placed_(model.tensors.size(), false) {
    for (std::size_t i = 0; i < model.tensors.size(); ++i) ids_.emplace(model.tensors[i].name, i);
    layout_.whole_model = FindDocument(model, "model_config") != nullptr;
    if (layout_.whole_model) layout_.prefix = "/model_weights";
  }

  Result<OutputLayout> Plan() {
    if (const std::string* text = FindDocument(model_, kWeightOrderDocument)) {
      CKPT_ASSIGN_OR_RETURN(const WeightOrder order, ParseWeightOrder(*text));
      for (const WeightGroup& group : order.groups) CKPT_RETURN_IF_ERROR(PlaceGroup(group));
    }
    for (std::size_t i = 0; i < placed_.size(); ++i) {
      if (!placed_[i]) CKPT_RETURN_IF_ERROR(PlaceByName(i));
    }
    if (!FindDocument(model_, kWeightOrderDocument)) SortAsKerasDoes();
    for (OutputGroup& group : layout_.groups) group.path = PathOf(group);
    CKPT_RETURN_IF_ERROR(CheckPaths());
    return std::move(layout_);
  }

 private:
  tl::unexpected<Error> Refuse(ErrorCode code, std::string message, std::string tensor) const {
    return Fail(Error{code, std::move(message)}.Of(std::move(tensor)));
  }

  Status PlaceGroup(const WeightGroup& group) {
    OutputGroup output{group.kind, group.layer};
    const bool listed = group.kind == Kind::kLayer || group.kind == Kind::kTopLevel;
    for (const WeightEntry& weight : group.weights) {
      const auto tensor = ids_.find(weight.tensor);
      if (tensor == ids_.end() && listed && layout_.whole_model) {
        return Refuse(ErrorCode::kUnfit,
                      "model_config has the layer \"" + group.layer +
                          "\" that needs it, and it is not to be written",
                      weight.tensor);
      }
      if (tensor == ids_.end()) continue;
      output.weights.push_back({tensor->second, weight.stored});
      placed_[tensor->second] = true;
    }
    // A layer that had weights and has none now is gone; others never had any.
    const bool gone = output.weights.empty() && (!group.weights.empty() || !listed);
    if (!gone) AddGroup(std::move(output));
    return {};
  }

  // A tensor that no list has: beside the others of its layer, else in a group of its own.
  Status PlaceByName(std::size_t tensor) {
    const std::string& name = model_.tensors[tensor].name;
    if (layout_.whole_model) {
      return Refuse(ErrorCode::kUnfit, "model_config has no layer that it belongs to", name);
    }
    const std::string_view parent = ParentOf(name);
    std::string_view layer = parent;
    while (!layer.empty() && !by_layer_.contains(std::string(layer))) layer = ParentOf(layer);
    OutputGroup& group = layer.empty() ? NewGroup(std::string(parent))
                                       : layout_.groups[by_layer_.at(std::string(layer))];
    auto at = group.weights.end();
    while (at != group.weights.begin() &&
           ParentOf(model_.tensors[std::prev(at)->tensor].name) != parent) {
      --at;
    }
    if (at == group.weights.begin()) at = group.weights.end();
    group.weights.insert(at, {tensor, name});
    return {};
  }

  // Nothing says the order of another format's tensors; within a layer, Keras' own serves
  // load_weights with by_name.
  void SortAsKerasDoes() {
    const auto rank = [this](const OutputWeight& weight) {
      const std::string& name = model_.tensors[weight.tensor].name;
      const auto found = std::find(std::begin(kKerasOrder), std::end(kKerasOrder),
                                   std::string_view(name).substr(name.rfind('/') + 1));
      return found - std::begin(kKerasOrder);
    };
    for (OutputGroup& group : layout_.groups) {
      std::stable_sort(
          group.weights.begin(), group.weights.end(),
          [&](const OutputWeight& a, const OutputWeight& b) { return rank(a) < rank(b); });
    }
  }

  // For a layer, or for the weights that have none.
  OutputGroup& NewGroup(const std::string& layer) {
    if (layer.empty() && top_level_) return layout_.groups[*top_level_];
    return AddGroup({layer.empty() ? Kind::kTopLevel : Kind::kLayer, layer});
  }

  OutputGroup& AddGroup(OutputGroup group) {
    if (group.kind == Kind::kLayer) by_layer_.emplace(group.layer, layout_.groups.size());
    if (group.kind == Kind::kTopLevel) top_level_ = layout_.groups.size();
    return layout_.groups.emplace_back(std::move(group));
  }

  std::string PathOf(const OutputGroup& group) const {
    switch (group.kind) {
      case Kind::kLayer:
        return layout_.prefix + "/" + group.layer;
      case Kind::kTopLevel:
        return layout_.prefix + "/top_level_model_weights";
      case Kind::kOptimizer:
        return "/optimizer_weights";
      case Kind::kOther:
        return "";  // what is stored is the whole path
    }
    return "";
  }

  Status CheckPaths() const {
    std::map<std::string, std::size_t> paths;
    for (const OutputGroup& group : layout_.groups) {
      for (const OutputWeight& weight : group.weights) {
        const std::string path =
            group.kind == Kind::kOther ? weight.stored : group.path + "/" + weight.stored;
        const auto [at, added] = paths.emplace(path, weight.tensor);
        if (!added && at->second != weight.tensor) return Clash(weight.tensor, at->second);
      }
    }
    for (const auto& [path, tensor] : paths) {
      for (std::string_view above = ParentOf(path); !above.empty(); above = ParentOf(above)) {
        const auto found = paths.find(std::string(above));
        if (found != paths.end()) return Clash(tensor, found->second);
      }
    }
    return {};
  }

  tl::unexpected<Error> Clash(std::size_t tensor, std::size_t other) const {
    return Refuse(ErrorCode::kUnsupported,
                  "in an HDF5 file it cannot stand beside \"" + model_.tensors[other].name + "\"",
                  model_.tensors[tensor].name);
  }

  const OutputModel& model_;
  OutputLayout layout_;
  std::unordered_map<std::string_view, std::size_t> ids_;
  std::vector<bool> placed_;
  std::unordered_map<std::string, std::size_t> by_layer_;  // in layout_.groups
  std::optional<std::size_t> top_level_;
};

}  // namespace

const std::string* FindDocument(const OutputModel& model, std::string_view name) {
  for (const Document& document : model.documents) {
    if (document.name == name) return &document.text;
  }
  return nullptr;
}

Result<OutputLayout> PlanOutput(const OutputModel& model) { return Planner(model).Plan(); }

}  // namespace ckpt::formats::keras
