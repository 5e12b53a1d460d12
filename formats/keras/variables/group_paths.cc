#include "formats/keras/variables/group_paths.h"

#include <unordered_map>

#include "formats/keras/model/variable_names.h"

namespace ckpt::formats::keras {
namespace {

class Walk {
 public:
  Walk(const ModelConfig& config, int keras_major) : keras_major_(keras_major) {
    for (const ConfigLayer& layer : config.layers) {
      if (layer.facts.is_operation) operations_.emplace(layer.record, true);
    }
  }

  void Enter(const ModelRecord& model, const std::string& layer_prefix,
             const std::string& path_prefix) {
    std::unordered_map<std::string, int> used;
    for (std::size_t i = 0; i < model.layers.size(); ++i) {
      const LayerRecord& layer = model.layers[i];
      if (operations_.contains(&layer)) continue;        // a function is no layer
      if (model.sequential && layer.is_input) continue;  // a Sequential hides its own
      const std::string name = layer_prefix + layer.name;
      const std::string object = ObjectOf(layer);
      const auto known = object.empty() ? objects_.end() : objects_.find(object);
      if (known != objects_.end() && keras_major_ < 3) {
        Add({name, layer.name, known->second, true});
        continue;
      }
      std::string path = path_prefix + "layers/" + CountedName(layer, used);
      if (known != objects_.end()) {
        Add({name, layer.name, known->second, true});
        continue;
      }
      if (!object.empty()) objects_.emplace(object, path);
      Add({name, layer.name, path});
      if (layer.model) Enter(*layer.model, name + "/", path + "/");
    }
  }

  GroupPaths Take() { return std::move(paths_); }

 private:
  static std::string ObjectOf(const LayerRecord& layer) {
    const Json* shared = Find(*layer.entry, "shared_object_id");
    return shared ? shared->dump(-1, ' ', true) : std::string();
  }

  static std::string CountedName(const LayerRecord& layer,
                                 std::unordered_map<std::string, int>& used) {
    const std::string& class_name = layer.class_name;
    std::string name = SnakeCase(class_name.substr(class_name.find('>') + 1));
    const auto [count, first] = used.emplace(name, 0);
    if (!first) name += "_" + std::to_string(++count->second);
    return name;
  }

  void Add(GroupPath layer) {
    paths_.by_layer.emplace(layer.layer, layer.path);
    paths_.layers.push_back(std::move(layer));
  }

  int keras_major_;
  std::unordered_map<const LayerRecord*, bool> operations_;
  std::unordered_map<std::string, std::string> objects_;  // the path by the object
  GroupPaths paths_;
};

}  // namespace

const std::string& GroupPaths::OfLayer(std::string_view layer) const {
  static const std::string kNowhere;
  const auto found = by_layer.find(layer);
  return found == by_layer.end() ? kNowhere : found->second;
}

GroupPaths FindGroupPaths(const ModelConfig& config, int keras_major) {
  Walk walk(config, keras_major);
  walk.Enter(*config.model, "", "");
  return walk.Take();
}

}  // namespace ckpt::formats::keras
