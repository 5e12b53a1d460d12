#include "formats/keras/model/variable_names.h"

#include <algorithm>
#include <cctype>

namespace ckpt::formats::keras {
namespace {

bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsLower(char c) { return c >= 'a' && c <= 'z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
char Lower(char c) { return IsUpper(c) ? static_cast<char>(c - 'A' + 'a') : c; }

using Names = std::vector<std::string>;

Names BatchNormNames(std::span<const Shape> shapes) {
  if (shapes.size() < 2 || !AllVectorsOfOneLength(shapes)) return {};
  switch (shapes.size()) {
    case 2:
      return {"moving_mean", "moving_variance"};
    case 3:
      return {"", "moving_mean", "moving_variance"};
    case 4:
      return {"gamma", "beta", "moving_mean", "moving_variance"};
    case 7:
      return {"gamma",         "beta",        "moving_mean",  "moving_variance",
              "moving_stddev", "renorm_mean", "renorm_stddev"};
    default:
      return {};
  }
}

bool IsConvolution(std::string_view snake) {
  if (snake.ends_with("_transpose")) snake.remove_suffix(10);
  return snake.size() > 2 && snake.back() == 'd' && IsDigit(snake[snake.size() - 2]) &&
         (snake.starts_with("conv") || snake.starts_with("depthwise_conv"));
}

Names WithBias(Names names, std::span<const Shape> shapes) {
  if (shapes.size() < names.size() || shapes.size() > names.size() + 1) return {};
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (shapes[i].rank() < 2) return {};
  }
  if (shapes.size() == names.size()) return names;
  if (shapes.back().rank() != 1) return {};
  names.emplace_back("bias");
  return names;
}

}  // namespace

bool AllVectorsOfOneLength(std::span<const Shape> shapes) {
  return std::all_of(shapes.begin(), shapes.end(), [&](const Shape& shape) {
    return shape.rank() == 1 && shape[0] == shapes[0][0];
  });
}

std::string SnakeCase(std::string_view class_name) {
  std::string word;
  for (const char c : class_name) {
    if (IsUpper(c) || IsLower(c) || IsDigit(c) || c == '_' || (c & 0x80) != 0) word += c;
  }
  // "_" between any character and a capital that lower-case letters follow.
  std::string once;
  for (std::size_t i = 0; i < word.size(); ++i) {
    const bool starts_word =
        i > 0 && IsUpper(word[i]) && i + 1 < word.size() && IsLower(word[i + 1]);
    if (starts_word) once += '_';
    once += word[i];
  }
  // "_" between a lower-case letter and a capital.
  std::string twice;
  for (std::size_t i = 0; i < once.size(); ++i) {
    if (i > 0 && IsLower(once[i - 1]) && IsUpper(once[i])) twice += '_';
    twice += once[i];
  }
  std::transform(twice.begin(), twice.end(), twice.begin(), Lower);
  return twice;
}

std::string_view WithoutCounter(std::string_view name) {
  std::string_view stem = name;
  while (!stem.empty() && IsDigit(stem.back())) stem.remove_suffix(1);
  return stem.size() < name.size() && stem.ends_with('_') ? stem.substr(0, stem.size() - 1) : name;
}

bool IsBelow(std::string_view path, std::string_view top) {
  return path == top ||
         (path.size() > top.size() && path.starts_with(top) && path[top.size()] == '/');
}

std::string Beside(const std::string& sibling, const std::string& leaf) {
  return sibling.substr(0, sibling.rfind('/') + 1) + leaf;
}

Names VariableNamesOfClass(std::string_view snake, std::span<const Shape> shapes) {
  if (shapes.empty()) return {};
  if (snake == "batch_normalization" || snake == "sync_batch_normalization") {
    return BatchNormNames(shapes);
  }
  if (IsConvolution(snake) || snake == "dense") return WithBias({"kernel"}, shapes);
  if (snake.starts_with("separable_conv")) {
    return WithBias({"depthwise_kernel", "pointwise_kernel"}, shapes);
  }
  if (snake == "lstm_cell" || snake == "gru_cell" || snake == "simple_rnn_cell") {
    const bool fits =
        shapes.size() >= 2 && shapes.size() <= 3 && shapes[0].rank() == 2 && shapes[1].rank() == 2;
    if (!fits) return {};
    Names names = {"kernel", "recurrent_kernel"};
    if (shapes.size() == 3) names.emplace_back("bias");
    return names;
  }
  if (snake == "embedding" && shapes.size() == 1 && shapes[0].rank() == 2) return {"embeddings"};
  if ((snake == "layer_normalization" || snake == "group_normalization") && shapes.size() == 2) {
    return {"gamma", "beta"};
  }
  if (snake == "p_re_lu" && shapes.size() == 1) return {"alpha"};
  if (snake == "normalization" && shapes.size() == 3 && shapes[2].rank() == 0) {
    return {"mean", "variance", "count"};
  }
  return {};
}

bool IsStatistic(std::string_view variable) {
  return variable.starts_with("moving_") || variable.starts_with("renorm_") || variable == "mean" ||
         variable == "variance" || variable == "count";
}

bool NamesBatchNorm(std::string_view name) {
  std::string_view whole = WithoutCounter(name);
  while (!whole.empty() && IsDigit(whole.back())) whole.remove_suffix(1);
  if (whole == "norm") return true;  // "layer_norm" is another
  while (!name.empty()) {
    const std::size_t end = std::min(name.find_first_of("_-./"), name.size());
    std::string token(name.substr(0, end));
    while (!token.empty() && IsDigit(token.back())) token.pop_back();
    std::transform(token.begin(), token.end(), token.begin(), Lower);
    if (token == "bn" || token == "batchnorm" || token == "batchnormalization") return true;
    name.remove_prefix(std::min(end + 1, name.size()));
  }
  return false;
}

}  // namespace ckpt::formats::keras
