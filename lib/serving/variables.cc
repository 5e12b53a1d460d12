#include "serving/variables.h"

#include <algorithm>
#include <utility>

#include "fold/reason.h"
#include "serving/op_facts.h"

namespace ckpt {
namespace {

constexpr std::size_t kMaxNamed = 6;

class Reader {
 public:
  Reader(WorkingGraph& graph, const Manifest& manifest, const OpGraph& source)
      : graph_(graph), manifest_(manifest) {
    for (const OpVariable& variable : source.variables) {
      if (!variable.op.empty()) by_op_.emplace(variable.op, &variable);
      by_name_.emplace(variable.name, &variable);
    }
  }

  Status Run(std::span<const OpEdge> roots) {
    const std::vector<OpId> order = graph_.Ancestors(roots, false);
    for (const OpId id : order) CKPT_RETURN_IF_ERROR(Visit(id));
    if (!missing_.empty()) return Fail(Missing());
    return {};
  }

 private:
  Status Visit(OpId id) {
    Op& op = graph_.op(id);
    if (IsVariableType(op.type)) {
      BecomeConstant(op);
    } else if (op.type == "ReadVariableOp" && op.inputs.size() == 1) {
      graph_.Redirect({id, 0, {}}, graph_.Input(id, 0));
    } else if (op.type == "ResourceGather" && op.inputs.size() == 2) {
      BecomeGather(op, id);
    } else if (IsAssignType(op.type)) {
      return Fail(ErrorCode::kUnfit, "the outputs read what " + Quoted(op.name) + " (" + op.type +
                                         ") writes to a variable: the graph changes its variables "
                                         "at inference");
    } else if (IsTableType(op.type)) {
      return Fail(ErrorCode::kUnsupported,
                  "the outputs need the lookup table " + Quoted(op.name) + " (" + op.type +
                      "), which a serving file cannot take from a checkpoint here");
    } else if (op.type.starts_with("Resource") || op.type == "VariableShape") {
      return Fail(ErrorCode::kUnsupported, "the operation " + Quoted(op.name) + " (" + op.type +
                                               ") uses a variable in a way "
                                               "that a serving graph cannot");
    }
    return {};
  }

  void BecomeConstant(Op& op) {
    const std::optional<TensorId> tensor = TensorOf(op);
    if (!tensor) missing_.push_back(op.name);
    OpDtype dtype;
    if (const auto recorded = OutputDtype(op, 0)) dtype = *recorded;
    op.type = "Const";
    op.attrs.clear();
    op.attrs["dtype"] = dtype;
    op.inputs.clear();
    op.control_inputs.clear();
    op.record.reset();
    op.tensor = tensor;
    op.attrs[std::string(kWasVariable)] = true;
  }

  void BecomeGather(Op& op, OpId id) {
    OpConstant axis{Dtype::kI32, {}, std::vector<std::byte>(4), {}};
    const OpDtype* dtype = FindAttr<OpDtype>(op, "dtype");
    const OpDtype* indices = FindAttr<OpDtype>(op, "Tindices");
    std::map<std::string, OpAttr, std::less<>> attrs;
    if (dtype != nullptr) attrs["Tparams"] = *dtype;
    if (indices != nullptr) attrs["Tindices"] = *indices;
    attrs["Taxis"] = OpDtype{kTfInt32};
    attrs["batch_dims"] = std::int64_t{0};
    op.type = "GatherV2";
    op.attrs = std::move(attrs);
    op.record.reset();
    const std::string name = op.name + "/axis";
    const OpId constant = graph_.Add(MakeConstant(name, kTfInt32, std::move(axis)));
    graph_.op(id).inputs.push_back({constant, 0, {}});
  }

  std::optional<TensorId> TensorOf(const Op& op) const {
    std::vector<std::string> names;
    const auto add = [&](const OpVariable& variable) {
      if (!variable.checkpoint_key.empty()) names.push_back(variable.checkpoint_key);
      names.push_back(variable.name);
    };
    if (const auto found = by_op_.find(op.name); found != by_op_.end()) add(*found->second);
    const auto* shared = FindAttr<std::string>(op, "shared_name");
    if (shared != nullptr && !shared->empty()) {
      if (const auto found = by_name_.find(*shared); found != by_name_.end()) add(*found->second);
      names.push_back(*shared);
    }
    if (const auto found = by_name_.find(op.name); found != by_name_.end()) add(*found->second);
    names.push_back(op.name);
    for (const std::string& name : names) {
      if (const auto id = FindTensor(manifest_, name)) return id;
    }
    return std::nullopt;
  }

  // "block1/bn (moving_mean, moving_variance), ..."
  Error Missing() const {
    std::map<std::string, std::string> by_scope;
    for (const std::string& name : missing_) {
      const std::size_t slash = name.rfind('/');
      const bool plain = slash == std::string::npos;
      std::string& leaves = by_scope[plain ? name : name.substr(0, slash)];
      if (!plain) leaves += (leaves.empty() ? "" : ", ") + name.substr(slash + 1);
    }
    std::string list;
    std::size_t count = 0;
    for (const auto& [scope, leaves] : by_scope) {
      if (++count > kMaxNamed) continue;
      list += (list.empty() ? "" : ", ") + scope + (leaves.empty() ? "" : " (" + leaves + ")");
    }
    if (count > kMaxNamed) list += " and " + std::to_string(count - kMaxNamed) + " more layers";
    return Error{ErrorCode::kUnfit,
                 "not fit to be served: the checkpoint lacks " + std::to_string(missing_.size()) +
                     " variables that the graph reads at inference: " + list,
                 {},
                 {},
                 {}};
  }

  WorkingGraph& graph_;
  const Manifest& manifest_;
  std::map<std::string, const OpVariable*> by_op_, by_name_;
  std::vector<std::string> missing_;
};

}  // namespace

Status ReadVariables(WorkingGraph& graph, const Manifest& manifest, const OpGraph& source,
                     std::span<const OpEdge> roots) {
  return Reader(graph, manifest, source).Run(roots);
}

}  // namespace ckpt
