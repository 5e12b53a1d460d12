// Order of the axes of a kernel.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace ckpt {

// K = spatial axes, I = in, O = out channels, G = groups, M = multiplier.
enum class KernelLayout : std::uint8_t {
  kSpatialInOut,         // [K..., I/G, O]   Keras and TensorFlow convolutions, dense [I, O]
  kSpatialOutIn,         // [K..., O, I]     Keras and TensorFlow transposed convolutions
  kSpatialInMultiplier,  // [K..., I, M]     depthwise; out channel = i * M + m
  kOutInSpatial,         // [O, I/G, K...]   PyTorch and ONNX convolutions, linear [O, I]
  kInOutSpatial,         // [I, O/G, K...]   PyTorch and ONNX transposed convolutions
};
std::string_view Name(KernelLayout layout) noexcept;  // "HWIO", "HWOI", "HWIM", "OIHW", "IOHW"
// The inverse, for any number of spatial axes: "DHWIO", "WIO", "IO", "OI"...
std::optional<KernelLayout> KernelLayoutFromName(std::string_view name);

}  // namespace ckpt
