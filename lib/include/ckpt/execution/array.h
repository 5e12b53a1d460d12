// A value of a network while it runs.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "ckpt/network/network.h"

namespace ckpt::execution {

// The elements of a kernel that is too large to be held, as a file has them: of a matrix, or of the
// kernel of a convolution, whose rows are its first axis.
class StreamedMatrix {
 public:
  virtual ~StreamedMatrix() = default;
  // As it is stored, which is the transposed matrix where `is_transposed`.
  virtual std::int64_t rows() const = 0;
  virtual std::int64_t columns() const = 0;
  virtual bool is_transposed() const = 0;
  // Calls `use` for blocks of whole rows of `columns` elements each, in their order: the first row,
  // how many, elements. REQUIRES: `columns` divides the number of elements.
  using Use =
      std::function<Status(std::int64_t first, std::int64_t rows, std::span<const double> block)>;
  virtual Status Read(std::int64_t columns, const Use& use) const = 0;
};

// Elements in C order; integers and booleans (0 and 1) as doubles, exact below 2^53.
struct Array {
  network::Sizes shape = {};
  std::vector<double> elements = {0.0};
  network::ElementKind kind = network::ElementKind::kReal;
  // Where set there are no `elements`; the second operand of a matrix product or of a convolution
  // alone may be so.
  std::shared_ptr<const StreamedMatrix> streamed = nullptr;
};

}  // namespace ckpt::execution
