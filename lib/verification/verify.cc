#include "ckpt/verify.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "verification/axis_orders.h"
#include "verification/comparison.h"
#include "verification/network_reading.h"
#include "verification/ports.h"
#include "verification/reference_values.h"
#include "verification/silent_channels.h"
#include "verification/step_walk.h"
#include "verification/walk_memory.h"

namespace ckpt {

using execution::Array;
using network::kNoValue;
using network::Network;
using network::Operation;

namespace {

// The last value that operations of the layer make.
std::optional<network::ValueId> EndOfLayer(const Network& net, const std::string& layer) {
  std::optional<network::ValueId> end;
  for (const Operation& op : net.operations) {
    if (net.layers[op.layer].name == layer && !op.results.empty() && op.results[0] != kNoValue) {
      end = op.results[0];
    }
  }
  return end;
}

// The network with that layer's value as its only output.
Result<Network> Until(const Network& net, const std::string& layer, std::string_view side) {
  const auto end = EndOfLayer(net, layer);
  if (!end) {
    return Fail(ErrorCode::kInvalidArgument, std::string(side) + " has no layer \"" + layer + "\"");
  }
  Network cut = net;
  cut.outputs = {{layer, *end}};
  return cut;
}

bool HasNan(const Array& array) {
  return std::any_of(array.elements.begin(), array.elements.end(),
                     [](double element) { return std::isnan(element); });
}

// The first layer that yields a NaN, channels that are silent, and the values of A for the walk.
class Recorder : public execution::Observer {
 public:
  Recorder(const Runnable& a, const execution::Budget& budget)
      : net_(*a.network), values_(a, budget, KeptBytes(budget)) {}
  Status Made(network::ValueId id, const Array& value) override {
    if (nan_layer_.empty() && HasNan(value)) nan_layer_ = LayerOf(net_, id);
    const ChannelCount count = SilentChannels(net_, id, value);
    channels_.channels += count.channels;
    channels_.silent += count.silent;
    return values_.Made(id, value);
  }
  ReferenceValues& values() { return values_; }
  const ChannelCount& channels() const { return channels_; }
  const std::string& nan_layer() const { return nan_layer_; }

 private:
  const Network& net_;
  ReferenceValues values_;
  ChannelCount channels_;
  std::string nan_layer_;
};

class NanFinder : public execution::Observer {
 public:
  explicit NanFinder(const Network& net) : net_(net) {}
  Status Made(network::ValueId id, const Array& value) override {
    if (!layer.empty() || !HasNan(value)) return {};
    layer = LayerOf(net_, id);
    return {};
  }
  std::string layer = {};

 private:
  const Network& net_;
};

class Verifier {
 public:
  Verifier(const Runnable& a, const Runnable& b, const VerifyOptions& options)
      : a_(a), b_(b), options_(options) {}

  Result<Verification> Verify() {
    CKPT_ASSIGN_OR_RETURN(pairs_, PairOutputs(*a_.network, *b_.network, options_));
    if (pairs_.empty()) {
      return Fail(ErrorCode::kUnfit, "the networks have no output in common");
    }
    NoteUnknown(*a_.network, false);
    NoteUnknown(*b_.network, true);
    auto given = GiveInputs(a_, b_, options_);
    if (given) KeepInputs(*given);
    if (!result_.unknown.empty()) return CannotTell(UnknownText());
    if (!given) return Fail(std::move(given).error());
    given_ = *std::move(given);
    result_.inputs = given_.used;
    result_.unread_inputs = given_.unread;
    CKPT_RETURN_IF_ERROR(CheckMemory());
    Recorder recorder(a_, options_.budget);
    CKPT_ASSIGN_OR_RETURN(const auto of_a, RunOne(a_, given_.a, false, &recorder));
    CKPT_ASSIGN_OR_RETURN(const auto noisy,
                          RunOne(a_, given_.a, false, nullptr, execution::Precision::kFloat32));
    NanFinder nan_in_b(*b_.network);
    CKPT_ASSIGN_OR_RETURN(const auto of_b, RunOne(b_, given_.b, true, &nan_in_b));
    for (std::size_t i = 0; i < pairs_.size(); ++i) CompareOutputs(i, of_a[i], noisy[i], of_b[i]);
    if (result_.kept) {
      result_.kept->outputs_a = of_a;
      result_.kept->outputs_b = of_b;
    }
    if (!recorder.nan_layer().empty() || !nan_in_b.layer.empty()) {
      return WithNan(recorder.nan_layer(), nan_in_b.layer);
    }
    result_.channels = recorder.channels().channels;
    result_.silent_channels = recorder.channels().silent;
    for (const PortPair& pair : given_.pairs) {
      recorder.values().Hold(a_.network->inputs[pair.a].value, given_.a[pair.a]);
    }
    // An output may be a constant, which no step makes.
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      const network::ValueId output = a_.network->outputs[pairs_[i].a].value;
      if (!recorder.values().Has(output)) recorder.values().Hold(output, of_a[i]);
    }
    CKPT_ASSIGN_OR_RETURN(WalkResult walk,
                          WalkSteps(a_, recorder.values(), b_, given_, pairs_, options_.budget));
    Conclude(std::move(walk));
    return std::move(result_);
  }

 private:
  std::vector<network::ValueId> OutputsOf(bool in_b) const {
    std::vector<network::ValueId> ids;
    for (const PortPair& pair : pairs_) {
      ids.push_back(in_b ? b_.network->outputs[pair.b].value : a_.network->outputs[pair.a].value);
    }
    return ids;
  }

  void KeepInputs(const GivenInputs& given) {
    if (!options_.keep_values) return;
    result_.kept = KeptValues{given.a, given.b, {}, {}, {}};
    for (const PortPair& pair : pairs_) {
      result_.kept->outputs.emplace_back(a_.network->outputs[pair.a].name,
                                         b_.network->outputs[pair.b].name);
    }
  }

  void NoteUnknown(const Network& net, bool in_b) {
    const std::vector<bool> needed = NeededFor(net, OutputsOf(in_b));
    for (std::size_t i = 0; i < net.operations.size(); ++i) {
      const auto* unknown = std::get_if<network::Unknown>(&net.operations[i].computation);
      if (!needed[i] || unknown == nullptr) continue;
      result_.unknown.push_back(
          {in_b, net.layers[net.operations[i].layer].name, unknown->what, unknown->why});
    }
  }
  std::string UnknownText() const {
    const NotUnderstood& first = result_.unknown.front();
    std::string text = "\"" + first.layer + "\" of " + (first.in_b ? "B" : "A") + " (" +
                       first.what + ") is not understood: " + first.why;
    if (result_.unknown.size() > 1) {
      text += "; and " + std::to_string(result_.unknown.size() - 1) + " more";
    }
    return text;
  }
  Verification CannotTell(std::string why) {
    result_.verdict = Verdict::kCannotTell;
    result_.reason = std::move(why);
    return std::move(result_);
  }

  execution::RunOptions RunOptionsFor(bool in_b) const {
    execution::RunOptions options;
    options.budget = options_.budget;
    options.wanted = OutputsOf(in_b);
    return options;
  }

  Status CheckMemory() {
    CKPT_ASSIGN_OR_RETURN(
        const execution::Plan of_a,
        execution::PlanRun(*a_.network, *a_.weights, std::span<const Array>(given_.a),
                           RunOptionsFor(false)));
    CKPT_ASSIGN_OR_RETURN(
        const execution::Plan of_b,
        execution::PlanRun(*b_.network, *b_.weights, std::span<const Array>(given_.b),
                           RunOptionsFor(true)));
    result_.multiply_adds = of_a.total_multiply_adds;
    return CheckWalkMemory(*a_.network, of_a, *b_.network, of_b, options_.budget);
  }

  Result<std::vector<Array>> RunOne(
      const Runnable& side, const std::vector<Array>& inputs, bool in_b,
      execution::Observer* observer,
      execution::Precision precision = execution::Precision::kFloat64) const {
    execution::RunOptions options = RunOptionsFor(in_b);
    options.observer = observer;
    options.precision = precision;
    return execution::Run(*side.network, *side.weights, inputs, options);
  }

  void CompareOutputs(std::size_t i, const Array& a, const Array& noisy, const Array& b) {
    OutputDifference difference{a_.network->outputs[pairs_[i].a].name,
                                b_.network->outputs[pairs_[i].b].name};
    difference.noise = Compare(a, noisy, nullptr, 1).largest;
    for (const double element : a.elements) {
      difference.size = std::max(difference.size, std::abs(element));
    }
    difference.max_abs = HUGE_VAL;
    for (const network::Sizes& order : LikelyOrders(a.shape.size())) {
      if (Squeezed(Ordered(a.shape, order)) != Squeezed(b.shape)) continue;
      const Comparison found = Compare(Ordered(a, order), b, nullptr, 1);
      if (found.largest >= difference.max_abs) continue;
      difference.max_abs = found.largest;
      difference.place = PlaceOf(a.shape, order.empty() ? found.element : 0);
    }
    result_.outputs.push_back(std::move(difference));
  }

  Verification WithNan(const std::string& in_a, const std::string& in_b) {
    if (in_a.empty() != in_b.empty()) {
      result_.verdict = Verdict::kDifferent;
      result_.reason = "\"" + (in_a.empty() ? in_b : in_a) + "\" of " + (in_a.empty() ? "B" : "A") +
                       " yields NaN, and nothing of the other does";
      return std::move(result_);
    }
    return CannotTell("both yield NaN, A first in \"" + in_a + "\", B in \"" + in_b + "\"");
  }

  void Conclude(WalkResult walk) {
    result_.steps = std::move(walk.steps);
    result_.steps_compared = walk.compared;
    result_.factor = walk.factor;
    result_.worst = walk.worst;
    result_.first_beyond = walk.first_beyond;
    if (walk.first_beyond && IsContradicted(*walk.first_beyond)) {
      result_.first_beyond.reset();
      result_.verdict = Verdict::kCannotTell;
      result_.reason =
          "no step of A is known to correspond to \"" + walk.first_beyond->layer_b + "\" of B";
    } else if (walk.first_beyond) {
      result_.verdict = Verdict::kDifferent;
      result_.reason = "\"" + walk.first_beyond->layer_b + "\" of B yields something else than \"" +
                       walk.first_beyond->layer_a + "\" of A";
    } else if (walk.unseen) {
      result_.first_beyond = walk.unseen;
      result_.verdict = Verdict::kDifferent;
      result_.reason = "\"" + walk.unseen->layer_b + "\" of B (" + walk.unseen->operation +
                       ") is another function than \"" + walk.unseen->layer_a +
                       "\" of A, although no value of this run shows it";
    } else if (!walk.undecided.empty()) {
      // No bound holds where steps do not correspond; outputs that are worlds apart need none.
      const bool apart = std::any_of(result_.outputs.begin(), result_.outputs.end(), IsFarApart);
      result_.verdict = apart ? Verdict::kDifferent : Verdict::kCannotTell;
      result_.reason = walk.undecided;
    } else {
      result_.verdict = walk.factor == 0 ? Verdict::kSame : Verdict::kSameUpToRounding;
    }
  }
  // Steps that differ in their first digits, and outputs that hardly do: these steps do not
  // correspond.
  bool IsContradicted(const StepDifference& step) const {
    const double size = std::max(std::abs(step.value_a), std::abs(step.value_b));
    const bool visible = std::abs(step.value_b - step.value_a) > 1e-3 * size;
    return visible && std::all_of(result_.outputs.begin(), result_.outputs.end(),
                                  [](const OutputDifference& output) {
                                    return output.max_abs <= 10 * output.noise;
                                  });
  }
  static bool IsFarApart(const OutputDifference& output) {
    return output.max_abs > 1e-2 * output.size && output.max_abs > 1000 * output.noise;
  }

  const Runnable &a_, &b_;
  const VerifyOptions& options_;
  std::vector<PortPair> pairs_;
  GivenInputs given_;
  Verification result_;
};

// A difference that was found stands, whatever another batch could not tell.
int GravityOf(Verdict verdict) {
  switch (verdict) {
    case Verdict::kSame:
      return 0;
    case Verdict::kSameUpToRounding:
      return 1;
    case Verdict::kCannotTell:
      return 2;
    case Verdict::kDifferent:
      return 3;
  }
  return 3;
}

bool HaveSameShapes(const Verification& x, const Verification& y) {
  return std::equal(x.inputs.begin(), x.inputs.end(), y.inputs.begin(), y.inputs.end(),
                    [](const UsedInput& i, const UsedInput& j) { return i.shape == j.shape; });
}

}  // namespace

std::string_view Name(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::kSame:
      return "same";
    case Verdict::kSameUpToRounding:
      return "same up to rounding";
    case Verdict::kDifferent:
      return "different";
    case Verdict::kCannotTell:
      return "cannot tell";
  }
  return "";
}

Result<Verification> VerifySameFunction(const Runnable& a, const Runnable& b,
                                        const VerifyOptions& options) {
  if (options.until.empty()) return Verifier(a, b, options).Verify();
  CKPT_ASSIGN_OR_RETURN(const Network cut_a, Until(*a.network, options.until, "A"));
  CKPT_ASSIGN_OR_RETURN(const Network cut_b, Until(*b.network, options.until, "B"));
  const Runnable part_a{&cut_a, a.weights}, part_b{&cut_b, b.weights};
  return Verifier(part_a, part_b, options).Verify();
}

Result<Verification> VerifyAtBatches(const Runnable& a, const Runnable& b,
                                     const VerifyOptions& options,
                                     std::span<const std::int64_t> batches) {
  VerifyOptions at = options;
  std::optional<Verification> gravest;
  for (const std::int64_t batch : batches) {
    at.batch = batch;
    CKPT_ASSIGN_OR_RETURN(Verification one, VerifySameFunction(a, b, at));
    const bool settled = !options.inputs.empty() || (gravest && HaveSameShapes(*gravest, one));
    if (!gravest || GravityOf(one.verdict) >= GravityOf(gravest->verdict)) {
      gravest = std::move(one);
    }
    if (settled) break;
  }
  if (!gravest) return Fail(ErrorCode::kInternal, "no batch size to compare at");
  return *std::move(gravest);
}

Result<std::uint64_t> CountMultiplyAdds(const Runnable& a, const Runnable& b,
                                        const VerifyOptions& options) {
  CKPT_ASSIGN_OR_RETURN(const GivenInputs given, GiveInputs(a, b, options));
  execution::RunOptions run;
  run.budget = options.budget;
  CKPT_ASSIGN_OR_RETURN(
      const execution::Plan plan,
      execution::PlanRun(*a.network, *a.weights, std::span<const Array>(given.a), run));
  return plan.total_multiply_adds;
}

}  // namespace ckpt
