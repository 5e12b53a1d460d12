#include "formats/tf_graph/meta_graph_beside.h"

#include <string>

#include "ckpt/error_words.h"
#include "formats/tf_graph/graph_kind.h"
#include "formats/tf_graph/read_op_graph.h"

namespace ckpt::formats {

void AttachMetaGraph(const Files& files, const std::filesystem::path& prefix, const Limits& limits,
                     Manifest& manifest) {
  const std::filesystem::path path = prefix.string() + ".meta";
  if (!files.Exists(path) || files.IsDirectory(path)) return;
  const std::string name = path.filename().string();
  const auto note = [&](const std::string& text) {
    manifest.note += (manifest.note.empty() ? "" : "; ") + text;
  };
  auto graph = ReadOpGraph(files, path, limits);
  if (!graph) {
    note("the graph beside it is not used: " + InWords(graph.error()));
  } else if ((*graph)->kind != OpGraphKind::kMetaGraph) {
    note("the graph beside it is not used: " + name + " is a " + std::string(Name((*graph)->kind)));
  } else {
    note("the graph beside it, " + name + ", is evidence");
    manifest.files.push_back(path.string());
    if (manifest.framework_version.empty()) manifest.framework_version = (*graph)->producer_version;
    manifest.ops = *std::move(graph);
  }
}

}  // namespace ckpt::formats
