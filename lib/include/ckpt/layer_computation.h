// What a layer of a graph is: the questions that folding, auditing and conventions ask about what
// it computes.
#pragma once

#include <variant>

#include "ckpt/model_graph.h"

namespace ckpt {

// Is this operation what it computes? "Computes<network::Pool>(layer)".
template <class T>
bool Computes(const Layer& layer) noexcept {
  return std::holds_alternative<T>(layer.computation);
}

// Nothing is known of what it computes. So is an input of the model, which computes nothing.
inline bool IsUnknown(const Layer& layer) noexcept { return Computes<network::Unknown>(layer); }

// With moving statistics, or those of its batch. Its axis may not be known: Layer::axis.
inline bool IsBatchNorm(const Layer& layer) noexcept {
  return Computes<network::BatchNormalization>(layer) && layer.has_statistics;
}

// y = gamma * x + beta for each channel, both stored. Nothing says that these once were
// statistics, and there are none to judge.
inline bool ScalesChannels(const Layer& layer) noexcept {
  return Computes<network::BatchNormalization>(layer) && !layer.has_statistics;
}

// A convolution with a kernel of its own: of any rank, grouped, depthwise, separable, not
// transposed.
inline bool IsConvolution(const Layer& layer) noexcept {
  return layer.has_kernel && Computes<network::Convolution>(layer);
}
// The kernel is [spatial..., in, multiplier].
inline bool IsDepthwise(const Layer& layer) noexcept {
  return IsConvolution(layer) && layer.layout == KernelLayout::kSpatialInMultiplier;
}
inline bool IsSeparable(const Layer& layer) noexcept {
  return IsConvolution(layer) && layer.depthwise_first.has_value();
}
inline bool IsTransposed(const Layer& layer) noexcept {
  return layer.has_kernel && Computes<network::TransposedConvolution>(layer);
}
// A product of the last axis with a kernel of its own.
inline bool IsDense(const Layer& layer) noexcept {
  return layer.has_kernel && Computes<network::MatrixProduct>(layer);
}
// A layer that a batch norm can be folded into.
inline bool IsLinear(const Layer& layer) noexcept {
  return IsConvolution(layer) || IsTransposed(layer) || IsDense(layer);
}

// It has no activation behind what it computes.
inline bool IsLinearActivation(const Layer& layer) noexcept {
  return layer.activation.empty() || layer.activation == "linear";
}

// y = x, its own activation aside: Dropout at serving, Identity.
inline bool ComputesIdentity(const Layer& layer) noexcept {
  const auto* unary = std::get_if<network::Unary>(&layer.computation);
  return unary != nullptr && unary->function == network::UnaryFunction::kIdentity;
}
// y = x.
inline bool IsIdentity(const Layer& layer) noexcept {
  return ComputesIdentity(layer) && IsLinearActivation(layer);
}
// A layer that is an activation: it has nothing else in front of it.
inline bool IsActivation(const Layer& layer) noexcept {
  if (IsLinearActivation(layer)) return false;
  const auto* binary = std::get_if<network::Binary>(&layer.computation);
  return Computes<network::Unary>(layer) || Computes<network::Softmax>(layer) ||
         (binary != nullptr && binary->function == network::BinaryFunction::kLeakyRelu);
}

// The sum of what it reads.
inline bool IsAddition(const Layer& layer) noexcept {
  const auto* binary = std::get_if<network::Binary>(&layer.computation);
  return binary != nullptr && binary->function == network::BinaryFunction::kAdd;
}

// Each example becomes one row. Layer::axis is 1 where axis 1 moves to the end first (Keras'
// channels_first).
inline bool IsFlatten(const Layer& layer) noexcept {
  const auto* merge = std::get_if<network::MergeAxes>(&layer.computation);
  return merge != nullptr && merge->first == 1 && merge->last == -1;
}

// It pools, pads or resizes along the spatial axes, and the channels stay what they are.
inline bool KeepsChannels(const Layer& layer) noexcept {
  return layer.axis && (Computes<network::Pool>(layer) || Computes<network::Pad>(layer) ||
                        Computes<network::Resize>(layer));
}

// One number of each channel: the mean or the largest of all of its elements, per example.
inline bool PoolsWholly(const Layer& layer) noexcept {
  using Kind = network::Reduction::Kind;
  const auto* reduction = std::get_if<network::Reduction>(&layer.computation);
  return layer.axis && reduction != nullptr &&
         (reduction->kind == Kind::kMean || reduction->kind == Kind::kMaximum);
}

// It moves, joins, adds up or pools what it reads: tensors of its own are sizes and places.
inline bool HasNoParameters(const Layer& layer) noexcept {
  return IsIdentity(layer) || IsAddition(layer) || Computes<network::Concatenate>(layer) ||
         KeepsChannels(layer) || PoolsWholly(layer) || IsFlatten(layer) ||
         Computes<network::Reshape>(layer);
}

// Its tensors may be those of a layer within it, or of another one, which it hands them to.
inline bool MayHandTensorsOn(const Layer& layer) noexcept {
  const bool known = layer.is_input || IsLinear(layer) || IsBatchNorm(layer) ||
                     IsActivation(layer) || HasNoParameters(layer);
  return !known || Computes<network::Reshape>(layer);
}

}  // namespace ckpt
