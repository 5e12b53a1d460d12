#include <algorithm>
#include <string>

#include "audit/rules.h"
#include "audit/wording.h"
#include "ckpt/graph_only.h"

namespace ckpt::audit {
namespace {

constexpr std::size_t kNamedTensors = 3;

std::string NamesOf(const Subject& subject, const std::vector<TensorId>& ids) {
  std::vector<std::string> names;
  for (const TensorId id : ids) {
    names.push_back(subject.manifest().tensors[id.index].name);
  }
  return Listed(names, kNamedTensors);
}

void AddAbsent(const Problem& problem, FindingList& findings) {
  FileIssue issue{RuleIndex::kDataAbsent, Severity::kWarning, problem.error.file, problem.tensors};
  issue.message = problem.tensors.empty()
                      ? "a part of the checkpoint is absent (" + ToString(problem.error) +
                            "). What is there was judged"
                      : "the data of " + Plural(problem.tensors.size(), "tensor") + " is absent (" +
                            ToString(problem.error) +
                            "). Names and shapes were judged, their values not";
  findings.Add(std::move(issue));
}

struct Damage {
  std::vector<TensorId> tensors;
  std::optional<Error> first;

  void Add(const std::vector<TensorId>& ids, const Error& error) {
    tensors.insert(tensors.end(), ids.begin(), ids.end());
    if (!first) first = error;
  }
};

void AddDamaged(const Subject& subject, Damage damage, FindingList& findings) {
  std::sort(damage.tensors.begin(), damage.tensors.end());
  damage.tensors.erase(std::unique(damage.tensors.begin(), damage.tensors.end()),
                       damage.tensors.end());
  FileIssue issue{RuleIndex::kDataDamaged, Severity::kError, damage.first->file, damage.tensors};
  issue.message = "the data of " + Plural(damage.tensors.size(), "tensor") +
                  " cannot be used: " + NamesOf(subject, damage.tensors) + ". " +
                  ToString(*damage.first);
  const std::size_t failed = subject.reader.checksums_failed();
  const std::size_t checked = subject.reader.checksums_checked();
  if (failed >= 2 && 2 * failed > checked) {
    issue.message += ". " + std::to_string(failed) + " of " + std::to_string(checked) +
                     " checksums fail: index and data are likely of different training steps";
  }
  findings.Add(std::move(issue));
}

}  // namespace

std::optional<Error> JudgeReading(const Subject& subject, FindingList& findings) {
  Damage damage;
  for (const Problem& problem : subject.manifest().problems) {
    if (problem.error.code == ErrorCode::kNotFound) {
      AddAbsent(problem, findings);
    } else {
      damage.Add(problem.tensors, problem.error);
    }
  }
  for (const TensorReader::Failure& failure : subject.reader.failures()) {
    damage.Add({failure.tensor}, failure.error);
  }
  if (IsGraphOnly(subject.manifest())) {
    FileIssue issue{RuleIndex::kNotJudged, Severity::kInfo, subject.manifest().resolved, {}};
    issue.message = "is a graph by itself: what it says was judged, values were not";
    findings.Add(std::move(issue));
  }
  const std::optional<Error> error = damage.first;
  if (error) AddDamaged(subject, std::move(damage), findings);
  if (!subject.reader.unsupported().empty()) {
    const std::vector<TensorId> ids(subject.reader.unsupported().begin(),
                                    subject.reader.unsupported().end());
    findings.Add({RuleIndex::kNotJudged, Severity::kInfo, "", ids,
                  "the types of " + NamesOf(subject, ids) + " are not ones to compute with"});
  }
  return error;
}

}  // namespace ckpt::audit
