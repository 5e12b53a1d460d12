#include "serving/derived_outputs.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <map>
#include <utility>

#include "fold/reason.h"
#include "serving/op_facts.h"

namespace ckpt {
namespace {

constexpr std::size_t kMaxSources = 64;  // bits of a mask
constexpr std::size_t kMaxOutputs = 16;
constexpr int kMaxPasses = 8;
constexpr std::size_t kMaxListed = 6;                 // candidates in a message
constexpr std::uint32_t kMaxOutputsOfIterator = 256;  // outputs of one operation

using Tensor = std::pair<OpId, std::uint32_t>;

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

// Operations whose results nobody serves: effects, sizes, and the machinery of loops, whose last
// state is what a loop happens to leave behind.
bool IsNoResult(const Op& op) {
  const std::string_view type = op.type;
  constexpr std::array<std::string_view, 18> kTypes = {
      "Assert",   "Print",         "PrintV2",  "NoOp",      "Shape", "ShapeN",
      "Rank",     "Size",          "Exit",     "Enter",     "Const", "RefExit",
      "RefEnter", "NextIteration", "LoopCond", "ZerosLike", "Fill",  "OnesLike"};
  if (std::find(kTypes.begin(), kTypes.end(), type) != kTypes.end()) return true;
  if (IsAssignOp(type) || IsVariableOp(type) || type.starts_with("Save") ||
      type.ends_with("Summary") || type.ends_with("SummaryV2") || type.starts_with("Stack")) {
    return true;
  }
  const auto dtype = OutputDtype(op, 0);
  const bool handle = dtype == OpDtype{kTfResource} || dtype == OpDtype{kTfVariant};
  return handle || (type.starts_with("TensorArray") && type.find("Gather") == type.npos &&
                    type.find("Concat") == type.npos && type.find("Read") == type.npos);
}

bool Contains(std::string name, std::string_view part) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name.find(part) != std::string::npos;
}

// How likely an operation is asked for, by what it is and what it is called.
int Likelihood(const Op& op) {
  int rank = 0;
  if (op.type == "Softmax" || op.type == "Sigmoid" || op.type == "LogSoftmax") rank += 3;
  if (op.type == "ArgMax" || op.type == "TopKV2" || op.type.starts_with("NonMaxSuppression"))
    rank += 1;
  const std::string leaf = op.name.substr(op.name.rfind('/') + 1);
  for (const char* word : {"prob", "pred", "logit", "output", "score", "softmax"}) {
    if (Contains(leaf, word)) return rank + 2;
  }
  return rank;
}

std::string Described(const WorkingGraph& graph, const OpEdge& edge) {
  const Op& op = graph.op(edge.op);
  return ToTensorName(op, edge.output) + " (" + ToText(RecordedType(op, edge.output)) + ")";
}

class Derivation {
 public:
  explicit Derivation(const WorkingGraph& graph) : graph_(graph) {
    std::vector<OpEdge> all;
    for (OpId id = 0; id < graph_.size(); ++id) all.push_back({id, 0, {}});
    order_ = graph_.Ancestors(all, false);
    facts_.resize(graph_.size());
  }

  // Nothing where there are more sources than can be told apart.
  bool Run(const std::vector<Tensor>& named) {
    for (const Tensor& tensor : named) AddSource(tensor);
    const std::size_t given = sources_.size();
    FindSources();
    if (sources_.size() > kMaxSources) return false;
    Propagate();
    TellLabels(given);
    FindReaders();
    return true;
  }

  const std::vector<Tensor>& sources() const noexcept { return sources_; }
  bool labels_are_told() const noexcept { return told_; }

  // Ends of the way from the inputs, in the order of the graph.
  std::vector<OpId> Outputs() const {
    std::vector<OpId> found;
    for (const OpId id : order_) {
      if (IsForward(id) && IsEnd(id)) found.push_back(id);
    }
    return found;
  }

  // Of what an operation depends on, the sources that are no placeholders.
  std::vector<Tensor> ExampleSourcesOf(OpId id) const {
    std::vector<Tensor> found;
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      if ((facts_[id].sources >> i & 1) != 0 &&
          IsExampleSourceType(graph_.op(sources_[i].first).type)) {
        found.push_back(sources_[i]);
      }
    }
    return found;
  }

  // The likeliest first.
  std::string RankedSources() const {
    std::string list;
    std::size_t count = 0;
    for (const bool labels : {false, true}) {
      for (std::size_t i = 0; i < sources_.size(); ++i) {
        const bool of_labels = (labels_ >> i & 1) != 0 || !MeetsWeights(i);
        if (of_labels != labels) continue;
        if (++count <= kMaxListed)
          list += (list.empty() ? "" : ", ") +
                  Described(graph_, {sources_[i].first, sources_[i].second, {}});
      }
    }
    if (count > kMaxListed) list += " and " + std::to_string(count - kMaxListed) + " more";
    return list;
  }

  std::string RankedOutputs() const {
    struct Candidate {
      int rank;
      std::size_t place;
      OpId id;
    };
    std::vector<Candidate> candidates;
    for (std::size_t place = 0; place < order_.size(); ++place) {
      const OpId id = order_[place];
      if (!IsForward(id)) continue;
      const int rank = Likelihood(graph_.op(id)) + (IsEnd(id) ? 4 : 0);
      if (rank > 0) candidates.push_back({rank, place, id});
    }
    std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
      return a.rank != b.rank ? a.rank > b.rank : a.place > b.place;
    });
    std::string list;
    for (std::size_t i = 0; i < candidates.size() && i < kMaxListed; ++i)
      list += (list.empty() ? "" : ", ") + Described(graph_, {candidates[i].id, 0, {}});
    return list;
  }

 private:
  struct Facts {
    std::uint64_t sources = 0;  // that it depends on
    bool weights = false, training = false;
    bool read = false, read_with_labels = false;
    bool operator==(const Facts&) const = default;
  };

  static std::uint64_t Bits(std::size_t count) {
    return count >= kMaxSources ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
  }

  void AddSource(const Tensor& tensor) {
    if (bit_of_.emplace(tensor, sources_.size()).second) sources_.push_back(tensor);
  }

  void FindSources() {
    for (const OpId id : order_) {
      const Op& op = graph_.op(id);
      if (IsExampleSourceType(op.type)) {
        for (std::uint32_t i = 0; i < kMaxOutputsOfIterator && OutputDtype(op, i); ++i)
          AddSource({id, i});
        continue;
      }
      if (!IsPlaceholderType(op.type)) continue;
      const auto dtype = OutputDtype(op, 0);
      if (dtype == OpDtype{kTfBool} || dtype == OpDtype{kTfResource}) continue;
      const auto* shape = FindAttr<OpShape>(op, "shape");
      const bool scalar = shape != nullptr && *shape && (*shape)->empty();
      // Rates and flags; a string is the content of a file.
      if (scalar && dtype != OpDtype{kTfString}) continue;
      AddSource({id, 0});
    }
  }

  // What a loop carries round comes from behind: once more for each loop that lies in another.
  void Propagate() {
    for (int pass = 0; pass < kMaxPasses && PropagateOnce(); ++pass) continue;
    trains_ = std::any_of(facts_.begin(), facts_.end(), [](const Facts& f) { return f.training; });
  }

  // True where it brought anything new.
  bool PropagateOnce() {
    bool changed = false;
    for (const OpId id : order_) {
      const Op& op = graph_.op(id);
      Facts facts = facts_[id];
      facts.weights = facts.weights || IsVariableOp(op.type) || op.tensor.has_value();
      facts.training =
          facts.training || IsOfGradients(op.name) || op.type.find("Apply") != std::string::npos;
      for (std::size_t i = 0; i < op.inputs.size(); ++i) {
        const OpEdge edge = graph_.Input(id, i);
        if (const auto source = bit_of_.find({edge.op, edge.output}); source != bit_of_.end()) {
          facts.sources |= std::uint64_t{1} << source->second;
          continue;
        }
        const Facts& input = facts_[edge.op];
        facts.sources |= input.sources;
        facts.weights = facts.weights || input.weights;
        facts.training = facts.training || input.training;
      }
      changed = changed || !(facts == facts_[id]);
      facts_[id] = facts;
    }
    return changed;
  }

  // Where the first `given` sources are the inputs, nothing else may be read.
  void TellLabels(std::size_t given) {
    const std::uint64_t all = Bits(sources_.size());
    if (given > 0) {
      told_ = true;
      labels_ = all & ~Bits(given);
      return;
    }
    std::uint64_t alone = 0;
    for (const Facts& facts : facts_) {
      const std::uint64_t mask = facts.sources;
      const bool one = mask != 0 && (mask & (mask - 1)) == 0;
      if (facts.weights && !facts.training && one) alone |= mask;
    }
    told_ = alone != 0 || !trains_;
    labels_ = trains_ && told_ ? all & ~alone : 0;
  }

  void FindReaders() {
    for (const OpId id : order_) {
      const Facts& facts = facts_[id];
      if (facts.training) continue;
      const bool with_labels = (facts.sources & labels_) != 0;
      for (std::size_t i = 0; i < graph_.op(id).inputs.size(); ++i) {
        Facts& input = facts_[graph_.Input(id, i).op];
        input.read = true;
        input.read_with_labels = input.read_with_labels || with_labels;
      }
    }
  }

  bool MeetsWeights(std::size_t source) const {
    return std::any_of(facts_.begin(), facts_.end(), [&](const Facts& facts) {
      return facts.weights && !facts.training && (facts.sources >> source & 1) != 0;
    });
  }

  bool IsForward(OpId id) const {
    const Facts& facts = facts_[id];
    return !facts.training && facts.weights && (facts.sources != 0 || sources_.empty()) &&
           (facts.sources & labels_) == 0 && !IsNoResult(graph_.op(id));
  }
  bool IsEnd(OpId id) const { return !facts_[id].read || facts_[id].read_with_labels; }

  const WorkingGraph& graph_;
  std::vector<OpId> order_;
  std::vector<Tensor> sources_;
  std::map<Tensor, std::size_t> bit_of_;
  std::vector<Facts> facts_;
  std::uint64_t labels_ = 0;
  bool trains_ = false, told_ = false;
};

std::string Candidates(const Derivation& derivation) {
  const std::string inputs = derivation.RankedSources(), outputs = derivation.RankedOutputs();
  return "candidates for inputs, the likeliest first: " + (inputs.empty() ? "none" : inputs) +
         "; for outputs: " + (outputs.empty() ? "none" : outputs);
}

Result<std::vector<Tensor>> Tensors(const WorkingGraph& graph,
                                    const std::vector<std::string>& names) {
  std::vector<Tensor> tensors;
  for (const std::string& name : names) {
    CKPT_ASSIGN_OR_RETURN(const CalledTensor called, ParseCalledTensor(name));
    const auto id = graph.Find(called.tensor.op);
    if (!id) {
      return Fail(ErrorCode::kInvalidArgument,
                  "the graph has no operation " + Quoted(called.tensor.op));
    }
    tensors.emplace_back(*id, called.tensor.output);
  }
  return tensors;
}

// Why what was found cannot be served; empty where it can.
std::string WhyNot(const WorkingGraph& graph, const Derivation& derivation,
                   const std::vector<OpId>& outputs) {
  if (derivation.sources().empty())
    return "the graph has no signature, and nothing in it is an input: it computes from what it "
           "holds alone, and is served only where its outputs are named";
  if (!derivation.labels_are_told()) {
    return "the graph has no signature, and nothing shows which of its sources are inputs and "
           "which hold labels";
  }
  for (const OpId output : outputs) {
    const auto examples = derivation.ExampleSourcesOf(output);
    if (examples.empty()) continue;
    const Op& op = graph.op(examples.front().first);
    return "the graph has no signature, and its examples come from " + Quoted(op.name) + " (" +
           op.type + "), which a served file does not have";
  }
  if (outputs.empty() || outputs.size() > kMaxOutputs) {
    return "the graph has no signature, and its outputs cannot be told (" +
           std::to_string(outputs.size()) + " are possible)";
  }
  return {};
}

}  // namespace

Result<std::vector<NamedEdge>> DeriveOutputs(const WorkingGraph& graph,
                                             const std::vector<std::string>& inputs,
                                             std::vector<std::string>& notes) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<Tensor> named, Tensors(graph, inputs));
  Derivation derivation(graph);
  if (!derivation.Run(named)) {
    return Fail(Error{ErrorCode::kUnfit, "the graph has " +
                                             std::to_string(derivation.sources().size()) +
                                             " placeholders and no signature"}
                    .With(Remedy::kNameEnds));
  }
  const std::vector<OpId> outputs = derivation.Outputs();
  // What the user names as inputs may be an iterator's.
  const std::string reason = named.empty() || outputs.empty() || outputs.size() > kMaxOutputs
                                 ? WhyNot(graph, derivation, outputs)
                                 : std::string();
  if (!reason.empty()) {
    return Fail(Error{ErrorCode::kUnfit, reason + "; " + Candidates(derivation)}.With(
        derivation.sources().empty() ? Remedy::kNameOutputs : Remedy::kNameEnds));
  }
  std::vector<NamedEdge> edges;
  std::string list;
  for (const OpId id : outputs) {
    const Op& op = graph.op(id);
    NamedEdge& edge = edges.emplace_back();
    edge.key = edge.name = op.name;
    edge.edge.op = id;
    edge.type = RecordedType(op, 0);
    list += (list.empty() ? "" : ", ") + Quoted(op.name);
  }
  notes.push_back("the graph has no signature; its outputs, derived: " + list);
  return edges;
}

std::string CandidateEnds(const WorkingGraph& graph) {
  Derivation derivation(graph);
  return derivation.Run({}) ? Candidates(derivation)
                            : "the graph has too many placeholders to list";
}

}  // namespace ckpt
