// The order of a model's trainable variables by the shapes of an optimizer's.
#include "formats/keras/variables/trainable_order.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ckpt::formats::keras::trainable_order_test {
namespace {

class Weights {
 public:
  void Add(const std::string& path, const std::vector<Shape>& shapes) {
    TrainableGroup& group = groups_.emplace_back();
    group.path = path;
    for (const Shape& shape : shapes) {
      group.variables.push_back({static_cast<std::uint32_t>(tensors_.size())});
      tensors_.emplace_back();
      tensors_.back().name = path;
      tensors_.back().shape = shape;
    }
  }
  // The groups of the variables in their order; empty where it is not settled.
  std::vector<std::string> Order(const std::vector<Shape>& shapes) const {
    std::vector<std::string> paths;
    const auto order = OrderByShapes(groups_, tensors_, shapes);
    for (const TensorId id : order.value_or(std::vector<TensorId>())) {
      const std::string& path = tensors_[id.index].name;
      if (paths.empty() || paths.back() != path) paths.push_back(path);
    }
    return paths;
  }

 private:
  std::vector<TrainableGroup> groups_;
  std::vector<TensorInfo> tensors_;
};

const Shape kKernel = *Shape::FromDims({3, 3, 4, 4});
const Shape kVector = *Shape::FromDims({4}), kMatrix = *Shape::FromDims({4, 4});
using Paths = std::vector<std::string>;

TEST(TrainableOrder, TheShapesPutLayersOfSeveralClassesInOrder) {
  Weights weights;
  weights.Add("layers/batch_normalization", {kVector, kVector});
  weights.Add("layers/conv2d", {kKernel, kVector});
  weights.Add("layers/conv2d_1", {kKernel, kVector});
  EXPECT_EQ(weights.Order({kKernel, kVector, kVector, kVector, kKernel, kVector}),
            (Paths{"layers/conv2d", "layers/batch_normalization", "layers/conv2d_1"}));
}

TEST(TrainableOrder, TwoOrdersThatFitAreNone) {
  Weights weights;
  weights.Add("layers/conv2d", {kKernel});
  weights.Add("layers/conv2d_transpose", {kKernel});
  EXPECT_TRUE(weights.Order({kKernel, kKernel}).empty());
}

TEST(TrainableOrder, ALayerOfLayersStandsInOnePiece) {
  Weights weights;
  weights.Add("layers/bidirectional", {});
  weights.Add("layers/bidirectional/backward_layer/cell", {kMatrix});
  weights.Add("layers/bidirectional/forward_layer/cell", {kMatrix});
  weights.Add("layers/conv2d", {kKernel});
  EXPECT_TRUE(weights.Order({kMatrix, kKernel, kMatrix}).empty());
}

TEST(TrainableOrder, MoreOrFewerVariablesThanTheFileHasAreNoOrder) {
  Weights weights;
  weights.Add("layers/dense", {kMatrix, kVector});
  weights.Add("layers/dense_1", {kMatrix, kVector});
  EXPECT_TRUE(weights.Order({kMatrix, kVector}).empty());
  EXPECT_EQ(weights.Order({kMatrix, kVector, kMatrix, kVector}).size(), 2U);
}

}  // namespace
}  // namespace ckpt::formats::keras::trainable_order_test
