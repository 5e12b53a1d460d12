#include "execution/cost.h"

#include <algorithm>
#include <map>

#include "execution/products.h"

namespace ckpt::execution {

using network::Sizes;

std::uint64_t SaturatingPlus(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}
std::uint64_t SaturatingTimes(std::uint64_t a, std::uint64_t b) {
  std::uint64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

namespace {

std::uint64_t ElementsOf(const Sizes& shape) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  std::uint64_t count = 1;
  for (const std::int64_t size : shape) {
    count = SaturatingTimes(count, static_cast<std::uint64_t>(size));
  }
  return count;
}

constexpr std::uint64_t kBytes = sizeof(double);

// Products of an output element of a convolution: the kernel's elements for one channel out.
std::uint64_t OfOneOutput(const Sizes& kernel, KernelLayout layout) {
  const bool spatial_first =
      layout != KernelLayout::kOutInSpatial && layout != KernelLayout::kInOutSpatial;
  const std::size_t at = spatial_first ? kernel.size() - 2 : 0;
  std::uint64_t count = ElementsOf(kernel);
  const bool in_second =
      layout == KernelLayout::kOutInSpatial || layout == KernelLayout::kSpatialOutIn;
  const std::int64_t outs = kernel[in_second ? at : at + 1];
  if (outs > 0) count /= static_cast<std::uint64_t>(outs);
  if (layout == KernelLayout::kSpatialInMultiplier && kernel[at] > 0) {
    count /= static_cast<std::uint64_t>(kernel[at]);
  }
  return count;
}

struct Counting {
  const Shapes& shapes;

  std::uint64_t Results() const {
    std::uint64_t count = 0;
    for (const Sizes& shape : shapes.results) count = SaturatingPlus(count, ElementsOf(shape));
    return count;
  }
  std::uint64_t Operand(std::size_t i) const {
    return i < shapes.operands.size() ? ElementsOf(shapes.operands[i]) : 0;
  }

  std::uint64_t operator()(const network::Convolution& c) const {
    return SaturatingTimes(Results(), OfOneOutput(shapes.operands[1], c.layout));
  }
  std::uint64_t operator()(const network::TransposedConvolution& c) const {
    // Each element of x meets the kernel's elements of its channel.
    const std::uint64_t ins = shapes.operands[0].empty() ? 1 : ElementsOf(shapes.operands[1]);
    const std::size_t channel = c.channel_axis == 1 ? 1 : shapes.operands[0].size() - 1;
    const auto channels = static_cast<std::uint64_t>(shapes.operands[0][channel]);
    return SaturatingPlus(Results(),
                          channels == 0 ? 0 : SaturatingTimes(Operand(0) / channels, ins));
  }
  std::uint64_t operator()(const network::MatrixProduct& c) const {
    const Sizes& a = shapes.operands[0];
    const bool second = c.transpose_a && a.size() > 1;
    return SaturatingTimes(Results(), static_cast<std::uint64_t>(a[a.size() - (second ? 2 : 1)]));
  }
  std::uint64_t operator()(const network::Einsum& c) const {
    // At most every index of every letter: one size for each, by the terms' own order.
    std::map<char, std::int64_t> sizes;
    std::uint64_t covered = 1, letters = 1;
    std::size_t operand = 0, axis = 0;
    for (std::size_t i = 0; i < c.equation.size() && operand < shapes.operands.size(); ++i) {
      const char letter = c.equation[i];
      const Sizes& shape = shapes.operands[operand];
      if (letter == ',' || letter == '-') {
        ++operand;
        axis = 0;
        if (letter == '-') break;
      } else if (letter == '.') {
        covered = std::max(covered, ElementsOf(shape));
        const std::size_t end = std::min(c.equation.find_first_of(",-", i), c.equation.size());
        const auto behind = static_cast<std::size_t>(
            std::count_if(c.equation.begin() + static_cast<std::ptrdiff_t>(i),
                          c.equation.begin() + static_cast<std::ptrdiff_t>(end),
                          [](char one) { return one != '.' && one != ' '; }));
        axis = shape.size() - std::min(behind, shape.size());
        i += 2;
      } else if (letter != ' ' && axis < shape.size()) {
        std::int64_t& size = sizes[letter];
        size = std::max(size, shape[axis++]);
      }
    }
    for (const auto& [letter, size] : sizes) {
      letters = SaturatingTimes(letters, static_cast<std::uint64_t>(size));
    }
    return SaturatingTimes(letters, covered);
  }
  std::uint64_t operator()(const network::Pool& c) const {
    return SaturatingTimes(Results(), ElementsOf(c.size));
  }
  std::uint64_t operator()(const network::Reduction&) const { return Operand(0); }
  std::uint64_t operator()(const network::ArgExtreme&) const { return Operand(0); }
  std::uint64_t operator()(const network::LocalResponseNormalization& c) const {
    const Sizes& x = shapes.operands[0];
    const std::size_t channel = c.channel_axis == 1 ? 1 : x.size() - 1;
    const std::int64_t most =
        std::clamp<std::int64_t>(c.size, 1, std::max<std::int64_t>(x[channel], 1));
    return SaturatingTimes(Results(), static_cast<std::uint64_t>(most));
  }
  std::uint64_t operator()(const network::Resize& c) const {
    std::uint64_t taps = c.mode == network::Resize::Mode::kCubic ? 16 : 4;
    if (c.antialias) taps = SaturatingTimes(taps, SaturatingPlus(Operand(0), 1));
    return SaturatingPlus(SaturatingTimes(SaturatingPlus(Results(), Operand(0)), taps), 1);
  }
  std::uint64_t operator()(const network::Recurrent&) const {
    const Sizes& x = shapes.operands[0];
    const std::uint64_t steps = x.size() < 2 ? 0 : ElementsOf({x[0], x[1]});
    return SaturatingTimes(steps, SaturatingPlus(Operand(1), Operand(2)));
  }
  template <class Other>
  std::uint64_t operator()(const Other&) const {
    return Results();
  }
};

struct Holding {
  const Shapes& shapes;

  std::uint64_t operator()(const network::Convolution&) const {
    // A copy of the kernel where its elements lie in another order, and its taps' places.
    return SaturatingPlus(kProductScratchBytes, SaturatingTimes(2, BytesOf(shapes.operands[1])));
  }
  std::uint64_t operator()(const network::TransposedConvolution&) const {
    return SaturatingPlus(2 * kProductScratchBytes,
                          SaturatingTimes(2, BytesOf(shapes.operands[1])));
  }
  std::uint64_t operator()(const network::MatrixProduct&) const { return kProductScratchBytes; }
  std::uint64_t operator()(const network::Einsum&) const {
    std::uint64_t bytes = SaturatingPlus(kProductScratchBytes, AllBytes(shapes.results));
    return SaturatingPlus(bytes, SaturatingTimes(2, AllBytes(shapes.operands)));
  }
  std::uint64_t operator()(const network::Pool& c) const {
    const Sizes &x = shapes.operands[0], &y = shapes.results[0];
    const std::uint64_t taps = std::min(ElementsOf(c.size), ElementsOf(x));
    const std::size_t last = c.channel_axis == 1 ? y.size() - 1 : y.size() - 2;
    return SaturatingTimes(SaturatingTimes(static_cast<std::uint64_t>(y[last]), kBytes),
                           SaturatingPlus(taps, 2));
  }
  std::uint64_t operator()(const network::Resize&) const {
    // Values on the way, when some of the axes have grown already.
    std::uint64_t largest = 1;
    const Sizes &x = shapes.operands[0], &y = shapes.results[0];
    for (std::size_t i = 0; i < x.size() && i < y.size(); ++i) {
      largest = SaturatingTimes(largest, static_cast<std::uint64_t>(std::max(x[i], y[i])));
    }
    return SaturatingTimes(2 * kBytes, largest);
  }
  std::uint64_t operator()(const network::LayerNormalization&) const { return FirstBytes(2); }
  std::uint64_t operator()(const network::GroupNormalization&) const { return FirstBytes(3); }
  std::uint64_t operator()(const network::BatchNormalization&) const { return FirstBytes(0); }
  std::uint64_t operator()(const network::Reduction&) const {
    return SaturatingTimes(2, AllBytes(shapes.results));
  }
  std::uint64_t operator()(const network::Pad&) const {
    std::uint64_t sizes = 0;
    for (const std::int64_t size : shapes.results[0]) {
      sizes = SaturatingPlus(sizes, static_cast<std::uint64_t>(size));
    }
    return SaturatingTimes(sizes, 2 * kBytes);
  }
  std::uint64_t operator()(const network::Recurrent& c) const {
    return SaturatingTimes(static_cast<std::uint64_t>(std::max<std::int64_t>(c.units, 0)),
                           40 * kBytes);
  }
  template <class Other>
  std::uint64_t operator()(const Other&) const {
    return 0;
  }

 private:
  std::uint64_t FirstBytes(std::uint64_t times) const {
    return SaturatingTimes(times, BytesOf(shapes.operands[0]));
  }
  static std::uint64_t AllBytes(std::span<const Sizes> all) {
    std::uint64_t bytes = 0;
    for (const Sizes& shape : all) bytes = SaturatingPlus(bytes, BytesOf(shape));
    return bytes;
  }
};

}  // namespace

std::uint64_t BytesOf(const Sizes& shape) { return SaturatingTimes(kBytes, ElementsOf(shape)); }

std::uint64_t MultiplyAdds(const network::Computation& computation, const Shapes& shapes) {
  return std::visit(Counting{shapes}, computation);
}

std::uint64_t ScratchBytes(const network::Computation& computation, const Shapes& shapes) {
  return std::visit(Holding{shapes}, computation);
}

}  // namespace ckpt::execution
