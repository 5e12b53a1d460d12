#include "formats/keras/model/foreign_classes.h"

#include <set>

namespace ckpt::formats::keras {

void NoteForeignClasses(const ModelConfig& config, std::string& note) {
  std::set<std::string> classes;
  for (const ConfigLayer& layer : config.layers) {
    const std::string& name = layer.record->class_name;
    if (!layer.record->package.empty()) {
      classes.insert(layer.record->package + "." + name);
    } else if (name == "Lambda" || name.find('>') != std::string::npos) {
      classes.insert(name);
    }
  }
  if (classes.empty()) return;
  constexpr std::size_t kNamed = 5;
  std::string text = "layers of classes whose code is not Keras' own, none of which was run: ";
  std::size_t named = 0;
  for (const std::string& name : classes) {
    if (named++ == kNamed) break;
    text += (named > 1 ? ", " : "") + name;
  }
  if (classes.size() > kNamed) text += ", ...";
  note = text + (note.empty() ? "" : "; " + note);
}

}  // namespace ckpt::formats::keras
