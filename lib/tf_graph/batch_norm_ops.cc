#include <algorithm>
#include <utility>

#include "ckpt/op_batch_norm.h"
#include "tf_graph/assigned_value.h"
#include "tf_graph/batch_norm_updates.h"
#include "tf_graph/batch_norm_vectors.h"
#include "tf_graph/unfused_batch_norm.h"

namespace ckpt {
namespace {

using tf_graph::BatchStatistics;
using tf_graph::TracedVector;
using Kind = OpBatchNormVector::Kind;

constexpr double kFusedEpsilon = 1e-4F;  // of the operation's definition

bool IsFusedType(std::string_view type) {
  return type == "FusedBatchNorm" || type == "FusedBatchNormV2" || type == "FusedBatchNormV3" ||
         type == "_FusedBatchNormEx";
}

class Finder {
 public:
  explicit Finder(const OpBodies& bodies)
      : bodies_(bodies), variables_(bodies.graph()), tracer_(bodies, variables_) {}

  OpBatchNorms Find() {
    for (std::uint32_t body = 0; body < bodies_.size(); ++body) {
      const std::size_t first = found_.norms.size();
      for (OpId id = 0; id < bodies_.body(body).ops.size(); ++id) Read({body, id});
      std::sort(found_.norms.begin() + static_cast<std::ptrdiff_t>(first), found_.norms.end(),
                [](const OpBatchNorm& a, const OpBatchNorm& b) { return a.output < b.output; });
    }
    IndexStatistics();
    found_.updates = tf_graph::FindUpdates(bodies_, variables_, statistics_, moving_);
    TakeFromUpdates();
    DropOtherNorms();
    return std::move(found_);
  }

 private:
  void Read(OpRef at) {
    const Op& op = bodies_.op(at);
    if (IsFusedType(op.type)) {
      if (op.inputs.size() >= 5) ReadFused(at);
    } else if (op.type == "BatchNormWithGlobalNormalization") {
      if (op.inputs.size() == 5) ReadGlobal(at);
    } else if (op.type == "Rsqrt" || op.type == "Sqrt") {
      ReadPatterns(at);
    }
  }

  void ReadPatterns(OpRef root) {
    auto patterns = tf_graph::UnfusedPatternsAt(bodies_, root);
    const auto form = patterns.empty() ? OpBatchNormForm::kWrittenOut : OpBatchNormForm::kUnfused;
    if (patterns.empty()) patterns = tf_graph::WrittenOutPatternsAt(bodies_, root);
    for (const auto& pattern : patterns) ReadPattern(root.body, form, pattern);
  }

  void ReadFused(OpRef at) {
    const Op& op = bodies_.op(at);
    OpBatchNorm norm;
    norm.form = OpBatchNormForm::kFused;
    norm.body = at.body;
    norm.output = at.op;
    norm.ops = norm.path = {at.op};
    norm.input = op.inputs[0];
    norm.gamma = tracer_.Trace(at, 1).vector;
    norm.beta = tracer_.Trace(at, 2).vector;
    norm.mean = tracer_.Trace(at, 3).vector;
    norm.variance = tracer_.Trace(at, 4).vector;
    const auto* training = FindAttr<bool>(op, "is_training");
    const bool trains = training == nullptr || *training;  // the definition's default is true
    norm.mode = trains ? OpBatchNormMode::kTraining : OpBatchNormMode::kInference;
    const auto* epsilon = FindAttr<double>(op, "epsilon");
    norm.epsilon_recorded = epsilon != nullptr;
    norm.epsilon = epsilon != nullptr ? *epsilon : kFusedEpsilon;
    const auto* format = FindAttr<std::string>(op, "data_format");
    norm.data_format = format != nullptr && !format->empty() ? *format : "NHWC";
    norm.channel_axis = norm.data_format.starts_with("NC") ? 1 : -1;
    const auto* factor = FindAttr<double>(op, "exponential_avg_factor");
    if (factor != nullptr) norm.exponential_avg_factor = tf_graph::ShortestDecimal(*factor);
    Add(std::move(norm), {}, {});
  }

  void ReadGlobal(OpRef at) {
    const Op& op = bodies_.op(at);
    OpBatchNorm norm;
    norm.form = OpBatchNormForm::kGlobal;
    norm.body = at.body;
    norm.output = at.op;
    norm.ops = norm.path = {at.op};
    norm.input = op.inputs[0];
    const TracedVector mean = tracer_.Trace(at, 1), variance = tracer_.Trace(at, 2);
    norm.mean = mean.vector;
    norm.variance = variance.vector;
    norm.beta = tracer_.Trace(at, 3).vector;
    const auto* scaled = FindAttr<bool>(op, "scale_after_normalization");
    if (scaled == nullptr || *scaled) norm.gamma = tracer_.Trace(at, 4).vector;
    const auto* epsilon = FindAttr<double>(op, "variance_epsilon");
    norm.epsilon_recorded = epsilon != nullptr;
    norm.epsilon = epsilon != nullptr ? *epsilon : 0;
    norm.mode = ModeOf(mean, variance);
    Add(std::move(norm), mean, variance);
  }

  void ReadPattern(std::uint32_t body, OpBatchNormForm form,
                   const tf_graph::UnfusedPattern& pattern) {
    OpBatchNorm norm;
    norm.form = form;
    norm.body = body;
    norm.output = pattern.output;
    norm.ops = pattern.ops;
    norm.path = pattern.path;
    std::sort(norm.ops.begin(), norm.ops.end());
    norm.ops.erase(std::unique(norm.ops.begin(), norm.ops.end()), norm.ops.end());
    norm.input = bodies_.op(pattern.x.at).inputs[pattern.x.input];
    const TracedVector mean = tracer_.Trace(pattern.mean.at, pattern.mean.input);
    const TracedVector variance = tracer_.Trace(pattern.variance.at, pattern.variance.input);
    // Layer, group and instance norms: one mean for each example.
    const auto of_example = [](const TracedVector& vector) {
      return vector.keeps_batch_axis && !vector.stored && vector.batch.empty();
    };
    if (of_example(mean) || of_example(variance)) return;
    norm.mean = mean.vector;
    norm.variance = variance.vector;
    if (pattern.gamma) norm.gamma = tracer_.Trace(pattern.gamma->at, pattern.gamma->input).vector;
    if (pattern.beta) norm.beta = tracer_.Trace(pattern.beta->at, pattern.beta->input).vector;
    norm.epsilon = pattern.epsilon;
    norm.mode = ModeOf(mean, variance);
    norm.channel_axis = ChannelAxis(pattern);
    Add(std::move(norm), mean, variance);
  }

  // 1 where the variance is reshaped to a constant shape whose only large axis is axis 1.
  int ChannelAxis(const tf_graph::UnfusedPattern& pattern) const {
    const auto value = bodies_.Input(pattern.variance.at, pattern.variance.input);
    if (!value || bodies_.op(value->at).type != "Reshape") return -1;
    for (const OpValue& origin : bodies_.OriginsOfInput(value->at, 1).values) {
      const auto dims = ConstantValues(bodies_.op(origin.at));
      if (!dims || dims->size() < 3) return -1;
      const bool second = (*dims)[1] != 1;
      const bool rest_one =
          std::all_of(dims->begin() + 2, dims->end(), [](double dim) { return dim == 1; });
      return second && rest_one ? 1 : -1;
    }
    return -1;
  }

  void Add(OpBatchNorm norm, const TracedVector& mean, const TracedVector& variance) {
    norm.moving_mean = norm.mean.variable;
    norm.moving_variance = norm.variance.variable;
    batch_of_.emplace(OpRef{norm.body, norm.output}, std::pair(mean.batch, variance.batch));
    found_.norms.push_back(std::move(norm));
  }

  void IndexStatistics() {
    for (std::size_t i = 0; i < found_.norms.size(); ++i) {
      const OpBatchNorm& norm = found_.norms[i];
      if (!norm.moving_mean.empty()) moving_.emplace(norm.moving_mean, false);
      if (!norm.moving_variance.empty()) moving_.emplace(norm.moving_variance, true);
      const OpRef at{norm.body, norm.output};
      if (norm.form == OpBatchNormForm::kFused) {
        if (norm.mode != OpBatchNormMode::kTraining) continue;
        statistics_.emplace(OpValue{at, 1}, tf_graph::BatchStatistic{i, false});
        statistics_.emplace(OpValue{at, 2}, tf_graph::BatchStatistic{i, true});
        continue;
      }
      const auto& [means, variances] = batch_of_.at(at);
      for (const OpValue& value : means) {
        statistics_.emplace(value, tf_graph::BatchStatistic{i, false});
      }
      for (const OpValue& value : variances) {
        statistics_.emplace(value, tf_graph::BatchStatistic{i, true});
      }
    }
  }

  void TakeFromUpdates() {
    std::map<std::string, double> momentum;
    for (const OpUpdate& update : found_.updates) {
      if (update.momentum) momentum.emplace(update.variable, *update.momentum);
      for (const std::size_t i : update.norms) {
        std::string& name =
            update.variance ? found_.norms[i].moving_variance : found_.norms[i].moving_mean;
        if (name.empty()) name = update.variable;
      }
    }
    for (OpBatchNorm& norm : found_.norms) {
      for (const std::string& name : {norm.moving_mean, norm.moving_variance}) {
        const auto found = momentum.find(name);
        if (found != momentum.end() && !norm.momentum) norm.momentum = found->second;
      }
    }
  }

  // Layer norms are built of a fused batch norm in training mode, with constants for gamma and
  // beta, on a reshaped input.
  void DropOtherNorms() {
    std::vector<bool> drop(found_.norms.size(), false);
    for (std::size_t i = 0; i < found_.norms.size(); ++i) {
      const OpBatchNorm& norm = found_.norms[i];
      const bool affine = IsLearnt(norm.gamma, 1) || IsLearnt(norm.beta, 0);
      const bool moving = !norm.moving_mean.empty() || !norm.moving_variance.empty();
      drop[i] = norm.form == OpBatchNormForm::kFused && norm.mode == OpBatchNormMode::kTraining &&
                !affine && !moving;
    }
    std::vector<std::size_t> kept_index(found_.norms.size(), 0);
    std::vector<OpBatchNorm> kept;
    for (std::size_t i = 0; i < found_.norms.size(); ++i) {
      kept_index[i] = kept.size();
      if (!drop[i]) kept.push_back(std::move(found_.norms[i]));
    }
    for (OpUpdate& update : found_.updates) {
      std::erase_if(update.norms, [&](std::size_t i) { return drop[i]; });
      for (std::size_t& i : update.norms) i = kept_index[i];
    }
    found_.norms = std::move(kept);
  }

  // A variable, an argument of a function that nothing in the file calls, or a constant that was a
  // variable before it was frozen: one with other values than the neutral one.
  bool IsLearnt(const OpBatchNormVector& vector, double neutral) const {
    if (vector.kind == Kind::kVariable) return true;
    if (!vector.origin) return false;
    const Op& op = bodies_.op(*vector.origin);
    if (op.type == "_Arg") return true;
    if (vector.kind != Kind::kConstant) return false;
    const auto values = ConstantValues(op);
    return !values || std::any_of(values->begin(), values->end(),
                                  [&](double value) { return value != neutral; });
  }

  const OpBodies& bodies_;
  const OpVariables variables_;
  const tf_graph::VectorTracer tracer_;
  OpBatchNorms found_ = {};
  std::map<OpRef, std::pair<std::vector<OpValue>, std::vector<OpValue>>> batch_of_ = {};
  BatchStatistics statistics_ = {};
  std::map<std::string, bool> moving_ = {};
};

}  // namespace

OpBatchNorms FindBatchNorms(const OpBodies& bodies) { return Finder(bodies).Find(); }

}  // namespace ckpt
