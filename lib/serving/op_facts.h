// What the rewriting of graphs needs to know of single operations.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/op_bodies.h"
#include "ckpt/op_graph.h"
#include "ckpt/serving.h"
#include "serving/working_graph.h"

namespace ckpt {

// tensorflow/core/framework/types.proto
inline constexpr std::int32_t kTfInt32 = 3, kTfString = 7, kTfInt64 = 9, kTfBool = 10,
                              kTfResource = 20, kTfVariant = 21;

bool IsPlaceholderType(std::string_view type) noexcept;  // without a default
bool IsFusedBatchNormType(std::string_view type) noexcept;
bool IsSwitchType(std::string_view type) noexcept;  // Switch, RefSwitch
bool IsMergeType(std::string_view type) noexcept;
// y = x, whatever it is for: Identity, StopGradient...
bool IsIdentityType(std::string_view type) noexcept;
bool IsRandomType(std::string_view type) noexcept;
// Yields the examples of a training program: an iterator, a queue, a reader of records.
bool IsExampleSourceType(std::string_view type) noexcept;
bool IsTableType(std::string_view type) noexcept;
// A lookup table whose content an initializer gives it, and a use that leaves it as it is.
bool IsTableHandleType(std::string_view type) noexcept;
bool IsTableLookupType(std::string_view type) noexcept;

// The `is_training` of a fused batch norm; the operation's default is true.
bool IsTraining(const Op& op);

// The type of an output by the operation's definition, and the shape that the file records of it.
OpTensorType RecordedType(const Op& op, std::uint32_t output);
// "float32 [?, 8]"
std::string ToText(const OpTensorType& type);

// The value of a small constant (through identities); nothing where it is none.
std::optional<double> ConstantScalar(const WorkingGraph& graph, OpEdge edge);
std::optional<std::vector<std::int64_t>> ConstantIntegers(const WorkingGraph& graph, OpEdge edge);

// The variable that an edge reads or refers to, through identities, reads and switches.
std::optional<OpId> VariableOf(const WorkingGraph& graph, OpEdge edge);

// A constant operation with this value.
Op MakeConstant(std::string name, std::int32_t tf_dtype, OpConstant value);

bool IsOneOf(std::string_view type, std::span<const std::string_view> types) noexcept;

}  // namespace ckpt
