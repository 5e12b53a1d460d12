#include "execution/streamed_constants.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ckpt/elements.h"
#include "execution/constants.h"
#include "execution/strided.h"

namespace ckpt::execution {
namespace {

constexpr std::uint64_t kMostHeldBytes = std::uint64_t{16} << 20;  // of a kernel, as doubles
constexpr std::size_t kBlockElements = kStreamedBytes / 2 / sizeof(double);

class StoredMatrix final : public StreamedMatrix {
 public:
  StoredMatrix(const Checkpoint& weights, TensorId tensor, std::int64_t rows, std::int64_t columns,
               bool transposed)
      : weights_(weights),
        tensor_(tensor),
        rows_(rows),
        columns_(columns),
        transposed_(transposed) {}

  std::int64_t rows() const override { return rows_; }
  std::int64_t columns() const override { return columns_; }
  bool is_transposed() const override { return transposed_; }
  Status Read(std::int64_t columns, const Use& use) const override {
    const Dtype dtype = weights_.manifest().tensors[tensor_.index].dtype;
    CKPT_ASSIGN_OR_RETURN(const auto stream, weights_.Open(tensor_));
    const std::size_t row = Index(columns), whole = Index(rows_) * Index(columns_);
    const std::size_t most = std::min(whole, std::max<std::size_t>(kBlockElements / row, 1) * row);
    std::vector<double> block;
    block.reserve(most);
    std::int64_t first = 0;
    while (true) {
      CKPT_ASSIGN_OR_RETURN(std::span<const std::byte> bytes, stream->Next());
      if (bytes.empty()) break;
      const std::size_t element = BitSize(dtype) / 8;
      while (!bytes.empty()) {
        const std::size_t before = block.size();
        const std::size_t count = std::min(bytes.size() / element, most - before);
        const std::size_t after = Index(first) * row + before + count;
        if (count == 0 || after > whole)
          return Fail(ErrorCode::kCorrupt, "a constant of another size");
        block.resize(before + count);
        DecodeToDouble(dtype, bytes.first(count * element), std::span(block).subspan(before));
        bytes = bytes.subspan(count * element);
        if (block.size() == most) CKPT_RETURN_IF_ERROR(PassOn(use, columns, first, block));
      }
    }
    if (block.size() % row == 0 && !block.empty()) {
      CKPT_RETURN_IF_ERROR(PassOn(use, columns, first, block));
    }
    if (Index(first) * row != whole || !block.empty()) {
      return Fail(ErrorCode::kCorrupt, "a constant that ends before it should");
    }
    return {};
  }

 private:
  static Status PassOn(const Use& use, std::int64_t columns, std::int64_t& first,
                       std::vector<double>& block) {
    const std::int64_t rows = static_cast<std::int64_t>(block.size()) / columns;
    CKPT_RETURN_IF_ERROR(use(first, rows, block));
    first += rows;
    block.clear();
    return {};
  }

  const Checkpoint& weights_;
  TensorId tensor_;
  std::int64_t rows_, columns_;
  bool transposed_;
};

class AbsoluteMatrix final : public StreamedMatrix {
 public:
  explicit AbsoluteMatrix(std::shared_ptr<const StreamedMatrix> of) : of_(std::move(of)) {}
  std::int64_t rows() const override { return of_->rows(); }
  std::int64_t columns() const override { return of_->columns(); }
  bool is_transposed() const override { return of_->is_transposed(); }
  Status Read(std::int64_t columns, const Use& use) const override {
    std::vector<double> absolute;
    return of_->Read(columns,
                     [&](std::int64_t first, std::int64_t rows, std::span<const double> block) {
                       absolute.assign(block.begin(), block.end());
                       for (double& element : absolute) element = std::abs(element);
                       return use(first, rows, absolute);
                     });
  }

 private:
  std::shared_ptr<const StreamedMatrix> of_;
};

// A matrix as it is stored, or transposed; a larger kernel as it is stored.
bool IsLargeKernel(const network::Constant& constant, const Checkpoint& weights) {
  const auto* stored = std::get_if<network::StoredConstant>(&constant);
  if (stored == nullptr) return false;
  const auto outline = OutlineOf(constant, weights);
  if (!outline || outline->bytes <= kMostHeldBytes || outline->shape.size() < 2) return false;
  const Dtype dtype = weights.manifest().tensors[stored->tensor.index].dtype;
  return IsReal(dtype) && BitSize(dtype) % 8 == 0 &&
         (outline->shape.size() == 2 || stored->order.empty());
}

bool HasOrder(const network::Network& network, network::ValueId id) {
  if (id.index >= network.values.size()) return false;
  const auto& constant = network.values[id.index].constant;
  if (!constant) return false;
  const auto* stored = std::get_if<network::StoredConstant>(&*constant);
  return stored != nullptr && !stored->order.empty();
}

}  // namespace

bool TakesStreamed(const network::Computation& computation, std::size_t operand) {
  if (operand != 1) return false;
  if (const auto* product = std::get_if<network::MatrixProduct>(&computation)) {
    return !product->transpose_a;
  }
  const auto* convolution = std::get_if<network::Convolution>(&computation);
  if (convolution == nullptr || convolution->groups != 1) return false;
  return convolution->layout == KernelLayout::kOutInSpatial ||
         (convolution->layout == KernelLayout::kSpatialInOut && !convolution->flipped);
}

std::vector<bool> StreamedConstants(const network::Network& network, const Checkpoint& weights) {
  std::vector<bool> streamed(network.values.size(), false);
  for (std::size_t i = 0; i < network.values.size(); ++i) {
    const auto& constant = network.values[i].constant;
    streamed[i] = constant && IsLargeKernel(*constant, weights);
  }
  const auto hold = [&](network::ValueId id) {
    if (id.index < streamed.size()) streamed[id.index] = false;
  };
  for (const network::Operation& operation : network.operations) {
    for (std::size_t k = 0; k < operation.operands.size(); ++k) {
      const bool is_product = std::holds_alternative<network::MatrixProduct>(operation.computation);
      const bool turned = !is_product && HasOrder(network, operation.operands[k]);
      if (turned || !TakesStreamed(operation.computation, k)) hold(operation.operands[k]);
    }
  }
  for (const network::Port& output : network.outputs) hold(output.value);
  return streamed;
}

Result<Array> ReadOperand(const network::Constant& constant, const Checkpoint& weights,
                          const Budget& budget, bool streamed) {
  if (!streamed) return ReadConstant(constant, weights, budget);
  CKPT_ASSIGN_OR_RETURN(const ConstantOutline outline, OutlineOf(constant, weights));
  const auto& stored = std::get<network::StoredConstant>(constant);
  const bool transposed = !stored.order.empty() && stored.order[0] == 1;
  Array array{outline.shape, {}, outline.kind};
  const std::int64_t rows = outline.shape[transposed ? 1 : 0];
  const std::int64_t columns = CountOf(outline.shape) / rows;
  array.streamed =
      std::make_shared<const StoredMatrix>(weights, stored.tensor, rows, columns, transposed);
  return array;
}

Array AbsoluteOfStreamed(const Array& array) {
  Array absolute = array;
  absolute.streamed = std::make_shared<const AbsoluteMatrix>(array.streamed);
  return absolute;
}

}  // namespace ckpt::execution
