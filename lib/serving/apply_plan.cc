#include "serving/apply_plan.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <utility>

#include "fold/linear_layer.h"
#include "serving/equal_tensors.h"
#include "serving/finish_graph.h"
#include "serving/op_facts.h"
#include "serving/working_graph.h"

namespace ckpt {
namespace {

class Application {
 public:
  Application(const Manifest& manifest, const LayerGraph& layers, ConversionPlan& plan)
      : manifest_(manifest),
        source_(*manifest.ops),
        layers_(layers),
        plan_(plan),
        graph_(manifest.ops->top) {
    for (std::uint32_t i = 0; i < plan.tensors.size(); ++i)
      planned_.emplace(plan.tensors[i].info.name, i);
    for (const Rebound& rebound : plan.edits.rebound)
      rebound_.emplace(std::pair(rebound.layer, rebound.local_name), rebound.tensor);
  }

  Result<OpGraph> Run() {
    for (OpId id = 0; id < source_.top.ops.size(); ++id) BindConstant(id);
    for (const Rebound& rebound : plan_.edits.rebound) CKPT_RETURN_IF_ERROR(Rebind(rebound));
    for (const LayerId layer : plan_.edits.gained_bias) CKPT_RETURN_IF_ERROR(AddBias(layer));
    for (const LayerId layer : plan_.edits.to_affine) CKPT_RETURN_IF_ERROR(MakeAffine(layer));
    for (const LayerId layer : plan_.edits.removed)
      graph_.Redirect(layers_.ops[layer].output, layers_.ops[layer].input);
    ShareEqualTensors();
    CKPT_ASSIGN_OR_RETURN(OpGraph result, Finish());
    CKPT_RETURN_IF_ERROR(KeepWhatIsRead(result.top));
    return result;
  }

 private:
  std::optional<std::uint32_t> Planned(const std::string& name) const {
    const auto renamed = plan_.renamed.find(name);
    const auto found = planned_.find(renamed == plan_.renamed.end() ? name : renamed->second);
    return found == planned_.end() ? std::nullopt : std::optional(found->second);
  }

  const std::string& NameOf(TensorId id) const { return manifest_.tensors[id.index].name; }

  void BindConstant(OpId id) {
    Op& op = graph_.op(id);
    if (op.type != "Const" || !op.tensor) return;
    const std::string& name = NameOf(*op.tensor);
    const auto index = Planned(name);
    op.tensor.reset();
    if (!index) return;  // consumed: nothing reads it in the end
    op.tensor = TensorId{*index};
    constant_of_.emplace(name, id);
    op.constant.reset();
    op.record.reset();
    if (op.name == name) op.name = plan_.tensors[*index].info.name;
  }

  Result<OpId> NewConstant(const std::string& name, bool from_variable) {
    const auto index = Planned(name);
    if (!index) {
      return Fail(ErrorCode::kInternal, "the plan lacks the tensor \"" + name + "\"");
    }
    Op op;
    op.name = plan_.tensors[*index].info.name;
    op.type = "Const";
    op.tensor = TensorId{*index};
    if (from_variable) op.attrs[std::string(kWasVariable)] = true;
    const std::string wanted = op.name;
    const OpId id = graph_.Add(std::move(op));
    constants_.push_back(id);
    if (graph_.op(id).name != wanted) {
      return Fail(Error{ErrorCode::kUnfit, "a new tensor would be called \"" + wanted +
                                               "\", and an operation of the graph has that name"}
                      .With(Remedy::kRename));
    }
    return id;
  }

  OpAttr TypeOf(const OpEdge& edge) const {
    const auto dtype = OutputDtype(graph_.op(edge.op), edge.output);
    return dtype ? OpAttr(*dtype) : OpAttr(OpOpaque{});
  }

  // The tensor that a layer reads under `name` of its own, if the plan gives it another.
  const std::string* ReboundTo(LayerId id, const std::string& name) const {
    const auto found = rebound_.find({id, name});
    return found == rebound_.end() ? nullptr : &found->second;
  }

  // The changes of shape behind a constant, from the one that is read there on.
  struct Way {
    std::vector<OpId> operations = {};
    OpId constant = 0;
  };
  Way WayTo(const OpInput& place) const {
    Way way;
    OpId at = graph_.op(place.op).inputs[place.input].op;
    while (graph_.op(at).type != "Const") {
      way.operations.push_back(at);
      at = graph_.op(at).inputs[0].op;
    }
    way.constant = at;
    return way;
  }

  // A layer that shared a tensor reads its own: a new constant, behind the same changes of shape.
  Status Rebind(const Rebound& rebound) {
    const auto& edits = plan_.edits;
    const auto has = [&](const std::vector<LayerId>& layers) {
      return std::binary_search(layers.begin(), layers.end(), rebound.layer);  // sorted by the plan
    };
    if (has(edits.to_affine) || (rebound.local_name == "bias" && has(edits.gained_bias))) return {};
    const auto& places = layers_.ops[rebound.layer].places;
    const auto place = places.find(rebound.local_name);
    if (place == places.end()) {
      return Fail(ErrorCode::kInternal, "\"" + layers_.graph.layers[rebound.layer].name +
                                            "\" does not read a " + rebound.local_name);
    }
    const auto [chain, constant] = WayTo(place->second);
    CKPT_ASSIGN_OR_RETURN(OpId own, NewConstant(rebound.tensor, WasVariable(graph_.op(constant))));
    for (auto id = chain.rbegin(); id != chain.rend(); ++id) {
      Op copy = graph_.op(*id);
      copy.inputs[0] = {own, 0, {}};
      own = graph_.Add(std::move(copy));
    }
    graph_.op(place->second.op).inputs[place->second.input] = {own, 0, {}};
    return {};
  }

  Status AddBias(LayerId id) {
    const LayerOps& ops = layers_.ops[id];
    const Layer& layer = layers_.graph.layers[id];
    const std::string* tensor = ReboundTo(id, "bias");
    const auto kernel = ops.places.find("kernel");
    if (!ops.bias_after || kernel == ops.places.end() || tensor == nullptr)
      return Fail(ErrorCode::kInternal, "\"" + layer.name + "\" has no place for a bias");
    const OpId last = *ops.bias_after;
    const bool from_variable = WasVariable(graph_.op(WayTo(kernel->second).constant));
    CKPT_ASSIGN_OR_RETURN(const OpId constant, NewConstant(*tensor, from_variable));
    // What read the last operation reads the bias from now on; the operation itself moves on.
    Op copy = graph_.op(last);
    const std::string name = copy.name;
    graph_.op(last).name += "/replaced";
    const OpId moved = graph_.Add(std::move(copy));
    graph_.op(moved).name = name;
    Op bias;
    bias.name = name + "/BiasAdd";
    bias.type = "BiasAdd";
    bias.attrs["T"] = TypeOf({moved, 0, {}});
    bias.attrs["data_format"] = std::string(ops.channels_first ? "NCHW" : "NHWC");
    bias.inputs = {{moved, 0, {}}, {constant, 0, {}}};
    const OpId added = graph_.Add(std::move(bias));
    graph_.Redirect({last, 0, {}}, {added, 0, {}});
    return {};
  }

  // The constant of gamma or beta, new where the layer had none or shared it.
  Result<OpEdge> VectorOf(LayerId id, const char* leaf) {
    const Layer& layer = layers_.graph.layers[id];
    if (const std::string* own = ReboundTo(id, leaf)) {
      const auto mean = OpOf(NameOf(layer.tensors.at("moving_mean")));
      CKPT_ASSIGN_OR_RETURN(const OpId made,
                            NewConstant(*own, mean && WasVariable(graph_.op(*mean))));
      return OpEdge{made, 0, {}};
    }
    const auto tensor = layer.tensors.find(leaf);
    const auto known = tensor == layer.tensors.end() ? std::nullopt : OpOf(NameOf(tensor->second));
    if (!known) return Fail(ErrorCode::kInternal, "\"" + layer.name + "\" has lost its " + leaf);
    return OpEdge{*known, 0, {}};
  }

  std::optional<OpId> OpOf(const std::string& tensor) const {
    const auto found = constant_of_.find(tensor);
    return found == constant_of_.end() ? std::nullopt : std::optional(found->second);
  }

  OpEdge AddUnary(std::string name, std::string type,
                  std::map<std::string, OpAttr, std::less<>> attrs, const OpEdge& input) {
    Op op;
    op.name = std::move(name);
    op.type = std::move(type);
    op.attrs = std::move(attrs);
    op.inputs = {input};
    return {graph_.Add(std::move(op)), 0, {}};
  }

  OpEdge AddBinary(std::string name, std::string type, const OpAttr& dtype, const OpEdge& a,
                   const OpEdge& b) {
    Op op;
    op.name = std::move(name);
    op.type = std::move(type);
    op.attrs["T"] = dtype;
    op.inputs = {a, b};
    return {graph_.Add(std::move(op)), 0, {}};
  }

  Status MakeAffine(LayerId id) {
    const LayerOps& ops = layers_.ops[id];
    CKPT_ASSIGN_OR_RETURN(const OpEdge scale, VectorOf(id, "gamma"));
    CKPT_ASSIGN_OR_RETURN(const OpEdge shift, VectorOf(id, "beta"));
    const OpAttr type = TypeOf(ops.output);
    const auto* number = std::get_if<OpDtype>(&type);
    const std::string name = graph_.op(ops.output.op).name;
    // A fused batch norm of halves computes in the type of its vectors.
    const bool casts = ops.vector_dtype && number != nullptr && *number != *ops.vector_dtype;
    const OpAttr computed = casts ? OpAttr(*ops.vector_dtype) : type;
    OpEdge x = ops.input;
    if (casts) x = AddUnary(name + "/widened", "Cast", {{"SrcT", type}, {"DstT", computed}}, x);
    const OpEdge scaled = AddBinary(name + "/scaled", "Mul", computed, x, scale);
    OpEdge shifted = AddBinary(name + "/shifted", "Add", computed, scaled, shift);
    if (casts)
      shifted = AddUnary(name + "/narrowed", "Cast", {{"SrcT", computed}, {"DstT", type}}, shifted);
    graph_.Redirect(ops.output, shifted);
    return {};
  }

  // A layer that two signatures call was folded twice, each time into a copy of its own.
  void ShareEqualTensors() {
    std::map<LayerId, std::map<std::string, std::uint32_t>> own;
    std::map<std::uint32_t, LayerId> layer_of;  // by the kernel
    std::set<std::uint32_t> kernels;
    for (const Rebound& rebound : plan_.edits.rebound) {
      const auto index = Planned(rebound.tensor);
      if (!index) continue;
      own[rebound.layer].emplace(rebound.local_name, *index);
      if (rebound.local_name != "kernel") continue;
      kernels.insert(*index);
      layer_of.emplace(*index, rebound.layer);
    }
    std::map<std::uint32_t, std::uint32_t> instead;
    for (const auto& [copy, first] : FirstOfEqualTensors(plan_.tensors, kernels)) {
      const auto& others = own.at(layer_of.at(first));
      for (const auto& [name, tensor] : own.at(layer_of.at(copy))) {
        const auto other = others.find(name);
        if (other != others.end() &&
            HoldTheSame(plan_.tensors[tensor], plan_.tensors[other->second])) {
          instead.emplace(tensor, other->second);
        }
      }
    }
    if (instead.empty()) return;
    ReadInstead(instead);
    std::set<std::uint32_t> firsts;
    for (const auto& [copy, first] : instead) firsts.insert(first);
    for (const auto& [layer, tensors] : own) TakeNamesBack(layer, tensors, firsts);
  }

  // A kernel that took the place of all its copies has the name of the one that they come from,
  // which nothing reads any more, and its bias that of the kernel's.
  void TakeNamesBack(LayerId layer, const std::map<std::string, std::uint32_t>& tensors,
                     const std::set<std::uint32_t>& firsts) {
    const auto kernel = tensors.find("kernel"), bias = tensors.find("bias");
    const auto& read = layers_.graph.layers[layer].tensors;
    const auto old = read.find("kernel");
    if (kernel == tensors.end() || old == read.end() || !firsts.contains(kernel->second)) return;
    const std::string name = NameOf(old->second);
    if (!TakeName(kernel->second, name)) return;
    if (bias != tensors.end() && firsts.contains(bias->second))
      TakeName(bias->second, BiasNameFor(name));
  }

  bool TakeName(std::uint32_t tensor, const std::string& name) {
    if (!plan_.renamed.empty() || Planned(name)) return false;
    // The operation that held the tensor is not part of the graph any more.
    const auto taken = graph_.Find(name);
    if (taken && (graph_.op(*taken).tensor || graph_.op(*taken).type != "Const")) return false;
    const auto holder = std::find_if(constants_.begin(), constants_.end(), [&](const OpId id) {
      return graph_.op(id).tensor == TensorId{tensor};
    });
    if (holder == constants_.end()) return false;
    if (taken) graph_.op(*taken).name += "/replaced";
    graph_.op(*holder).name = name;
    TensorInfo& info = plan_.tensors[tensor].info;
    for (Folded& folded : plan_.folded)
      std::replace(folded.into.begin(), folded.into.end(), info.name, name);
    info.name = info.stored_as = name;
    return true;
  }

  // The first tensor in the place of its copies, in the graph and in what is told.
  void ReadInstead(const std::map<std::uint32_t, std::uint32_t>& instead) {
    std::map<std::uint32_t, OpId> holder;
    for (OpId id = 0; id < graph_.size(); ++id) {
      if (graph_.op(id).tensor) holder.emplace(graph_.op(id).tensor->index, id);
    }
    std::map<std::string, std::string> name_of;
    for (const auto& [copy, first] : instead) {
      const auto from = holder.find(copy), to = holder.find(first);
      if (from == holder.end() || to == holder.end()) continue;
      graph_.Redirect({from->second, 0, {}}, {to->second, 0, {}});
      name_of.emplace(plan_.tensors[copy].info.name, plan_.tensors[first].info.name);
    }
    // The fold into the first tells of them all.
    std::erase_if(plan_.folded, [&](Folded& folded) {
      std::size_t copies = 0;
      for (std::string& kernel : folded.into) {
        const auto known = name_of.find(kernel);
        if (known == name_of.end()) continue;
        kernel = known->second;
        ++copies;
      }
      return copies > 0 && copies == folded.into.size();
    });
  }

  Result<OpGraph> Finish() {
    OpGraph result;
    result.source = source_.source;
    result.kind = source_.kind;
    result.producer_version = source_.producer_version;
    result.file_record = source_.file_record;
    result.signatures = source_.signatures;
    result.functions = source_.functions;
    result.initializer = source_.initializer;
    result.assets = source_.assets;
    std::vector<GraphOutput> outputs;
    for (const OpSignature& signature : source_.signatures) {
      for (const auto& [key, tensor] : signature.outputs) {
        // A serving graph yields first outputs of operations that it has.
        const std::string name = tensor.substr(0, tensor.rfind(':'));
        const auto type = signature.output_types.find(key);
        GraphOutput& wanted = outputs.emplace_back();
        wanted.edge.op = *source_.top.Find(name);
        wanted.name = name;
        if (type != signature.output_types.end()) wanted.dtype = type->second.dtype;
      }
    }
    const auto initializer =
        source_.initializer.empty() ? std::nullopt : source_.top.Find(source_.initializer);
    CKPT_ASSIGN_OR_RETURN(result.top, FinishGraph(graph_, outputs, initializer));
    return result;
  }

  // The tensors of the plan in the order of their names.
  std::vector<std::size_t> ByName() const {
    std::vector<std::size_t> order(plan_.tensors.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return plan_.tensors[a].info.name < plan_.tensors[b].info.name;
    });
    return order;
  }

  Status KeepWhatIsRead(OpBody& body) {
    std::vector<bool> read(plan_.tensors.size(), false);
    for (const Op& op : body.ops) {
      if (op.tensor) {
        read[op.tensor->index] = true;
      } else if (op.type == "Const" && !op.constant && !op.record) {
        return Fail(ErrorCode::kInternal, "the constant \"" + op.name + "\" has lost its value");
      }
    }
    std::vector<FoldedTensor> tensors;
    std::vector<std::uint32_t> index(plan_.tensors.size(), 0);
    for (const std::size_t i : ByName()) {
      if (!read[i]) continue;
      index[i] = static_cast<std::uint32_t>(tensors.size());
      tensors.push_back(std::move(plan_.tensors[i]));
    }
    plan_.tensors = std::move(tensors);
    for (Op& op : body.ops) {
      if (op.tensor) op.tensor = TensorId{index[op.tensor->index]};
    }
    return {};
  }

  const Manifest& manifest_;
  const OpGraph& source_;
  const LayerGraph& layers_;
  ConversionPlan& plan_;
  WorkingGraph graph_;
  std::map<std::string, std::uint32_t> planned_;
  std::map<std::pair<LayerId, std::string>, std::string> rebound_ = {};
  std::vector<OpId> constants_ = {};              // new ones
  std::map<std::string, OpId> constant_of_ = {};  // by the tensor's name in the manifest
};

}  // namespace

Result<OpGraph> ApplyPlan(const Manifest& manifest, const LayerGraph& layers,
                          ConversionPlan& plan) {
  return Application(manifest, layers, plan).Run();
}

}  // namespace ckpt
