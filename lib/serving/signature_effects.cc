#include "serving/signature_effects.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "ckpt/op_bodies.h"
#include "fold/reason.h"
#include "serving/batch_statistics.h"
#include "serving/branches.h"
#include "serving/op_facts.h"

namespace ckpt {
namespace {

constexpr int kMaxCallNesting = 64;  // of calls

bool Optimizes(std::string_view type) {
  for (const char* prefix : {"Apply", "ResourceApply", "SparseApply", "ResourceSparseApply"}) {
    if (type.starts_with(prefix)) return true;
  }
  return false;
}

bool Saves(std::string_view type) {
  constexpr std::array<std::string_view, 6> kTypes = {
      "Save", "SaveV2", "SaveSlices", "MergeV2Checkpoints", "WriteFile", "SaveDataset"};
  return std::find(kTypes.begin(), kTypes.end(), type) != kTypes.end();
}

// The operations that run when outputs are asked for.
class Walk {
 public:
  explicit Walk(const WorkingGraph& graph)
      : graph_(graph), seen_(graph.size(), false), called_(graph.size(), false) {}

  std::vector<OpId> Run(std::span<const OpEdge> outputs) {
    pending_.assign(outputs.begin(), outputs.end());
    while (!pending_.empty()) {
      const OpEdge edge = pending_.back();
      pending_.pop_back();
      Follow(edge);
    }
    return std::move(found_);
  }

 private:
  // What was redirected does not run itself, but what it called does.
  void Follow(OpEdge edge) {
    for (std::size_t steps = 0; steps <= graph_.size(); ++steps) {
      if (!called_[edge.op]) {
        called_[edge.op] = true;
        for (const OpId effect : graph_.Effects(edge.op)) pending_.push_back({effect, 0, {}});
      }
      const auto next = graph_.Next(edge);
      if (!next) break;
      edge = *next;
    }
    if (seen_[edge.op]) return;
    seen_[edge.op] = true;
    found_.push_back(edge.op);
    const Op& op = graph_.op(edge.op);
    pending_.insert(pending_.end(), op.inputs.begin(), op.inputs.end());
    for (const OpId control : op.control_inputs) pending_.push_back({control, 0, {}});
  }

  const WorkingGraph& graph_;
  std::vector<bool> seen_, called_;
  std::vector<OpId> found_;
  std::vector<OpEdge> pending_;
};

std::vector<OpEdge> OutputsOf(const ServingSignature& signature) {
  std::vector<OpEdge> edges;
  for (const NamedEdge& output : signature.outputs) edges.push_back(output.edge);
  return edges;
}

// Writes out the calls that outputs do not read but that run beside them.
Status InlineEffects(WorkingGraph& graph, const OpGraph& source, std::span<const OpEdge> outputs) {
  for (int depth = 0; depth < kMaxCallNesting; ++depth) {
    const std::size_t before = graph.size();
    std::vector<OpEdge> running;
    for (const OpId id : Walk(graph).Run(outputs)) running.push_back({id, 0, {}});
    CKPT_RETURN_IF_ERROR(InlineCalls(graph, source, running));
    if (graph.size() == before) return {};
  }
  return {};
}

class Judge {
 public:
  Judge(const WorkingGraph& graph, const OpGraph& source)
      : graph_(graph), source_(source), statistics_(VariablesOfBatchStatistics(graph)) {}

  std::optional<std::string> TrainsOrSaves(const ServingSignature& signature) {
    for (const OpId id : Walk(graph_).Run(OutputsOf(signature))) {
      const Op& op = graph_.op(id);
      if (const auto why = ByType(op)) return why;
      for (const auto& [name, attr] : op.attrs) {
        const auto* function = std::get_if<OpFunctionName>(&attr);
        if (function == nullptr) continue;
        if (auto why = InFunction(function->name)) return why;
      }
    }
    return std::nullopt;
  }

  // The first write to a variable of `read`, or to none of them.
  std::optional<OpId> Write(const ServingSignature& signature, const std::set<OpId>& read,
                            bool to_read) const {
    for (const OpId id : Walk(graph_).Run(OutputsOf(signature))) {
      const auto variable = WrittenBy(id);
      if (variable && !statistics_.contains(*variable) && read.contains(*variable) == to_read)
        return id;
    }
    return std::nullopt;
  }

  // "the variable "v": "w" (AssignVariableOp)"
  std::string Told(OpId write) const {
    const Op& op = graph_.op(write);
    return "the variable " + Quoted(graph_.op(*WrittenBy(write)).name) + " (" + Quoted(op.name) +
           ", " + op.type + ")";
  }

 private:
  static std::optional<std::string> ByType(const Op& op) {
    const char* what = Optimizes(op.type) ? "it trains: " : Saves(op.type) ? "it saves: " : nullptr;
    if (what == nullptr) return std::nullopt;
    return what + Quoted(op.name) + " (" + op.type + ")";
  }

  std::optional<OpId> WrittenBy(OpId id) const {
    const Op& op = graph_.op(id);
    if (!IsAssignOp(op.type) || op.inputs.empty()) return std::nullopt;
    return VariableOf(graph_, op.inputs[0]);
  }

  // Of branches and loops that stay, and of all that they call.
  std::optional<std::string> InFunction(const std::string& name) {
    std::vector<std::string> pending = {name};
    while (!pending.empty()) {
      const auto function = source_.functions.find(pending.back());
      const bool is_new = harmless_.insert(pending.back()).second;
      pending.pop_back();
      if (function == source_.functions.end() || !is_new) continue;
      for (const Op& op : function->second.body.ops) {
        if (auto why = ByType(op)) {
          harmless_.clear();
          return why;
        }
        for (const auto& [key, attr] : op.attrs) {
          if (const auto* inner = std::get_if<OpFunctionName>(&attr))
            pending.push_back(inner->name);
        }
      }
    }
    return std::nullopt;
  }

  const WorkingGraph& graph_;
  const OpGraph& source_;
  const std::set<OpId> statistics_;
  std::set<std::string> harmless_;  // functions that were looked into
};

// The variables that the outputs read.
std::set<OpId> VariablesRead(const WorkingGraph& graph,
                             const std::vector<ServingSignature>& signatures) {
  std::vector<OpEdge> outputs;
  for (const ServingSignature& signature : signatures) {
    for (const OpEdge& edge : OutputsOf(signature)) outputs.push_back(edge);
  }
  std::set<OpId> read;
  for (const OpId id : graph.Ancestors(outputs, false)) {
    if (IsVariableOp(graph.op(id).type)) read.insert(id);
  }
  return read;
}

// Takes out the recorded signatures for which `reason` has one.
template <class Reason>
void Drop(std::vector<ServingSignature>& signatures, std::vector<Dropped>& dropped,
          const Reason& reason) {
  std::erase_if(signatures, [&](const ServingSignature& signature) {
    const auto why = signature.recorded ? reason(signature) : std::nullopt;
    if (why) dropped.push_back({signature.name, *why});
    return why.has_value();
  });
}

}  // namespace

Status DropWhatDoesNotServe(const WorkingGraph& graph, const OpGraph& source,
                            std::vector<ServingSignature>& signatures,
                            std::vector<Dropped>& dropped, std::vector<std::string>& notes) {
  const bool recorded = std::any_of(signatures.begin(), signatures.end(),
                                    [](const ServingSignature& one) { return one.recorded; });
  if (!recorded) return {};
  WorkingGraph written_out = graph;
  for (const ServingSignature& signature : signatures)
    CKPT_RETURN_IF_ERROR(InlineEffects(written_out, source, OutputsOf(signature)));
  Judge judge(written_out, source);
  Drop(signatures, dropped, [&](const auto& one) { return judge.TrainsOrSaves(one); });
  const std::set<OpId> read = VariablesRead(written_out, signatures);
  Drop(signatures, dropped, [&](const auto& one) -> std::optional<std::string> {
    const auto write = judge.Write(one, read, true);
    if (!write) return std::nullopt;
    return "it writes what is read at inference, " + judge.Told(*write);
  });
  for (const ServingSignature& signature : signatures) {
    const auto write = judge.Write(signature, read, false);
    if (write && signature.recorded) {
      notes.push_back("the signature " + Quoted(signature.name) + " no longer writes " +
                      judge.Told(*write) + ", which no output reads");
    }
  }
  if (!signatures.empty()) return {};
  std::string reasons;
  for (const Dropped& one : dropped)
    reasons += (reasons.empty() ? "" : "; ") + Quoted(one.name) + ": " + one.reason;
  return Fail(ErrorCode::kUnfit, "no signature of the graph can serve from a file: " + reasons);
}

}  // namespace ckpt
