#include <algorithm>
#include <map>
#include <string>

#include "audit/rules.h"
#include "audit/wording.h"
#include "ckpt/error_words.h"
#include "ckpt/graph_only.h"

namespace ckpt::audit {
namespace {

constexpr std::size_t kNamedTensors = 3;
constexpr std::size_t kNamedFunctions = 8;

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
                      ? "a part of the checkpoint is absent (" + InWords(problem.error) +
                            "). What is there was judged"
                      : "the data of " + Plural(problem.tensors.size(), "tensor") + " is absent (" +
                            InWords(problem.error) +
                            "). Names and shapes were judged, their values not";
  findings.Add(std::move(issue));
}

// Sound, but of a kind that is not read: by the reason.
using Unread = std::map<std::string, std::vector<TensorId>>;

void AddUnread(const Subject& subject, const Unread& unread, FindingList& findings) {
  for (const auto& [reason, tensors] : unread) {
    FileIssue issue{RuleIndex::kNotJudged, Severity::kWarning, "", tensors};
    issue.message = NamesOf(subject, tensors) + ": " + reason + ". The values were not judged";
    findings.Add(std::move(issue));
  }
}

void AddCodeOnLoad(const Subject& subject, FindingList& findings) {
  const std::vector<std::string>& functions = subject.manifest().runs_on_load;
  if (functions.empty()) return;
  FileIssue issue{RuleIndex::kRunsCode, Severity::kError, subject.manifest().resolved, {}};
  issue.message = "loading the file in its framework would run " +
                  Listed(functions, kNamedFunctions) + ". Nothing of it was run here";
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
  Unread unread;
  const std::vector<TensorInfo>& tensors = subject.manifest().tensors;
  const bool some_read = std::any_of(tensors.begin(), tensors.end(), [](const TensorInfo& info) {
    return info.data_present && info.section == Section::kModel;
  });
  for (const Problem& problem : subject.manifest().problems) {
    if (problem.error.code == ErrorCode::kNotFound) {
      AddAbsent(problem, findings);
    } else if (some_read && problem.error.code == ErrorCode::kUnsupported &&
               !problem.tensors.empty()) {
      std::vector<TensorId>& ids = unread[problem.error.message];
      ids.insert(ids.end(), problem.tensors.begin(), problem.tensors.end());
    } else {
      damage.Add(problem.tensors, problem.error);
    }
  }
  for (const TensorReader::Failure& failure : subject.reader.failures()) {
    damage.Add({failure.tensor}, failure.error);
  }
  AddUnread(subject, unread, findings);
  AddCodeOnLoad(subject, findings);
  if (IsGraphOnly(subject.manifest())) {
    FileIssue issue{RuleIndex::kNotJudged, Severity::kInfo, subject.manifest().resolved, {}};
    issue.message =
        "the file is a graph without values: what the graph says was judged, values were not";
    findings.Add(std::move(issue));
  }
  const std::optional<Error> error = damage.first;
  if (error) AddDamaged(subject, std::move(damage), findings);
  if (!subject.reader.unsupported().empty()) {
    const std::vector<TensorId> ids(subject.reader.unsupported().begin(),
                                    subject.reader.unsupported().end());
    findings.Add(
        {RuleIndex::kNotJudged, Severity::kInfo, "", ids,
         NamesOf(subject, ids) +
             ": of a type that the audit does not compute with. The values were not judged"});
  }
  return error;
}

}  // namespace ckpt::audit
