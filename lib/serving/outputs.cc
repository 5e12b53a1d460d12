#include "serving/outputs.h"

#include <algorithm>
#include <map>
#include <utility>

#include "fold/reason.h"
#include "serving/derived_outputs.h"
#include "serving/op_facts.h"

namespace ckpt {
namespace {

// Signatures times operations, each of which is walked for each signature.
constexpr std::size_t kMaxWork = std::size_t{1} << 30;

Result<OpEdge> EdgeOf(const WorkingGraph& graph, const TensorName& parsed) {
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
    CKPT_ASSIGN_OR_RETURN(const CalledTensor called, ParseCalledTensor(name));
    const bool twice = std::any_of(edges.begin(), edges.end(),
                                   [&](const NamedEdge& edge) { return edge.key == called.key; });
    if (twice) {
      return Fail(ErrorCode::kInvalidArgument,
                  "two tensors are to be called " + Quoted(called.key));
    }
    CKPT_ASSIGN_OR_RETURN(OpEdge edge, EdgeOf(graph, called.tensor));
    OpTensorType type = RecordedType(graph.op(edge.op), edge.output);
    edges.push_back({called.key, KeyOf(called.tensor), std::move(edge), std::move(type)});
  }
  return edges;
}

Result<NamedEdge> OfSignature(const WorkingGraph& graph, const OpSignature& signature,
                              const std::string& key, const std::string& tensor,
                              const std::map<std::string, OpTensorType>& types) {
  const auto failed = [&](ErrorCode code, const std::string& why) {
    return Fail(code, "the signature " + Quoted(signature.name) + ", " + Quoted(key) + ": " + why);
  };
  if (tensor.empty())
    return failed(ErrorCode::kUnsupported, "is a sparse tensor or one of several parts");
  const auto parsed = ParseTensorName(tensor);
  const auto edge = parsed ? EdgeOf(graph, *parsed) : Result<OpEdge>(Fail(parsed));
  if (!edge) return failed(ErrorCode::kCorrupt, edge.error().message);
  const Op& op = graph.op(edge->op);
  // A call's result has no name of its own once the function is written out.
  const bool call = op.type.ends_with("PartitionedCall");
  NamedEdge named{key, call ? key : KeyOf(*parsed), *edge, RecordedType(op, edge->output)};
  if (const auto recorded = types.find(key); recorded != types.end()) {
    if (!named.type.dtype) named.type.dtype = recorded->second.dtype;
    if (recorded->second.shape) named.type.shape = recorded->second.shape;
  }
  return named;
}

Result<ServingSignature> BySignature(const WorkingGraph& graph, const OpSignature& signature) {
  ServingSignature ends;
  ends.name = signature.name;
  ends.recorded = true;
  if (!signature.method.empty()) ends.method = signature.method;
  for (const auto& [key, tensor] : signature.outputs) {
    CKPT_ASSIGN_OR_RETURN(NamedEdge output,
                          OfSignature(graph, signature, key, tensor, signature.output_types));
    ends.outputs.push_back(std::move(output));
  }
  for (const auto& [key, tensor] : signature.inputs) {
    CKPT_ASSIGN_OR_RETURN(NamedEdge input,
                          OfSignature(graph, signature, key, tensor, signature.input_types));
    ends.inputs.push_back(std::move(input));
  }
  return ends;
}

// Of a signature that is not for requests; empty for others. The initializer is no signature of
// its own: who loads the file runs it.
std::string_view WhyNoRequests(const OpSignature& signature) {
  if (signature.name == "__saved_model_train_op" ||
      signature.method == "tensorflow/supervised/training") {
    return "it trains";
  }
  if (signature.method == "tensorflow/supervised/eval") return "it evaluates";
  if (signature.outputs.empty()) return "it yields nothing";
  return {};
}

// The signatures of the file that answer requests, serving_default first, then by name.
std::vector<const OpSignature*> Usable(const OpGraph& source, std::vector<Dropped>& dropped) {
  std::vector<const OpSignature*> usable;
  for (const OpSignature& signature : source.signatures) {
    if (signature.name == "__saved_model_init_op") continue;
    const std::string_view reason = WhyNoRequests(signature);
    if (reason.empty()) {
      usable.push_back(&signature);
    } else {
      dropped.push_back({signature.name, std::string(reason)});
    }
  }
  std::sort(usable.begin(), usable.end(), [](const OpSignature* a, const OpSignature* b) {
    const bool first = a->name == "serving_default", second = b->name == "serving_default";
    return first != second ? first : a->name < b->name;
  });
  return usable;
}

Result<ServingEnds> BySignatures(const WorkingGraph& graph, const OpGraph& source,
                                 const ServingOptions& options) {
  ServingEnds ends;
  std::vector<const OpSignature*> usable = Usable(source, ends.dropped);
  if (usable.size() > kMaxWork / (graph.size() + 1)) {
    return Fail(Error{ErrorCode::kLimitExceeded,
                      "the graph has " + std::to_string(usable.size()) + " signatures"}
                    .With(Remedy::kNameOutputs));
  }
  const char* by_user = !options.outputs.empty()  ? "named outputs say what is served"
                        : !options.inputs.empty() ? "named inputs are for one signature"
                                                  : nullptr;
  if (by_user != nullptr) {
    const std::size_t kept = options.outputs.empty() ? 1 : 0;
    for (std::size_t i = kept; i < usable.size(); ++i)
      ends.dropped.push_back({usable[i]->name, by_user});
    usable.resize(std::min(usable.size(), kept));
  }
  for (const OpSignature* signature : usable) {
    CKPT_ASSIGN_OR_RETURN(ServingSignature one, BySignature(graph, *signature));
    ends.signatures.push_back(std::move(one));
  }
  return ends;
}

// Two signatures may call different tensors alike; the same tensor has one name.
void MakeNamesUnique(std::vector<ServingSignature>& signatures) {
  using Edge = std::pair<OpId, std::uint32_t>;
  std::map<std::string, Edge> taken;
  std::map<Edge, std::string> name_of;
  for (ServingSignature& signature : signatures) {
    for (NamedEdge& output : signature.outputs) {
      const Edge tensor{output.edge.op, output.edge.output};
      if (const auto known = name_of.find(tensor); known != name_of.end()) {
        output.name = known->second;
        continue;
      }
      std::string name = output.name;
      if (taken.contains(name)) name = signature.name + '_' + output.name;
      const std::string wanted = name;
      for (std::size_t i = 1; !taken.emplace(name, tensor).second; ++i)
        name = wanted + '_' + std::to_string(i);
      output.name = name;
      name_of.emplace(tensor, std::move(name));
    }
  }
}

}  // namespace

Result<CalledTensor> ParseCalledTensor(const std::string& text) {
  const std::size_t equals = text.find('=');  // which no name of an operation has
  const bool called = equals != std::string::npos;
  CKPT_ASSIGN_OR_RETURN(TensorName tensor,
                        ParseTensorName(called ? text.substr(equals + 1) : text));
  if (called && (equals == 0 || tensor.op.empty()))
    return Fail(ErrorCode::kInvalidArgument, Quoted(text) + " is not KEY=TENSOR");
  std::string key = called ? text.substr(0, equals) : KeyOf(tensor);
  return CalledTensor{std::move(key), std::move(tensor)};
}

Result<ServingEnds> FindServingEnds(const WorkingGraph& graph, const OpGraph& source,
                                    const ServingOptions& options,
                                    std::vector<std::string>& notes) {
  CKPT_ASSIGN_OR_RETURN(ServingEnds ends, BySignatures(graph, source, options));
  if (ends.signatures.empty()) {
    ServingSignature only;
    if (!options.outputs.empty()) {
      CKPT_ASSIGN_OR_RETURN(only.outputs, NamedByUser(graph, options.outputs));
    } else {
      CKPT_ASSIGN_OR_RETURN(only.outputs, DeriveOutputs(graph, options.inputs, notes));
    }
    ends.signatures.push_back(std::move(only));
  }
  if (!options.inputs.empty()) {
    CKPT_ASSIGN_OR_RETURN(ends.signatures.front().inputs, NamedByUser(graph, options.inputs));
  }
  MakeNamesUnique(ends.signatures);
  return ends;
}

}  // namespace ckpt
