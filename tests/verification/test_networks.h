// A small network with its weights in float32, and the same with its batch norms folded in: by the
// formula, in float64, each constant rounded once.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "ckpt/network/network.h"
#include "tests/support/memory_checkpoint.h"

namespace ckpt::testing {

using Numbers = std::vector<double>;

// Three blocks of convolution (OIHW, data NCHW), batch norm and rectifier, the second one strided.
struct TestNet {
  static constexpr int kBlocks = 3;
  static constexpr std::int64_t kChannels = 6;
  static std::int64_t InOf(int block) { return block == 0 ? 3 : kChannels; }

  std::map<std::string, Numbers> weights = {};
  double epsilon[kBlocks] = {1e-3, 1e-3, 1e-3};
  network::Padding padding[kBlocks] = {};
  double clip[kBlocks] = {0, 0, 0};  // above 0: the rectifier is cut off there
  Dtype dtype = Dtype::kF32;

  static double Float(double x) { return static_cast<float>(x); }
  static std::string Name(const char* part, int block) {
    return std::string(part) + std::to_string(block);
  }

  explicit TestNet(unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    std::uniform_real_distribution<double> uniform(0.5, 1.5);
    const auto draw = [&](const std::string& name, std::size_t count, double scale, double shift,
                          bool positive) {
      Numbers numbers(count);
      for (double& number : numbers) {
        number = Float(positive ? uniform(random) * scale : normal(random) * scale + shift);
      }
      weights[name] = numbers;
    };
    for (int i = 0; i < kBlocks; ++i) {
      const auto in = static_cast<std::size_t>(InOf(i)), out = static_cast<std::size_t>(kChannels);
      draw(Name("kernel", i), out * in * 9, std::sqrt(2.0 / (9.0 * static_cast<double>(in))), 0,
           false);
      draw(Name("gamma", i), out, 1, 0, true);
      draw(Name("beta", i), out, 0.3, 0.1, false);
      draw(Name("mean", i), out, 0.4, 0, false);
      draw(Name("variance", i), out, 0.7, 0, true);
      padding[i].before = padding[i].after = {1, 1};
    }
    padding[1] = {network::PaddingRule::kExplicit, {0, 0}, {1, 1}};
  }
};

struct Made {
  network::Network network;
  MemoryCheckpoint weights;
};

class NetMaker {
 public:
  NetMaker(const TestNet& net, Made& made) : net_(net), made_(made) {}

  // conv0, bn0, relu0, ...
  void MakePlain() {
    for (int i = 0; i < TestNet::kBlocks; ++i) AddWeights(i);
    Seal();
    for (int i = 0; i < TestNet::kBlocks; ++i) {
      Convolve(i, false);
      builder_.StartLayer(TestNet::Name("bn", i), "BatchNormalization");
      network::BatchNormalization norm;
      norm.axis = 1;
      norm.epsilon = net_.epsilon[i];
      Step(norm, {value_, Stored("gamma", i), Stored("beta", i), Stored("mean", i),
                  Stored("variance", i)});
      Rectify(i);
    }
    Finish();
  }

  // conv0 with a bias, relu0, ...
  void MakeFolded(bool in_float = false) {
    for (int i = 0; i < TestNet::kBlocks; ++i) AddFolded(i, in_float);
    Seal();
    for (int i = 0; i < TestNet::kBlocks; ++i) {
      Convolve(i, true);
      Rectify(i);
    }
    Finish();
  }

 private:
  static constexpr std::int64_t kOut = TestNet::kChannels;
  const Numbers& Of(const char* part, int block) const {
    return net_.weights.at(TestNet::Name(part, block));
  }
  void AddWeights(int i) {
    made_.weights.Add(TestNet::Name("kernel", i), {kOut, TestNet::InOf(i), 3, 3}, Of("kernel", i),
                      net_.dtype);
    for (const char* part : {"gamma", "beta", "mean", "variance"}) {
      made_.weights.Add(TestNet::Name(part, i), {kOut}, Of(part, i), net_.dtype);
    }
  }
  // W' = W gamma / sqrt(variance + epsilon), b' = beta - mean gamma / sqrt(variance + epsilon)
  void AddFolded(int i, bool in_float) {
    const auto rounded = [&](double x) { return in_float ? TestNet::Float(x) : x; };
    Numbers kernel = Of("kernel", i), bias(static_cast<std::size_t>(kOut));
    const std::size_t of_one = kernel.size() / bias.size();
    for (std::size_t o = 0; o < bias.size(); ++o) {
      const double root = rounded(std::sqrt(rounded(Of("variance", i)[o] + net_.epsilon[i])));
      const double scale = rounded(Of("gamma", i)[o] / root);
      for (std::size_t k = 0; k < of_one; ++k) kernel[o * of_one + k] *= scale;
      bias[o] = Of("beta", i)[o] - rounded(Of("mean", i)[o] * scale);
    }
    made_.weights.Add(TestNet::Name("kernel", i), {kOut, TestNet::InOf(i), 3, 3}, kernel,
                      net_.dtype);
    made_.weights.Add(TestNet::Name("bias", i), {kOut}, bias, net_.dtype);
  }
  void Seal() {
    made_.weights.Seal();
    value_ = builder_.AddInput("x", network::Sizes{network::kUnknownSize, 3, 9, 9});
  }
  network::ValueId Stored(const char* part, int block) {
    const std::string name = TestNet::Name(part, block);
    const TensorId id = *FindTensor(made_.weights.manifest(), name);
    const auto dims = made_.weights.manifest().tensors[id.index].shape.dims();
    return builder_.AddStored(name, {id, {}, {}}, network::Sizes(dims.begin(), dims.end()));
  }
  void Step(network::Computation computation, std::vector<network::ValueId> operands) {
    value_ = builder_.Add(std::move(computation), std::move(operands));
  }
  void Convolve(int i, bool with_bias) {
    builder_.StartLayer(TestNet::Name("conv", i), "Conv");
    network::Convolution conv;
    conv.layout = KernelLayout::kOutInSpatial;
    conv.channel_axis = 1;
    conv.padding = net_.padding[i];
    if (i == 1) conv.stride = {2, 2};
    Step(conv, {value_, Stored("kernel", i), with_bias ? Stored("bias", i) : network::kNoValue});
  }
  void Rectify(int i) {
    builder_.StartLayer(TestNet::Name("relu", i), "Relu");
    network::Unary relu{network::UnaryFunction::kRelu};
    if (net_.clip[i] > 0) relu = {network::UnaryFunction::kClip, 0, net_.clip[i]};
    Step(relu, {value_});
  }
  void Finish() {
    builder_.AddOutput("y", value_);
    made_.network = *std::move(builder_).Finish();
  }

  const TestNet& net_;
  Made& made_;
  network::NetworkBuilder builder_{network::Origin::kOnnxGraph};
  network::ValueId value_;
};

}  // namespace ckpt::testing
