// Names of a layer's variables, which Keras 3 files only number.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/shape.h"

namespace ckpt::formats::keras {

// How Keras 3 spells a class in a path: "BatchNormalization" -> "batch_normalization", "Conv2D" ->
// "conv2d", "ReLU" -> "re_lu". Source: to_snake_case() in keras/src/utils/naming.py.
std::string SnakeCase(std::string_view class_name);

// "batch_normalization_1" -> "batch_normalization"
std::string_view WithoutCounter(std::string_view name);

// The path is `top` or one below it.
bool IsBelow(std::string_view path, std::string_view top);
// "layers/conv/kernel", "bias" -> "layers/conv/bias"
std::string Beside(const std::string& sibling, const std::string& leaf);

// The names of the variables 0, 1, ... of an object of the class `snake`, an empty one where the
// class and the shapes do not settle it; empty where the class is not known or the shapes do not
// fit it. For a batch norm with three variables it is open which of gamma and beta is there.
std::vector<std::string> VariableNamesOfClass(std::string_view snake,
                                              std::span<const Shape> shapes);

// Is a layer's variable of this name (one of VariableNamesOfClass) computed from data, not trained?
bool IsStatistic(std::string_view variable);

// One rank-1 shape for all. REQUIRES: there is one.
bool AllVectorsOfOneLength(std::span<const Shape> shapes);

// Does a name say that an object may be a batch norm: "bn", "conv1_bn", "batchnorm2", "norm"?
bool NamesBatchNorm(std::string_view name);

}  // namespace ckpt::formats::keras
