#include "ckpt/formats/foreign_code.h"

#include "formats/keras/model/config_code.h"
#include "formats/tf_graph/operation_code.h"
#include "formats/torch/script_code.h"

namespace ckpt::formats {

Result<std::vector<std::string>> ForeignCode(const Files& files, const Checkpoint& checkpoint) {
  const std::string_view format = checkpoint.format();
  const Manifest& manifest = checkpoint.manifest();
  std::vector<std::string> found;
  if (manifest.ops != nullptr) return CodeInOperations(*manifest.ops);
  if (format == "torch") return CodeInScript(files, manifest.resolved);
  for (const Document& document : manifest.documents) {
    if (document.name != "model_config" && document.name != "config.json") continue;
    CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> more, keras::CodeInConfig(document.text));
    found.insert(found.end(), more.begin(), more.end());
  }
  return found;
}

bool IsTorchScript(const Files& files, const Checkpoint& checkpoint) {
  return checkpoint.format() == "torch" && HoldsScript(files, checkpoint.manifest().resolved);
}

}  // namespace ckpt::formats
