// How fast the executor convolves: GFLOP/s of the shapes of ResNet-50 in float64, on one core.
//
//   execution_bench [repetitions]
//
// Prints a line for each distinct convolution of the network at 224x224, with how many times it
// occurs, and the sum over all 53. bench/execution.py runs PyTorch beside it.
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "ckpt/execution/run.h"

namespace {

using ckpt::execution::Array;

struct Shape {
  std::int64_t size, in, out, kernel, stride, times;
};
// Of the data, before the convolution.
constexpr Shape kShapes[] = {
    {224, 3, 64, 7, 2, 1},    {56, 64, 64, 1, 1, 1},    {56, 64, 64, 3, 1, 3},
    {56, 64, 256, 1, 1, 4},   {56, 256, 64, 1, 1, 2},   {56, 256, 128, 1, 1, 1},
    {56, 128, 128, 3, 2, 1},  {28, 128, 512, 1, 1, 4},  {56, 256, 512, 1, 2, 1},
    {28, 512, 128, 1, 1, 3},  {28, 128, 128, 3, 1, 3},  {28, 512, 256, 1, 1, 1},
    {28, 256, 256, 3, 2, 1},  {14, 256, 1024, 1, 1, 6}, {28, 512, 1024, 1, 2, 1},
    {14, 1024, 256, 1, 1, 5}, {14, 256, 256, 3, 1, 5},  {14, 1024, 512, 1, 1, 1},
    {14, 512, 512, 3, 2, 1},  {7, 512, 2048, 1, 1, 3},  {14, 1024, 2048, 1, 2, 1},
    {7, 2048, 512, 1, 1, 2},  {7, 512, 512, 3, 1, 2},
};

Array Filled(ckpt::network::Sizes shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  Array array{std::move(shape), std::vector<double>(static_cast<std::size_t>(count))};
  double value = 0.1;
  for (double& element : array.elements) element = value = 3.9 * value * (1 - value);
  return array;
}

// Seconds of the fastest run.
double Measure(const Shape& shape, bool channels_first, int repetitions) {
  using ckpt::KernelLayout;
  const std::int64_t k = shape.kernel, pad = k / 2;
  const Array x = channels_first ? Filled({1, shape.in, shape.size, shape.size})
                                 : Filled({1, shape.size, shape.size, shape.in});
  const Array kernel =
      channels_first ? Filled({shape.out, shape.in, k, k}) : Filled({k, k, shape.in, shape.out});
  ckpt::network::Convolution convolution;
  convolution.stride = {shape.stride, shape.stride};
  convolution.padding.before = convolution.padding.after = {pad, pad};
  convolution.layout = channels_first ? KernelLayout::kOutInSpatial : KernelLayout::kSpatialInOut;
  convolution.channel_axis = channels_first ? 1 : -1;
  const Array* operands[] = {&x, &kernel};
  double best = 1e9;
  for (int i = 0; i < repetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const auto y = ckpt::execution::Evaluate(convolution, operands, 1, {});
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    if (!y) std::exit(1);
    best = std::min(best, taken.count());
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const int repetitions = argc > 1 ? std::max(1, std::atoi(argv[1])) : 5;
  for (const bool channels_first : {false, true}) {
    double total = 0, flops = 0;
    for (const Shape& shape : kShapes) {
      const double seconds = Measure(shape, channels_first, repetitions);
      const double out = static_cast<double>((shape.size - 1) / shape.stride + 1);
      const double one =
          2 * out * out * static_cast<double>(shape.in * shape.out * shape.kernel * shape.kernel);
      std::printf("%s %4lldx%-4lld %5lld -> %-5lld %lldx%lld/%lld  %7.2f ms  %6.1f GFLOP/s\n",
                  channels_first ? "NCHW" : "NHWC", static_cast<long long>(shape.size),
                  static_cast<long long>(shape.size), static_cast<long long>(shape.in),
                  static_cast<long long>(shape.out), static_cast<long long>(shape.kernel),
                  static_cast<long long>(shape.kernel), static_cast<long long>(shape.stride),
                  seconds * 1e3, one / seconds * 1e-9);
      total += seconds * static_cast<double>(shape.times);
      flops += one * static_cast<double>(shape.times);
    }
    std::printf("%s all 53 convolutions  %.3f s  %.1f GFLOP/s\n", channels_first ? "NCHW" : "NHWC",
                total, flops / total * 1e-9);
  }
}
