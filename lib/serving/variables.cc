#include "serving/variables.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "ckpt/elements.h"
#include "fold/reason.h"
#include "serving/op_facts.h"

namespace ckpt {
namespace {

constexpr std::size_t kMaxNamedVariables = 6;
constexpr std::int32_t kReferenceTypes = 100;  // added to the type of what refers to it

class VariableReader {
 public:
  VariableReader(WorkingGraph& graph, const Manifest& manifest, const OpGraph& source,
                 const std::set<OpId>& initialized)
      : graph_(graph), manifest_(manifest), initialized_(initialized) {
    for (const OpVariable& variable : source.variables) {
      if (!variable.op.empty()) by_op_.emplace(variable.op, &variable);
      by_name_.emplace(variable.name, &variable);
    }
  }

  Status Run(std::span<const OpEdge> roots) {
    for (const OpId id : graph_.Ancestors(roots, false)) JoinPartitions(id);
    const std::vector<OpId> order = graph_.Ancestors(roots, false);
    for (const OpId id : order) CKPT_RETURN_IF_ERROR(Visit(id));
    if (!missing_.empty()) return Fail(Missing());
    return {};
  }

 private:
  // A table or variable that stays, or a read or assignment of it.
  bool Stays(OpId id) const {
    const Op& op = graph_.op(id);
    if (initialized_.contains(id) || IsTableLookupType(op.type)) return true;
    if (op.type != "ReadVariableOp" && !IsAssignOp(op.type)) return false;
    const auto variable = op.inputs.empty() ? std::nullopt : VariableOf(graph_, op.inputs[0]);
    return variable && initialized_.contains(*variable);
  }

  Status Visit(OpId id) {
    if (Stays(id)) return {};
    Op& op = graph_.op(id);
    if (IsVariableOp(op.type)) {
      const OpVariable* part = TensorOf(op) ? nullptr : PartOf(op);
      if (part != nullptr) {
        BecomeSlice(id, *part);
      } else {
        BecomeConstant(op);
      }
    } else if (op.type == "ReadVariableOp" && op.inputs.size() == 1) {
      graph_.Redirect({id, 0, {}}, graph_.Input(id, 0));
    } else if (op.type == "ResourceGather" && op.inputs.size() == 2) {
      BecomeGather(op, id);
    } else if (IsAssignOp(op.type)) {
      return Fail(ErrorCode::kUnfit, "the outputs read what " + Quoted(op.name) + " (" + op.type +
                                         ") writes to a variable: the graph changes its variables "
                                         "at inference");
    } else if (IsTableType(op.type)) {
      return Fail(ErrorCode::kUnsupported,
                  "the outputs need the lookup table " + Quoted(op.name) + " (" + op.type +
                      "), which no initializer of the graph fills: a serving file cannot hold its "
                      "content");
    } else if (op.type.starts_with("Resource") || op.type == "VariableShape") {
      return Fail(ErrorCode::kUnsupported, "the operation " + Quoted(op.name) + " (" + op.type +
                                               ") uses a variable in a way "
                                               "that a serving graph cannot");
    }
    return {};
  }

  // Of the values: a VarHandleOp itself yields a handle.
  static OpDtype TypeOfVariable(const Op& op) {
    const auto* dtype = FindAttr<OpDtype>(op, "dtype");
    if (dtype == nullptr) return {};
    return {dtype->number > kReferenceTypes ? dtype->number - kReferenceTypes : dtype->number};
  }

  void BecomeConstant(Op& op) {
    const std::optional<TensorId> tensor = TensorOf(op);
    if (!tensor) missing_.push_back(op.name);
    const OpDtype dtype = TypeOfVariable(op);
    op.type = "Const";
    op.attrs.clear();
    op.attrs["dtype"] = dtype;
    op.inputs.clear();
    op.control_inputs.clear();
    op.record.reset();
    op.tensor = tensor;
    op.attrs[std::string(kWasVariable)] = true;
  }

  // The record of a variable that is a part of another one, which the checkpoint holds as a whole.
  const OpVariable* PartOf(const Op& op) const {
    const auto found = by_op_.find(op.name);
    if (found == by_op_.end() || found->second->full_name.empty()) return nullptr;
    const OpVariable& part = *found->second;
    const auto tensor = FindTensor(manifest_, part.full_name);
    if (!tensor) return nullptr;
    const auto dims = manifest_.tensors[tensor->index].shape.dims();
    if (!std::equal(dims.begin(), dims.end(), part.full_shape.begin(), part.full_shape.end()) ||
        part.offset.size() != dims.size() || part.extent.size() != dims.size()) {
      return nullptr;
    }
    for (std::size_t i = 0; i < dims.size(); ++i) {
      if (part.offset[i] < 0 || part.extent[i] < 0 || part.offset[i] > dims[i] ||
          part.extent[i] > dims[i] - part.offset[i]) {
        return nullptr;
      }
    }
    return &part;
  }

  // All parts of a variable in their order are the variable.
  void JoinPartitions(OpId id) {
    if (graph_.op(id).type != "ConcatV2" || graph_.op(id).inputs.size() < 2) return;
    const std::size_t count = graph_.op(id).inputs.size() - 1;
    const auto axes = ConstantIntegers(graph_, graph_.op(id).inputs[count]);
    if (!axes || axes->size() != 1) return;
    const OpVariable* first = nullptr;
    std::int64_t end = 0;
    std::size_t axis = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const auto variable = VariableOf(graph_, graph_.op(id).inputs[i]);
      if (!variable || TensorOf(graph_.op(*variable))) return;
      const OpVariable* part = PartOf(graph_.op(*variable));
      if (part == nullptr || (first != nullptr && part->full_name != first->full_name)) return;
      if (first == nullptr) {
        first = part;
        const auto rank = static_cast<std::int64_t>(part->full_shape.size());
        const std::int64_t wanted = axes->front() < 0 ? axes->front() + rank : axes->front();
        if (wanted < 0 || wanted >= rank) return;
        axis = static_cast<std::size_t>(wanted);
      }
      for (std::size_t k = 0; k < part->offset.size(); ++k) {
        const bool whole = part->offset[k] == 0 && part->extent[k] == part->full_shape[k];
        if (k == axis ? part->offset[k] != end : !whole) return;
      }
      end += part->extent[axis];
    }
    if (end != first->full_shape[axis]) return;
    const auto dtype = OutputDtype(graph_.op(id), 0);
    graph_.Redirect({id, 0, {}}, {Whole(*first, dtype.value_or(OpDtype{})), 0, {}});
  }

  // The constant that holds all of a partitioned variable.
  OpId Whole(const OpVariable& part, OpDtype dtype) {
    const auto known = whole_.find(part.full_name);
    if (known != whole_.end()) return known->second;
    // Usually the identity of the joined parts has the name, and nothing else needs it now.
    const auto taken = graph_.Find(part.full_name);
    const bool free = taken && IsIdentityType(graph_.op(*taken).type);
    if (free) graph_.op(*taken).name += "/replaced";
    Op op;
    op.name = part.full_name;
    op.type = "Const";
    op.attrs["dtype"] = dtype;
    op.attrs[std::string(kWasVariable)] = true;
    op.tensor = FindTensor(manifest_, part.full_name);
    const OpId id = graph_.Add(std::move(op));
    if (free) graph_.op(id).name = part.full_name;
    whole_.emplace(part.full_name, id);
    return id;
  }

  OpEdge Integers(const std::string& name, const std::vector<std::int64_t>& values) {
    OpConstant constant{Dtype::kI64, {}, std::vector<std::byte>(8 * values.size()), {}};
    constant.shape = *Shape::FromDims({static_cast<std::int64_t>(values.size())});
    const std::vector<double> numbers(values.begin(), values.end());
    EncodeFromDouble(Dtype::kI64, numbers, constant.bytes);
    return {graph_.Add(MakeConstant(name, kTfInt64, std::move(constant))), 0, {}};
  }

  void BecomeSlice(OpId id, const OpVariable& part) {
    const std::string name = graph_.op(id).name;
    const OpDtype dtype = TypeOfVariable(graph_.op(id));
    const OpId whole = Whole(part, dtype);
    if (part.extent == part.full_shape) {  // the only part
      graph_.Redirect({id, 0, {}}, {whole, 0, {}});
      return;
    }
    const OpEdge begin = Integers(name + "/begin", part.offset);
    const OpEdge size = Integers(name + "/size", part.extent);
    Op& op = graph_.op(id);
    op.type = "Slice";
    op.attrs.clear();
    op.attrs["T"] = dtype;
    op.attrs["Index"] = OpDtype{kTfInt64};
    op.inputs = {{whole, 0, {}}, begin, size};
    op.control_inputs.clear();
    op.record.reset();
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
      if (++count > kMaxNamedVariables) continue;
      list += (list.empty() ? "" : ", ") + scope + (leaves.empty() ? "" : " (" + leaves + ")");
    }
    if (count > kMaxNamedVariables)
      list += " and " + std::to_string(count - kMaxNamedVariables) + " more layers";
    return Error{ErrorCode::kUnfit, "not fit to be served: the checkpoint lacks " +
                                        std::to_string(missing_.size()) +
                                        " variables that the graph reads at inference: " + list};
  }

  WorkingGraph& graph_;
  const Manifest& manifest_;
  const std::set<OpId>& initialized_;
  std::map<std::string, const OpVariable*> by_op_, by_name_;
  std::map<std::string, OpId> whole_ = {};  // partitioned variables
  std::vector<std::string> missing_;
};

}  // namespace

Status ReadVariables(WorkingGraph& graph, const Manifest& manifest, const OpGraph& source,
                     std::span<const OpEdge> roots, const std::set<OpId>& initialized) {
  return VariableReader(graph, manifest, source, initialized).Run(roots);
}

}  // namespace ckpt
