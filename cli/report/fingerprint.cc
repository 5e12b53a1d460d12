#include "cli/report/fingerprint.h"

#include "ckpt/sha256.h"

namespace ckpt::cli {

std::vector<std::string> NamesOf(const Finding& finding, const Analysis* analysis) {
  std::vector<std::string> names;
  if (analysis != nullptr) {
    for (const std::size_t layer : finding.layers)
      names.push_back(analysis->batch_norms[layer].scope);
  }
  if (!names.empty()) return names;
  for (const FindingTensor& tensor : finding.tensors) names.push_back(tensor.name);
  return names;
}

std::string FingerprintOf(std::string_view rule, const std::vector<std::string>& names) {
  std::string text(rule);
  for (const std::string& name : names) text.append(1, '\0').append(name);
  return Sha256(text);
}

std::string FingerprintOf(const Finding& finding, const Analysis* analysis) {
  return FingerprintOf(finding.rule->id, NamesOf(finding, analysis));
}

}  // namespace ckpt::cli
