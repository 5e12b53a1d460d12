// Convolutions as products of the kernel and of the data's windows, which are gathered a panel at a
// time and never stand in memory as a whole.
#include <algorithm>
#include <array>
#include <span>

#include "execution/depthwise_convolution.h"
#include "execution/kernel_view.h"
#include "execution/kernels.h"
#include "execution/products.h"
#include "execution/spatial_data.h"
#include "execution/strided.h"

namespace ckpt::execution {
namespace {

constexpr std::int64_t kMostWidth = 64;  // of a panel

// The windows of one group of channels: line = a place of the result (of all examples, in order),
// depth = (tap, channel) or, where channels are the slower ones, (channel, tap).
template <class T>
class WindowPanels final : public Panels<T> {
 public:
  WindowPanels(const double* base, const SpatialData& data, const WindowAxes& windows,
               std::int64_t channels, bool channels_slower)
      : base_(base),
        data_(data),
        windows_(windows),
        channels_(channels),
        channels_slower_(channels_slower),
        points_(CountOf(windows.count)) {
    Counter taps(windows.size);
    do {
      taps_.push_back(taps.index());
      for (std::size_t i = 0; i < windows.size.size(); ++i) {
        taps_.back()[i] *= windows.dilation[i];
      }
    } while (taps.Next());
  }

  void Pack(std::int64_t first, std::int64_t count, std::int64_t from, std::int64_t depth,
            std::int64_t width, T* panel) const override;

 private:
  static constexpr std::int64_t kOutside = -1;
  // Where the elements of one tap are, for each line of a panel.
  struct Places {
    std::array<std::int64_t, kMostWidth> at;
    bool inside = true, neighbours = true;  // all of them; each one behind the one before
  };
  struct Lines {
    std::int64_t count = 0;
    std::vector<Sizes> origin;          // of the window, along each axis; may be outside
    std::vector<std::int64_t> example;  // offset of the example
  };
  Lines LinesFrom(std::int64_t first, std::int64_t count) const;
  Places PlacesOf(const Lines& lines, std::size_t tap) const;
  void Gather(const Places& places, std::int64_t count, std::int64_t channel, T* target) const;

  const double* base_;
  const SpatialData& data_;
  const WindowAxes& windows_;
  std::int64_t channels_;
  bool channels_slower_;
  std::int64_t points_;
  std::vector<Sizes> taps_ = {};  // the place of each within a window
};

template <class T>
typename WindowPanels<T>::Lines WindowPanels<T>::LinesFrom(std::int64_t first,
                                                           std::int64_t count) const {
  Lines lines{count, {}, {}};
  const std::size_t axes = windows_.count.size();
  for (std::int64_t i = 0; i < count; ++i) {
    lines.example.push_back((first + i) / points_ * data_.example_stride);
    std::int64_t rest = (first + i) % points_;
    Sizes origin(axes, 0);
    for (std::size_t axis = axes; axis-- > 0;) {
      origin[axis] = rest % windows_.count[axis] * windows_.stride[axis] - windows_.before[axis];
      rest /= windows_.count[axis];
    }
    lines.origin.push_back(std::move(origin));
  }
  return lines;
}

template <class T>
typename WindowPanels<T>::Places WindowPanels<T>::PlacesOf(const Lines& lines,
                                                           std::size_t tap) const {
  Places places;
  for (std::int64_t i = 0; i < lines.count; ++i) {
    std::int64_t at = lines.example[Index(i)];
    const Sizes& origin = lines.origin[Index(i)];
    for (std::size_t axis = 0; axis < origin.size(); ++axis) {
      const std::int64_t place = origin[axis] + taps_[tap][axis];
      if (place < 0 || place >= data_.sizes[axis]) {
        at = kOutside;
        break;
      }
      at += place * data_.strides[axis];
    }
    places.at[Index(i)] = at;
    places.inside = places.inside && at != kOutside;
    places.neighbours = places.neighbours && at == places.at[0] + i;
  }
  places.neighbours = places.neighbours && places.inside;
  return places;
}

template <class T>
void WindowPanels<T>::Gather(const Places& places, std::int64_t count, std::int64_t channel,
                             T* target) const {
  const double* source = base_ + channel * data_.channel_stride;
  if (places.neighbours) {
    const double* begin = source + places.at[0];
    for (std::int64_t i = 0; i < count; ++i) target[i] = static_cast<T>(begin[i]);
  } else if (places.inside) {
    for (std::int64_t i = 0; i < count; ++i)
      target[i] = static_cast<T>(source[places.at[Index(i)]]);
  } else {
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t at = places.at[Index(i)];
      target[i] = at == kOutside ? T{0} : static_cast<T>(source[at]);
    }
  }
}

template <class T>
void WindowPanels<T>::Pack(std::int64_t first, std::int64_t count, std::int64_t from,
                           std::int64_t depth, std::int64_t width, T* panel) const {
  if (count < width) std::fill_n(panel, depth * width, T{0});
  const Lines lines = LinesFrom(first, count);
  const auto taps = static_cast<std::int64_t>(taps_.size());
  if (!channels_slower_) {
    for (std::int64_t k = 0; k < depth;) {
      const std::int64_t tap = (from + k) / channels_, channel = (from + k) % channels_;
      const std::int64_t run = std::min(channels_ - channel, depth - k);
      const Places places = PlacesOf(lines, Index(tap));
      for (std::int64_t i = 0; i < run; ++i) {
        Gather(places, count, channel + i, panel + (k + i) * width);
      }
      k += run;
    }
    return;
  }
  std::vector<Places> places;
  const std::int64_t needed = std::min(taps, depth);
  for (std::int64_t i = 0; i < needed; ++i) {
    places.push_back(PlacesOf(lines, Index((from + i) % taps)));
  }
  for (std::int64_t k = 0; k < depth; ++k) {
    Gather(places[Index(k % taps)], count, (from + k) / taps, panel + k * width);
  }
}

struct Problem {
  const double* data = nullptr;
  SpatialData in, out;
  WindowAxes windows;
  KernelView kernel;
  double* result = nullptr;
};

template <class T>
void Multiply(const Problem& problem, bool channels_slower) {
  const KernelView& kernel = problem.kernel;
  const std::int64_t depth = problem.windows.taps * kernel.ins;
  const bool channels_last = problem.out.channel_stride == 1;
  for (std::int64_t g = 0; g < kernel.groups; ++g) {
    const StridedPanels<T> weights(kernel.base + g * kernel.group, kernel.out,
                                   channels_slower ? kernel.tap : kernel.in);
    const double* data = problem.data + g * kernel.ins * problem.in.channel_stride;
    double* result = problem.result + g * kernel.outs * problem.out.channel_stride;
    if (channels_last) {
      const WindowPanels<T> windows(data, problem.in, problem.windows, kernel.ins, channels_slower);
      AddProduct<T>(problem.out.examples * problem.out.points, kernel.outs, depth, windows, weights,
                    {result, problem.out.channels, 1});
      continue;
    }
    for (std::int64_t n = 0; n < problem.out.examples; ++n) {
      const WindowPanels<T> windows(data + n * problem.in.example_stride, problem.in,
                                    problem.windows, kernel.ins, channels_slower);
      AddProduct<T>(kernel.outs, problem.out.points, depth, weights, windows,
                    {result + n * problem.out.example_stride, problem.out.channel_stride, 1});
    }
  }
}

// Panels of a part of the depth.
template <class T>
class PanelsFrom final : public Panels<T> {
 public:
  PanelsFrom(const Panels<T>& panels, std::int64_t depth) : panels_(panels), depth_(depth) {}
  void Pack(std::int64_t first, std::int64_t count, std::int64_t from, std::int64_t depth,
            std::int64_t width, T* panel) const override {
    panels_.Pack(first, count, depth_ + from, depth, width, panel);
  }

 private:
  const Panels<T>& panels_;
  std::int64_t depth_;
};

// A block [depth, channels out] of a kernel [spatial, in, out], from `first` on.
template <class T>
void MultiplyDepth(const Problem& problem, std::int64_t first, std::int64_t depth,
                   std::span<const double> block) {
  const KernelView& kernel = problem.kernel;
  const StridedPanels<T> weights(block.data(), 1, kernel.outs);
  const bool channels_last = problem.out.channel_stride == 1;
  const std::int64_t examples = channels_last ? 1 : problem.out.examples;
  for (std::int64_t n = 0; n < examples; ++n) {
    const WindowPanels<T> all(problem.data + n * problem.in.example_stride, problem.in,
                              problem.windows, kernel.ins, false);
    const PanelsFrom<T> windows(all, first);
    double* result = problem.result + n * problem.out.example_stride;
    if (channels_last) {
      AddProduct<T>(problem.out.examples * problem.out.points, kernel.outs, depth, windows, weights,
                    {result, problem.out.channels, 1});
    } else {
      AddProduct<T>(kernel.outs, problem.out.points, depth, weights, windows,
                    {result, problem.out.channel_stride, 1});
    }
  }
}

// The bias stands where the sums are added to.
Status StartWithBias(const Array* bias, const SpatialData& out, Array& result) {
  if (bias == nullptr) return {};
  if (Length(*bias) != out.channels) {
    return Contradicts("a bias of " + std::to_string(Length(*bias)) + " elements for " +
                       std::to_string(out.channels) + " channels");
  }
  CopyStrided({out.examples, out.channels, out.points}, bias->elements.data(), {0, 1, 0},
              result.elements.data(),
              {out.example_stride, out.channel_stride, out.channel_stride == 1 ? out.channels : 1});
  return {};
}

// Depth runs over the kernel's elements at one stride; where it does not, in a copy.
template <class T>
void MultiplyInOrder(Problem problem) {
  std::vector<double> storage;
  const KernelView& kernel = problem.kernel;
  const bool taps_first = kernel.tap != 0 && kernel.tap == kernel.in * kernel.ins;
  const bool channels_slower = kernel.tap != 0 && kernel.in == kernel.tap * problem.windows.taps;
  if (!taps_first && !channels_slower) problem.kernel = TapsFirst(kernel, storage);
  Multiply<T>(problem, channels_slower && !taps_first);
}

// The kernel comes in blocks: of whole channels out where they are its first axis, else of depth.
template <class T>
Status MultiplyStreamed(const network::Convolution& convolution, const Problem& problem,
                        const Array& stored) {
  if (convolution.layout == KernelLayout::kSpatialInOut) {
    return stored.streamed->Read(problem.kernel.outs, [&](std::int64_t first, std::int64_t depth,
                                                          std::span<const double> block) {
      MultiplyDepth<T>(problem, first, depth, block);
      return Status{};
    });
  }
  return stored.streamed->Read(
      stored.streamed->columns(),
      [&](std::int64_t first, std::int64_t outs, std::span<const double> block) -> Status {
        Array part{stored.shape, {}, stored.kind};
        part.shape[0] = outs;
        Problem of_part = problem;
        CKPT_ASSIGN_OR_RETURN(of_part.kernel, ViewOf(part, convolution.layout, 1,
                                                     problem.in.channels, convolution.flipped));
        of_part.kernel.base = block.data();
        of_part.result += first * problem.out.channel_stride;
        MultiplyInOrder<T>(of_part);
        return {};
      });
}

}  // namespace

Status Compute(const network::Convolution& convolution, const Call& call) {
  const Array &data = call[0], &stored = call[1];
  Problem problem{data.elements.data(),
                  SpatialOf(data.shape, convolution.channel_axis),
                  SpatialOf(call.result().shape, convolution.channel_axis),
                  {},
                  {},
                  call.result().elements.data()};
  CKPT_ASSIGN_OR_RETURN(problem.kernel, ViewOf(stored, convolution.layout, convolution.groups,
                                               problem.in.channels, convolution.flipped));
  CKPT_ASSIGN_OR_RETURN(problem.windows,
                        WindowsOver(problem.in.sizes, problem.kernel.size, convolution.stride,
                                    convolution.dilation, convolution.padding, false));
  CKPT_RETURN_IF_ERROR(StartWithBias(call.Given(2), problem.out, call.result()));
  if (call.result().elements.empty() || problem.in.channels == 0) return {};
  if (problem.kernel.ins == 1 && problem.kernel.groups > 1) {
    ConvolveDepthwise(data, problem.kernel, problem.in, problem.out, problem.windows, call.single,
                      call.result());
    return {};
  }
  if (stored.streamed) {
    return call.single ? MultiplyStreamed<float>(convolution, problem, stored)
                       : MultiplyStreamed<double>(convolution, problem, stored);
  }
  call.single ? MultiplyInOrder<float>(problem) : MultiplyInOrder<double>(problem);
  return {};
}

}  // namespace ckpt::execution
