// Transposed convolutions: each tap of the kernel is one product, whose rows are added to y where
// that tap lies.
#include <algorithm>

#include "execution/kernel_view.h"
#include "execution/kernels.h"
#include "execution/products.h"
#include "execution/spatial_data.h"
#include "execution/strided.h"

namespace ckpt::execution {
namespace {

// Points of x that are multiplied at a time.
constexpr std::int64_t kColumnRows = 1024;

class Transposed {
 public:
  Transposed(const network::TransposedConvolution& convolution, const Call& call)
      : convolution_(convolution), call_(call) {}

  Status Run() {
    const Array& x = call_[0];
    x_ = SpatialOf(x.shape, convolution_.channel_axis);
    y_ = SpatialOf(call_.result().shape, convolution_.channel_axis);
    CKPT_ASSIGN_OR_RETURN(const KernelView stored,
                          ViewOf(call_[1], convolution_.layout, convolution_.groups, x_.channels,
                                 convolution_.flipped));
    kernel_ = TapsFirst(stored, storage_);
    CKPT_RETURN_IF_ERROR(Place());
    CKPT_RETURN_IF_ERROR(AddBias());
    for (std::int64_t example = 0; example < x_.examples; ++example) {
      for (std::int64_t first = 0; first < x_.points; first += kColumnRows) {
        const std::int64_t count = std::min(kColumnRows, x_.points - first);
        call_.single ? AddRows<float>(example, first, count)
                     : AddRows<double>(example, first, count);
      }
    }
    return {};
  }

 private:
  // Of each axis: the step and what is cut off before.
  Status Place() {
    for (std::size_t i = 0; i < kernel_.size.size(); ++i) {
      CKPT_ASSIGN_OR_RETURN(
          const network::Windows windows,
          network::TransposedAlong(convolution_, x_.sizes[i], kernel_.size[i], i, y_.sizes[i]));
      before_.push_back(windows.before);
      const auto along = [&](const Sizes& list) { return i < list.size() ? list[i] : 1; };
      stride_.push_back(along(convolution_.stride));
      dilation_.push_back(along(convolution_.dilation));
    }
    return {};
  }

  Status AddBias() {
    const Array* bias = call_.Given(2);
    if (bias == nullptr) return {};
    if (Length(*bias) != y_.channels) return Contradicts("a bias of another number of channels");
    Array& y = call_.result();
    const std::size_t channel =
        convolution_.channel_axis == 1 ? 1 : call_.result().shape.size() - 1;
    const AxisView view = ViewOf(y.shape, channel);
    for (std::size_t i = 0; i < y.elements.size(); ++i) {
      y.elements[i] = bias->elements[i / Index(view.inner) % Index(view.size)];
    }
    return {};
  }

  // Offsets of points [first, first + count) of x, by its spatial strides.
  std::vector<Sizes> PointsFrom(std::int64_t first, std::int64_t count) const {
    std::vector<Sizes> points;
    for (std::int64_t i = first; i < first + count; ++i) {
      Sizes at(x_.sizes.size(), 0);
      std::int64_t rest = i;
      for (std::size_t axis = at.size(); axis-- > 0;) {
        at[axis] = rest % x_.sizes[axis];
        rest /= x_.sizes[axis];
      }
      points.push_back(std::move(at));
    }
    return points;
  }

  template <class T>
  void AddRows(std::int64_t example, std::int64_t first, std::int64_t count) {
    const std::vector<Sizes> points = PointsFrom(first, count);
    // The channels of each point side by side.
    std::vector<double> rows(Index(count * x_.channels));
    const double* x = call_[0].elements.data() + example * x_.example_stride;
    for (std::int64_t i = 0; i < count; ++i) {
      const double* point = x + OffsetOf(points[Index(i)], x_.strides);
      for (std::int64_t c = 0; c < x_.channels; ++c) {
        rows[Index(i * x_.channels + c)] = point[c * x_.channel_stride];
      }
    }
    std::vector<double> product(Index(count * kernel_.outs));
    Counter taps(kernel_.size);
    for (const std::int64_t offset : kernel_.tap_offsets) {
      for (std::int64_t g = 0; g < kernel_.groups; ++g) {
        std::fill(product.begin(), product.end(), 0.0);
        AddProduct<T>(
            count, kernel_.outs, kernel_.ins,
            StridedPanels<T>(rows.data() + g * kernel_.ins, x_.channels, 1),
            StridedPanels<T>(kernel_.base + g * kernel_.group + offset, kernel_.out, kernel_.in),
            Target{product.data(), kernel_.outs, 1});
        Scatter(example, points, taps.index(), g, product);
      }
      taps.Next();
    }
  }

  void Scatter(std::int64_t example, const std::vector<Sizes>& points, const Sizes& tap,
               std::int64_t group, const std::vector<double>& product) {
    double* y = call_.result().elements.data() + example * y_.example_stride +
                group * kernel_.outs * y_.channel_stride;
    for (std::size_t i = 0; i < points.size(); ++i) {
      std::int64_t offset = 0;
      bool inside = true;
      for (std::size_t axis = 0; axis < tap.size(); ++axis) {
        const std::int64_t at =
            points[i][axis] * stride_[axis] + tap[axis] * dilation_[axis] - before_[axis];
        inside = inside && at >= 0 && at < y_.sizes[axis];
        offset += at * y_.strides[axis];
      }
      if (!inside) continue;
      const double* row = product.data() + i * Index(kernel_.outs);
      for (std::int64_t c = 0; c < kernel_.outs; ++c) {
        double& sum = y[offset + c * y_.channel_stride];
        sum = call_.single ? static_cast<float>(sum + row[c]) : sum + row[c];
      }
    }
  }

  const network::TransposedConvolution& convolution_;
  const Call& call_;
  SpatialData x_, y_;
  KernelView kernel_;
  std::vector<double> storage_;
  Sizes stride_, dilation_, before_;
};

}  // namespace

Status Compute(const network::TransposedConvolution& convolution, const Call& call) {
  return Transposed(convolution, call).Run();
}

}  // namespace ckpt::execution
