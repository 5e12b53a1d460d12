#include "serving/outputs.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "fold/reason.h"
#include "serving/op_facts.h"

namespace ckpt {
namespace {

constexpr std::size_t kMaxPlaceholders = 64;  // bits of a mask
constexpr std::size_t kMaxOutputs = 16;

Result<OpEdge> EdgeOf(const WorkingGraph& graph, const std::string& name) {
  CKPT_ASSIGN_OR_RETURN(const TensorName parsed, ParseTensorName(name));
  const auto id = graph.Find(parsed.op);
  if (!id)
    return Fail(ErrorCode::kInvalidArgument, "the graph has no operation " + Quoted(parsed.op));
  return OpEdge{*id, parsed.output, {}};
}

std::string KeyOf(const TensorName& name) {
  return name.output == 0 ? name.op : name.op + "_" + std::to_string(name.output);
}

Result<std::vector<NamedEdge>> NamedByUser(const WorkingGraph& graph,
                                           const std::vector<std::string>& names) {
  std::vector<NamedEdge> edges;
  for (const std::string& name : names) {
    CKPT_ASSIGN_OR_RETURN(const TensorName parsed, ParseTensorName(name));
    CKPT_ASSIGN_OR_RETURN(OpEdge edge, EdgeOf(graph, name));
    edges.push_back({KeyOf(parsed), KeyOf(parsed), std::move(edge)});
  }
  return edges;
}

const OpSignature* ChooseSignature(const OpGraph& source) {
  const OpSignature* only = nullptr;
  std::size_t usable = 0;
  for (const OpSignature& signature : source.signatures) {
    if (signature.outputs.empty() || signature.name.starts_with("__")) continue;
    if (signature.name == "serving_default") return &signature;
    only = &signature;
    ++usable;
  }
  return usable == 1 ? only : nullptr;
}

bool IsOfGradients(std::string_view name) {
  while (!name.empty()) {
    const std::size_t slash = name.find('/');
    const std::string_view part = name.substr(0, slash);
    if (part == "gradients" || part.starts_with("gradients_")) return true;
    if (slash == std::string_view::npos) break;
    name.remove_prefix(slash + 1);
  }
  return false;
}

// Operations whose results nobody serves.
bool IsSideEffect(std::string_view type) {
  return IsAssignOp(type) || type.ends_with("Summary") || type.ends_with("SummaryV2") ||
         type == "Assert" || type == "Print" || type == "PrintV2" || type == "NoOp" ||
         type.starts_with("Save") || type == "Shape" || type == "ShapeN" || type == "Rank" ||
         type == "Size";
}

class Derivation {
 public:
  explicit Derivation(const WorkingGraph& graph) : graph_(graph) {}

  Result<ServingEnds> Run(std::vector<std::string>& notes) {
    std::vector<OpEdge> all;
    for (OpId id = 0; id < graph_.size(); ++id) all.push_back({id, 0, {}});
    order_ = graph_.Ancestors(all, false);
    FindPlaceholders();
    if (placeholders_.size() > kMaxPlaceholders) {
      return Fail(ErrorCode::kUnfit, "the graph has " + std::to_string(placeholders_.size()) +
                                         " placeholders and no signature; --outputs names what "
                                         "is to be served");
    }
    Propagate();
    CKPT_RETURN_IF_ERROR(TellLabels());
    return Collect(notes);
  }

 private:
  struct Facts {
    std::uint64_t placeholders = 0;  // that it depends on
    bool weights = false, training = false;
    bool read = false, read_with_labels = false;
  };

  void FindPlaceholders() {
    facts_.resize(graph_.size());
    for (const OpId id : order_) {
      const Op& op = graph_.op(id);
      const bool iterator = op.type == "IteratorGetNext" || op.type == "OneShotIterator";
      if (!IsPlaceholderType(op.type) && !iterator) continue;
      const auto dtype = OutputDtype(op, 0);
      if (dtype == OpDtype{kTfBool} || dtype == OpDtype{kTfResource}) continue;
      const auto* shape = FindAttr<OpShape>(op, "shape");
      const bool scalar = shape != nullptr && *shape && (*shape)->empty();
      // Rates and flags; a string is the content of a file.
      if (scalar && dtype != OpDtype{kTfString}) continue;
      placeholders_.push_back(id);
    }
  }

  void Propagate() {
    for (std::size_t i = 0; i < placeholders_.size() && i < kMaxPlaceholders; ++i)
      facts_[placeholders_[i]].placeholders = std::uint64_t{1} << i;
    for (const OpId id : order_) {
      const Op& op = graph_.op(id);
      Facts& facts = facts_[id];
      facts.weights = IsVariableOp(op.type) || op.tensor.has_value();
      facts.training = IsOfGradients(op.name) || op.type.find("Apply") != std::string::npos;
      for (std::size_t i = 0; i < op.inputs.size(); ++i) {
        const Facts& input = facts_[graph_.Input(id, i).op];
        facts.placeholders |= input.placeholders;
        facts.weights = facts.weights || input.weights;
        facts.training = facts.training || input.training;
      }
      trains_ = trains_ || facts.training;
    }
  }

  Status TellLabels() {
    std::uint64_t alone = 0;
    for (const Facts& facts : facts_) {
      const std::uint64_t mask = facts.placeholders;
      const bool one = mask != 0 && (mask & (mask - 1)) == 0;
      if (facts.weights && !facts.training && one) alone |= mask;
    }
    const std::uint64_t all = placeholders_.size() == 64
                                  ? ~std::uint64_t{0}
                                  : (std::uint64_t{1} << placeholders_.size()) - 1;
    if (alone == 0 && trains_) {
      return Fail(ErrorCode::kUnfit,
                  "nothing shows which placeholders are inputs and which hold labels; --inputs "
                  "and --outputs name what is to be served");
    }
    labels_ = trains_ ? all & ~alone : 0;
    return {};
  }

  Result<ServingEnds> Collect(std::vector<std::string>& notes) {
    for (const OpId id : order_) {
      const Facts& facts = facts_[id];
      if (facts.training) continue;
      const bool with_labels = (facts.placeholders & labels_) != 0;
      for (std::size_t i = 0; i < graph_.op(id).inputs.size(); ++i) {
        Facts& input = facts_[graph_.Input(id, i).op];
        input.read = true;
        input.read_with_labels = input.read_with_labels || with_labels;
      }
    }
    ServingEnds ends;
    for (const OpId id : order_) {
      const Op& op = graph_.op(id);
      const Facts& facts = facts_[id];
      const bool forward = !facts.training && facts.weights &&
                           (facts.placeholders != 0 || placeholders_.empty()) &&
                           (facts.placeholders & labels_) == 0;
      if (!forward || IsSideEffect(op.type) || IsVariableOp(op.type)) continue;
      if (facts.read && !facts.read_with_labels) continue;
      ends.outputs.push_back({op.name, op.name, {id, 0, {}}});
    }
    if (ends.outputs.empty() || ends.outputs.size() > kMaxOutputs) {
      return Fail(ErrorCode::kUnfit,
                  "the graph has no signature, and its outputs cannot be told (" +
                      std::to_string(ends.outputs.size()) +
                      " candidates); --outputs names what is to be served");
    }
    std::string list;
    for (const NamedEdge& output : ends.outputs)
      list += (list.empty() ? "" : ", ") + Quoted(output.name);
    notes.push_back("the graph has no signature; its outputs, derived: " + list);
    return ends;
  }

  const WorkingGraph& graph_;
  std::vector<OpId> order_, placeholders_;
  std::vector<Facts> facts_;
  std::uint64_t labels_ = 0;
  bool trains_ = false;
};

Result<ServingEnds> BySignature(const WorkingGraph& graph, const OpSignature& signature) {
  ServingEnds ends;
  ends.signature = signature.name;
  if (!signature.method.empty()) ends.method = signature.method;
  for (const auto& [key, tensor] : signature.outputs) {
    CKPT_ASSIGN_OR_RETURN(const TensorName parsed, ParseTensorName(tensor));
    CKPT_ASSIGN_OR_RETURN(OpEdge edge, EdgeOf(graph, tensor));
    // A call's result has no name of its own once the function is written out.
    const bool call = graph.op(edge.op).type.ends_with("PartitionedCall");
    ends.outputs.push_back({key, call ? key : KeyOf(parsed), std::move(edge)});
  }
  for (const auto& [key, tensor] : signature.inputs) {
    CKPT_ASSIGN_OR_RETURN(const TensorName parsed, ParseTensorName(tensor));
    CKPT_ASSIGN_OR_RETURN(OpEdge edge, EdgeOf(graph, tensor));
    ends.inputs.push_back({key, KeyOf(parsed), std::move(edge)});
  }
  return ends;
}

}  // namespace

Result<ServingEnds> FindServingEnds(const WorkingGraph& graph, const OpGraph& source,
                                    const ServingOptions& options,
                                    std::vector<std::string>& notes) {
  ServingEnds ends;
  if (!options.outputs.empty()) {
    CKPT_ASSIGN_OR_RETURN(ends.outputs, NamedByUser(graph, options.outputs));
  } else if (const OpSignature* signature = ChooseSignature(source)) {
    CKPT_ASSIGN_OR_RETURN(ends, BySignature(graph, *signature));
  } else {
    CKPT_ASSIGN_OR_RETURN(ends, Derivation(graph).Run(notes));
  }
  if (!options.inputs.empty()) {
    CKPT_ASSIGN_OR_RETURN(ends.inputs, NamedByUser(graph, options.inputs));
  }
  return ends;
}

}  // namespace ckpt
