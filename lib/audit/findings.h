// Collects what the rules find, says it once per layer or once for many, and puts it in order.
#pragma once

#include <string>
#include <vector>

#include "audit/rule_table.h"
#include "ckpt/audit.h"

namespace ckpt::audit {

struct LayerIssue {
  std::size_t layer;              // in Analysis::batch_norms
  std::vector<TensorId> tensors;  // concerned
  std::string detail = {};        // what is special about this layer: "3 of 64 channels"
};

// One defect and the layers that have it.
struct Issue {
  RuleIndex rule;
  Severity severity;
  std::string what;         // "the moving mean and variance are missing"
  std::string consequence;  // whole sentences; may be empty
  std::vector<LayerIssue> layers = {};
  std::string fix = {};  // where the rule's own advice does not fit
};

// A finding of the file as a whole.
struct FileIssue {
  RuleIndex rule;
  Severity severity;
  std::string subject = {};  // empty: the file
  std::vector<TensorId> tensors = {};
  std::string message = {};
  std::vector<std::string> names = {};  // of tensors that the file may lack, beside `tensors`
};

class FindingList {
 public:
  FindingList(const Manifest& manifest, const Analysis& analysis)
      : manifest_(manifest), analysis_(analysis) {}

  // One finding for layers with nothing special to say of each, for many layers and for
  // information; else one per layer. Nothing is added for an issue without layers.
  void Add(Issue issue);
  void Add(FileIssue issue);

  // Errors first, then in model order; only the rules that were asked for.
  std::vector<Finding> Take(const AuditOptions& options) &&;

 private:
  struct Placed {
    Finding finding;
    std::size_t place;  // model order; the file as a whole comes after its layers
  };
  std::string FixFor(const Issue& issue) const;
  void AddOne(const Issue& issue, const LayerIssue& layer);
  void AddMany(const Issue& issue);
  std::vector<FindingTensor> Tensors(const std::vector<TensorId>& ids) const;

  const Manifest& manifest_;
  const Analysis& analysis_;
  std::vector<Placed> placed_;
};

}  // namespace ckpt::audit
