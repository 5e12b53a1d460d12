#include "tf_graph/batch_norm_vectors.h"

#include <algorithm>

#include "tf_graph/assigned_value.h"

namespace ckpt::tf_graph {
namespace {

// Does this Mean go over the batch axis? nullopt: its axes are not a constant.
std::optional<bool> OverBatch(const OpBodies& bodies, OpRef mean) {
  const OpOrigins axes = bodies.OriginsOfInput(mean, 1);
  for (const OpValue& origin : axes.values) {
    const auto values = ConstantValues(bodies.op(origin.at));
    if (values) return std::find(values->begin(), values->end(), 0) != values->end();
  }
  return std::nullopt;
}

// Operations between a statistic and the sums over the batch that it is computed from.
constexpr std::size_t kMaxVectorIngredients = 24;

// Whether a mean or sum over the batch axis is among what the value is computed from (old
// tf.nn.moments, variances by squares, statistics shared between replicas); false: only means and
// sums of each example are (tf.nn.weighted_moments in group norms). nullopt: neither.
std::optional<bool> DerivedFromBatch(const OpBodies& bodies, OpValue value) {
  std::optional<bool> derived;
  for (const OpValue& ingredient : tf_graph::Ingredients(bodies, value, kMaxVectorIngredients)) {
    const Op& op = bodies.op(ingredient.at);
    if (op.type != "Mean" && op.type != "Sum") continue;
    const std::optional<bool> over_batch = OverBatch(bodies, ingredient.at);
    if (over_batch.value_or(false)) return true;
    if (over_batch) derived = false;
  }
  return derived;
}

bool IsFused(std::string_view type) {
  return type.starts_with("FusedBatchNorm") || type == "_FusedBatchNormEx";
}

}  // namespace

TracedVector VectorTracer::Trace(OpRef at, std::size_t input) const {
  using Kind = OpBatchNormVector::Kind;
  TracedVector traced;
  OpBatchNormVector& vector = traced.vector;
  vector.edge = bodies_.op(at).inputs[input];
  vector.reader = at.op;
  vector.reader_input = input;
  vector.kind = Kind::kOther;
  for (const OpValue& origin : bodies_.OriginsOfInput(at, input).values) {
    const Op& op = bodies_.op(origin.at);
    const std::string partitioned = PartitionedVariable(origin.at);
    if (!partitioned.empty()) {
      traced.stored = true;
      if (vector.kind == Kind::kVariable) continue;
      vector.kind = Kind::kVariable;
      vector.origin = origin.at;
      vector.variable = partitioned;
    } else if (IsVariableOp(op.type)) {
      traced.stored = true;
      if (vector.kind == Kind::kVariable) continue;  // of several calls: the first
      vector.kind = Kind::kVariable;
      vector.origin = origin.at;
      vector.variable = variables_.NameOf(op);
    } else if (op.type == "Const") {
      if (op.constant && op.constant->shape.element_count() == 0) {
        if (vector.kind == Kind::kOther) vector.kind = Kind::kNone;
        continue;
      }
      traced.stored = true;
      if (vector.kind == Kind::kVariable) continue;
      vector.kind = Kind::kConstant;
      vector.origin = origin.at;
    } else if (op.type == "Mean" || (IsFused(op.type) && origin.output != 0)) {
      if (op.type == "Mean" && !OverBatch(bodies_, origin.at).value_or(true)) {
        traced.keeps_batch_axis = true;
        continue;
      }
      traced.batch.push_back(origin);
      if (vector.kind == Kind::kOther) vector.kind = Kind::kBatch;
    } else if (const auto derived =
                   IsArithmetic(op.type) ? DerivedFromBatch(bodies_, origin) : std::nullopt) {
      if (!*derived) {
        traced.keeps_batch_axis = true;
        continue;
      }
      traced.batch.push_back(origin);
      if (vector.kind == Kind::kOther) vector.kind = Kind::kBatch;
    } else if (vector.kind == Kind::kOther && !vector.origin) {
      vector.origin = origin.at;
    }
  }
  if (vector.kind == Kind::kNone) vector.edge.reset();
  return traced;
}

// The full name of the variable whose parts a ConcatV2 joins; empty where it is none.
std::string VectorTracer::PartitionedVariable(OpRef concat) const {
  const Op& op = bodies_.op(concat);
  if (op.type != "ConcatV2" || op.inputs.size() < 2) return {};
  std::string full;
  for (std::size_t i = 0; i + 1 < op.inputs.size(); ++i) {
    const OpOrigins origins = bodies_.OriginsOfInput(concat, i);
    if (origins.values.size() != 1) return {};
    const Op& part = bodies_.op(origins.values.front().at);
    const OpVariable* record = IsVariableOp(part.type) ? variables_.RecordOf(part) : nullptr;
    if (record == nullptr || record->full_name.empty()) return {};
    if (i == 0) full = record->full_name;
    if (record->full_name != full) return {};
  }
  return full;
}

OpBatchNormMode ModeOf(const TracedVector& mean, const TracedVector& variance) {
  const bool stored = mean.stored && variance.stored;
  const bool batch = !mean.batch.empty() && !variance.batch.empty();
  if (stored && batch) return OpBatchNormMode::kSwitched;
  if (stored) return OpBatchNormMode::kInference;
  if (batch) return OpBatchNormMode::kTraining;
  return OpBatchNormMode::kUnknown;
}

}  // namespace ckpt::tf_graph
