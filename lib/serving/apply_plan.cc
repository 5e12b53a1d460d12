#include "serving/apply_plan.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "fold/linear_layer.h"
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
  }

  Result<OpGraph> Run() {
    for (OpId id = 0; id < source_.top.ops.size(); ++id) BindConstant(id);
    for (const LayerId layer : plan_.edits.gained_bias) CKPT_RETURN_IF_ERROR(AddBias(layer));
    for (const LayerId layer : plan_.edits.to_affine) CKPT_RETURN_IF_ERROR(MakeAffine(layer));
    for (const LayerId layer : plan_.edits.removed)
      graph_.Redirect(layers_.ops[layer].output, layers_.ops[layer].input);
    OpGraph result = Finish();
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
    if (graph_.op(id).name != wanted) {
      return Fail(ErrorCode::kUnfit, "a new tensor would be called \"" + wanted +
                                         "\", and an operation of the graph has that name; "
                                         "--rename gives it another");
    }
    return id;
  }

  OpAttr TypeOf(const OpEdge& edge) const {
    const auto dtype = OutputDtype(graph_.op(edge.op), edge.output);
    return dtype ? OpAttr(*dtype) : OpAttr(OpOpaque{});
  }

  Status AddBias(LayerId id) {
    const LayerOps& ops = layers_.ops[id];
    const Layer& layer = layers_.graph.layers[id];
    if (!ops.bias_after || !ops.kernel)
      return Fail(ErrorCode::kInternal, "\"" + layer.name + "\" has no place for a bias");
    const OpId last = *ops.bias_after;
    const bool from_variable = WasVariable(graph_.op(*ops.kernel));
    CKPT_ASSIGN_OR_RETURN(
        const OpId constant,
        NewConstant(BiasNameFor(NameOf(layer.tensors.at("kernel"))), from_variable));
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

  // The constant of gamma or beta, new where the layer had none.
  Result<OpEdge> VectorOf(LayerId id, const char* leaf) {
    const Layer& layer = layers_.graph.layers[id];
    const TensorId mean = layer.tensors.at("moving_mean");
    const auto own = layer.tensors.find(leaf);
    const NameParts parts = SplitName(NameOf(mean));
    const std::string name =
        own != layer.tensors.end() ? NameOf(own->second) : parts.parent + parts.separator + leaf;
    OpEdge edge;
    if (const auto known = OpOf(name)) {
      edge = {*known, 0, {}};
    } else {
      const auto mean_op = OpOf(NameOf(mean));
      CKPT_ASSIGN_OR_RETURN(edge.op,
                            NewConstant(name, mean_op && WasVariable(graph_.op(*mean_op))));
    }
    if (!layers_.ops[id].channels_first) return edge;
    return Upright(id, edge);
  }

  std::optional<OpId> OpOf(const std::string& tensor) const {
    const auto index = Planned(tensor);
    if (!index) return std::nullopt;
    for (OpId id = 0; id < graph_.size(); ++id) {
      const Op& op = graph_.op(id);
      if (op.type == "Const" && op.tensor && op.tensor->index == *index) return id;
    }
    return std::nullopt;
  }

  // [C] as [C, 1, 1], for values whose channels are axis 1.
  OpEdge Upright(LayerId id, const OpEdge& vector) {
    std::int64_t rank = 4;
    for (const Node& node : layers_.graph.nodes) {
      if (node.layer == id) rank = layers_.graph.values[node.output].rank.value_or(4);
    }
    OpConstant shape{Dtype::kI32, {}, {}, {}};
    const auto dims = static_cast<std::size_t>(std::max<std::int64_t>(rank - 1, 1));
    shape.shape = *Shape::FromDims({static_cast<std::int64_t>(dims)});
    shape.bytes.resize(4 * dims);
    std::fill_n(shape.bytes.begin(), 4, std::byte{0xff});  // -1: as many as there are
    for (std::size_t i = 1; i < dims; ++i) shape.bytes[4 * i] = std::byte{1};
    const std::string name = graph_.op(vector.op).name;
    const OpId constant =
        graph_.Add(MakeConstant(name + "/channels/shape", kTfInt32, std::move(shape)));
    Op reshape;
    reshape.name = name + "/channels";
    reshape.type = "Reshape";
    reshape.attrs["T"] = TypeOf(layers_.ops[id].output);
    reshape.attrs["Tshape"] = OpDtype{kTfInt32};
    reshape.inputs = {vector, {constant, 0, {}}};
    return {graph_.Add(std::move(reshape)), 0, {}};
  }

  Status MakeAffine(LayerId id) {
    const LayerOps& ops = layers_.ops[id];
    CKPT_ASSIGN_OR_RETURN(const OpEdge scale, VectorOf(id, "gamma"));
    CKPT_ASSIGN_OR_RETURN(const OpEdge shift, VectorOf(id, "beta"));
    const OpAttr type = TypeOf(ops.output);
    const std::string name = graph_.op(ops.output.op).name;
    Op product;
    product.name = name + "/scaled";
    product.type = "Mul";
    product.attrs["T"] = type;
    product.inputs = {ops.input, scale};
    const OpId scaled = graph_.Add(std::move(product));
    Op sum;
    sum.name = name + "/shifted";
    sum.type = "Add";
    sum.attrs["T"] = type;
    sum.inputs = {{scaled, 0, {}}, shift};
    const OpId shifted = graph_.Add(std::move(sum));
    graph_.Redirect(ops.output, {shifted, 0, {}});
    return {};
  }

  OpGraph Finish() {
    OpGraph result;
    result.source = source_.source;
    result.kind = source_.kind;
    result.producer_version = source_.producer_version;
    result.file_record = source_.file_record;
    result.signatures = source_.signatures;
    std::vector<OpEdge> outputs;
    std::vector<std::string> names;
    for (const auto& [key, tensor] : source_.signatures.front().outputs) {
      // A serving graph yields first outputs of operations that it has.
      const std::string name = tensor.substr(0, tensor.rfind(':'));
      outputs.push_back({*source_.top.Find(name), 0, {}});
      names.push_back(name);
    }
    result.top = FinishGraph(graph_, outputs, names);
    return result;
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
    for (std::size_t i = 0; i < read.size(); ++i) {
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
};

}  // namespace

Result<OpGraph> ApplyPlan(const Manifest& manifest, const LayerGraph& layers,
                          ConversionPlan& plan) {
  return Application(manifest, layers, plan).Run();
}

}  // namespace ckpt
