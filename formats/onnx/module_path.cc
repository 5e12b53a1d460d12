#include "formats/onnx/module_path.h"

#include <algorithm>
#include <string_view>
#include <vector>

namespace ckpt::formats::onnx {
namespace {

using onnx_proto::NodeProto;

std::string_view Metadata(const NodeProto& node, std::string_view key) {
  for (const auto& entry : node.metadata_props()) {
    if (entry.key() == key) return entry.value();
  }
  return {};
}

// The strings of a list as Python prints it: ['', 'layer1', 'layer1.0', 'conv2d'].
std::vector<std::string_view> StringsOf(std::string_view list) {
  std::vector<std::string_view> strings;
  for (std::size_t at = list.find_first_of("'\""); at != std::string_view::npos;
       at = list.find_first_of("'\"", at)) {
    const std::size_t end = list.find(list[at], at + 1);
    if (end == std::string_view::npos) break;
    strings.push_back(list.substr(at + 1, end - at - 1));
    at = end + 1;
  }
  return strings;
}

// Each part of a scope is a module: a child of the one before, or its whole path from the
// container that holds it.
std::string PathOfScope(std::string_view scope) {
  std::string path;
  std::string_view last;
  while (!scope.empty()) {
    const std::string_view part = scope.substr(0, scope.find('/'));
    scope.remove_prefix(std::min(scope.size(), part.size() + 1));
    const bool of_container = !last.empty() && part.size() > last.size() &&
                              part.starts_with(last) && part[last.size()] == '.';
    if (of_container) path.resize(path.size() - last.size());
    if (!of_container && !path.empty()) path += '.';
    path += part;
    last = part;
  }
  return path;
}

}  // namespace

std::string ModulePathOf(const NodeProto& node) {
  const auto scopes = StringsOf(Metadata(node, "pkg.torch.onnx.name_scopes"));
  if (scopes.size() >= 2) return std::string(scopes[scopes.size() - 2]);
  std::string_view name = node.name();
  const std::size_t slash = name.rfind('/');
  if (!name.starts_with('/') || slash == 0 || !name.substr(slash + 1).starts_with(node.op_type()))
    return {};
  return PathOfScope(name.substr(1, slash - 1));
}

std::string RewritingOf(const NodeProto& node) {
  const bool fused = Metadata(node, "pkg.onnxscript.rewriter.rule_name").find("FuseBatchNorm") !=
                     std::string_view::npos;
  return fused ? "the exporter folded a batch norm into it" : "";
}

}  // namespace ckpt::formats::onnx
