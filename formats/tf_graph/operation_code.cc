#include "formats/tf_graph/operation_code.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

namespace ckpt::formats {
namespace {

constexpr std::array<std::string_view, 37> kTypes = {"AudioMicrofrontend",
                                                     "CreateSummaryDbWriter",
                                                     "CreateSummaryFileWriter",
                                                     "DebugIdentity",
                                                     "DebugIdentityV2",
                                                     "DebugNanCount",
                                                     "DebugNumericSummary",
                                                     "DebugNumericSummaryV2",
                                                     "DecodeProtoV2",
                                                     "DistributedSave",
                                                     "EagerPyFunc",
                                                     "EncodeProto",
                                                     "ImmutableConst",
                                                     "ImportEvent",
                                                     "InitializeTableFromTextFile",
                                                     "InitializeTableFromTextFileV2",
                                                     "LoadAndRemapMatrix",
                                                     "MatchingFiles",
                                                     "PrintV2",
                                                     "PyFunc",
                                                     "PyFuncStateless",
                                                     "ReadFile",
                                                     "RemoteCall",
                                                     "RemoteFusedGraphExecute",
                                                     "RpcCall",
                                                     "RpcClient",
                                                     "RpcServer",
                                                     "Rpc",
                                                     "TRTEngineOp",
                                                     "TryRpc",
                                                     "WriteFile",
                                                     "WriteRawProtoSummary",
                                                     "XlaCallModule",
                                                     "XlaCustomCall",
                                                     "XlaCustomCallV2",
                                                     "XlaLaunch",
                                                     "XlaLaunchV2"};

bool EndsInVersionOf(std::string_view type, std::string_view end) {
  while (!type.empty() && type.back() >= '0' && type.back() <= '9') type.remove_suffix(1);
  if (type.ends_with('V')) type.remove_suffix(1);
  return type.ends_with(end);
}

// Data sets read files, keep caches in files, or call functions of other programs.
bool Reaches(std::string_view type) {
  return std::find(kTypes.begin(), kTypes.end(), type) != kTypes.end() ||
         EndsInVersionOf(type, "Dataset") || EndsInVersionOf(type, "Reader");
}

// Every graph that was exported has a saver, which a server does not run.
bool Writes(std::string_view type) {
  static constexpr std::array<std::string_view, 4> kWriters = {"MergeV2Checkpoints", "Save",
                                                               "SaveSlices", "SaveV2"};
  return std::find(kWriters.begin(), kWriters.end(), type) != kWriters.end();
}

bool IsSaversFunction(std::string_view name) {
  return name.starts_with("__inference__traced_save");
}

}  // namespace

std::vector<std::string> CodeInOperations(const OpGraph& graph) {
  std::vector<std::string> found;
  std::set<std::string, std::less<>> seen;
  const auto look = [&](const OpBody& body, bool saver) {
    for (const Op& op : body.ops) {
      const bool bad = Reaches(op.type) || (Writes(op.type) && !saver);
      if (bad && seen.insert(op.type).second) found.push_back("the operation " + op.type);
    }
  };
  // TensorFlow 1 saves in the top graph.
  look(graph.top, graph.saver.has_value() || graph.kind != OpGraphKind::kGraphDef);
  for (const auto& [name, function] : graph.functions) look(function.body, IsSaversFunction(name));
  return found;
}

}  // namespace ckpt::formats
