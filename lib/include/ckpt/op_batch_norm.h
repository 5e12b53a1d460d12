// Batch norms in an operation graph, found by what the operations compute, whatever their names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/op_bodies.h"

namespace ckpt {

enum class OpBatchNormForm : std::uint8_t {
  kFused,       // FusedBatchNorm, V2, V3, _FusedBatchNormEx
  kUnfused,     // tf.nn.batch_normalization: add, Rsqrt, mul, mul, sub, add
  kWrittenOut,  // gamma * (x - mean) / Sqrt(variance + epsilon) + beta, as it stands
  kGlobal,      // BatchNormWithGlobalNormalization
};

enum class OpBatchNormMode : std::uint8_t {
  kInference,  // normalises with stored statistics
  kTraining,   // normalises with those of the batch
  kSwitched,   // unfused: a Merge or an If chooses between the two
  kUnknown,  // the statistics come from neither (an argument that nothing passes, other operations)
};

// One of the vectors that a batch norm reads.
struct OpBatchNormVector {
  enum class Kind : std::uint8_t {
    kNone,  // the batch norm has none (no gamma, or empty statistics in training mode)
    kVariable,
    kConstant,  // a Const: a value of one per channel, or a scalar
    kBatch,     // computed from the batch
    kOther,
  };
  Kind kind = Kind::kNone;
  // As the batch norm reads it, an output of an operation of its own body. Absent for kNone.
  std::optional<OpEdge> edge = {};
  OpId reader = 0;  // the operation that reads it there, and the input
  std::size_t reader_input = 0;
  std::optional<OpRef> origin = {};  // the variable's or the constant's operation
  std::string variable = {};         // kVariable: the name that a saver gives it
};

struct OpBatchNorm {
  OpBatchNormForm form = OpBatchNormForm::kFused;
  OpBatchNormMode mode = OpBatchNormMode::kUnknown;
  std::uint32_t body = 0;
  OpId output = 0;             // the operation whose output 0 is the normalised value
  std::vector<OpId> ops = {};  // of this body, that make up the batch norm; `output` among them
  OpEdge input = {};           // what is normalised
  // Those of `ops` from `input` to `output`, in order: each reads the one before it, the first one
  // reads `input`. Casts may lie between.
  std::vector<OpId> path = {};
  OpBatchNormVector gamma = {}, beta = {}, mean = {}, variance = {};
  double epsilon = 0;            // what the operation adds: a float32, mostly, not its decimal
  bool epsilon_recorded = true;  // false: the operation's default
  std::string data_format = {};  // fused: "NHWC", "NCHW", "NDHWC", "NCDHW"
  // The axis of the channels: 1 or -1. An unfused one broadcasts over the last axis unless its
  // vectors are reshaped to [1, C, 1, 1] or the like.
  int channel_axis = -1;
  double exponential_avg_factor = 1;

  // The variables that hold its moving statistics: those that it reads, or, in training mode, those
  // that an update op feeds with its statistics of the batch. Empty: none found.
  std::string moving_mean = {}, moving_variance = {};
  // The weight of the old value in an update, where an update op holds it as a constant.
  std::optional<double> momentum = {};
};

// An operation that writes a new moving statistic: Assign, AssignSub, AssignVariableOp, ... The
// variable's initializer and assignments from a restore are none.
struct OpUpdate {
  OpRef op;
  std::string variable;
  bool variance = false;                // of the moving variance
  std::vector<std::size_t> norms = {};  // whose batch statistics it takes; in `norms` below
  std::optional<double> momentum = {};
};

struct OpBatchNorms {
  // By body, then in the order of their outputs in it.
  std::vector<OpBatchNorm> norms;
  std::vector<OpUpdate> updates;
};

// Linear in the size of the graph. Layer, group and instance norms that are built from the same
// operations (statistics that keep the batch axis, or constants for gamma and beta without moving
// statistics) are not listed.
OpBatchNorms FindBatchNorms(const OpBodies& bodies);

}  // namespace ckpt
