// Small networks in memory, audited through the library's own analysis of names.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ckpt/audit.h"
#include "tests/support/memory_checkpoint.h"

namespace ckpt::testing {

// The four vectors of a batch norm as trained: what the audit has nothing to say about. An empty
// vector leaves the tensor out.
struct Vectors {
  std::vector<double> gamma = {0.9, 1.1, 0.95, 1.2};
  std::vector<double> beta = {0.1, -0.2, 0.05, -0.1};
  std::vector<double> mean = {0.3, -0.4, 1.5, 0.02};
  std::vector<double> variance = {0.5, 2.0, 0.09, 1.4};
};

inline Vectors NeverUpdated() { return {.mean = {0, 0, 0, 0}, .variance = {1, 1, 1, 1}}; }

class Network : public MemoryCheckpoint {
 public:
  // Adds scope/gamma and so on, in TensorFlow's names.
  Network& BatchNormalization(const std::string& scope, const Vectors& vectors = {},
                              Dtype dtype = Dtype::kF32) {
    return Named(scope, {"/gamma", "/beta", "/moving_mean", "/moving_variance"}, vectors, dtype);
  }
  // Adds scope.weight and so on, in PyTorch's names.
  Network& BatchNorm2d(const std::string& scope, const Vectors& vectors = {}) {
    return Named(scope, {".weight", ".bias", ".running_mean", ".running_var"}, vectors,
                 Dtype::kF32);
  }
  Network& Vector(const std::string& name, const std::vector<double>& values,
                  Dtype dtype = Dtype::kF32) {
    Add(name, {static_cast<std::int64_t>(values.size())}, values, dtype);
    return *this;
  }
  Network& Scalar(const std::string& name, double value, Dtype dtype = Dtype::kI64) {
    Add(name, {}, {value}, dtype);
    return *this;
  }
  Network& Matrix(const std::string& name, const std::vector<double>& values) {
    Add(name, {static_cast<std::int64_t>(values.size() / 2), 2}, values);
    return *this;
  }

 private:
  Network& Named(const std::string& scope, const std::vector<std::string>& suffixes,
                 const Vectors& vectors, Dtype dtype) {
    const std::vector<const std::vector<double>*> parts = {&vectors.gamma, &vectors.beta,
                                                           &vectors.mean, &vectors.variance};
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (!parts[i]->empty()) Vector(scope + suffixes[i], *parts[i], dtype);
    }
    return *this;
  }
};

// Seals and audits.
inline AuditResult Audited(Network& network, const AuditOptions& options = {},
                           const AnalysisOptions& analysis = {}) {
  network.Seal();
  return Audit(network, Analyse(network.manifest(), analysis), options);
}

inline std::string Described(const AuditResult& result) {
  std::string text;
  for (const Finding& finding : result.findings) {
    text += std::string(Name(finding.severity)) + " " + std::string(finding.rule->id) + " " +
            finding.subject + ": " + finding.message + "\n";
  }
  return text.empty() ? "no findings\n" : text;
}

inline const Finding* FindingOf(const AuditResult& result, std::string_view rule) {
  for (const Finding& finding : result.findings) {
    if (finding.rule->id == rule) return &finding;
  }
  return nullptr;
}

inline std::size_t CountOf(const AuditResult& result, std::string_view rule) {
  std::size_t count = 0;
  for (const Finding& finding : result.findings) count += finding.rule->id == rule;
  return count;
}

// "error BN001 stem/bn": rule ids and severities above information, in order.
inline std::vector<std::string> Judged(const AuditResult& result) {
  std::vector<std::string> judged;
  for (const Finding& finding : result.findings) {
    if (finding.severity == Severity::kInfo) continue;
    judged.push_back(std::string(Name(finding.severity)) + " " + std::string(finding.rule->id) +
                     " " + finding.subject);
  }
  return judged;
}

// Nothing above information.
inline ::testing::AssertionResult Silent(const AuditResult& result) {
  if (Judged(result).empty() && !result.error) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << Described(result);
}

}  // namespace ckpt::testing
