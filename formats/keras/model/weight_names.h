// The names of weights inside a Keras HDF5 file, over all generations, and the names that people
// use.
//
//   Keras 1     group "bn_a"   "bn_a_gamma", with ":0" or without   -> bn_a/gamma
//   Keras 2     group "bn_a"   "bn_a/gamma:0", "bn_a_1/gamma:0",
//                              "scope/bn_a/gamma:0"                 -> bn_a/gamma
//               group "inner"  "ic/kernel:0" (nested model)         -> inner/ic/kernel
//   Keras 3     group "bn_a"   "sequential/bn_a/gamma"              -> bn_a/gamma
//               group "inner"  "inner/ic/kernel"                    -> inner/ic/kernel
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ckpt::formats::keras {

// An attribute beside layer_names in files that this program writes from other frameworks' names:
// "PyTorch", "TensorFlow", "unknown".
inline constexpr const char* kNamesOf = "names_of";

struct WeightName {
  std::vector<std::string> scope;  // {"inner", "ic"}; may be empty
  std::string local;               // "kernel"
};

// `group` is the layer that the file lists the weight under.
WeightName SplitWeightName(std::string_view group, std::string_view stored);

// "bn_a/gamma".
std::string TensorName(std::string_view group, std::string_view stored);

// Without the number of an output, ":0".
std::string_view WithoutOutputNumber(std::string_view stored);

std::string Joined(const std::vector<std::string>& scope, std::string_view local);

}  // namespace ckpt::formats::keras
