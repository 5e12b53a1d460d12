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
// Elements that are passed on together, at least.
constexpr std::size_t kPassedOn = kStreamedBytes / 8 / sizeof(double);

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
  Status Read(const Use& use) const override {
    const Dtype dtype = weights_.manifest().tensors[tensor_.index].dtype;
    CKPT_ASSIGN_OR_RETURN(const auto stream, weights_.Open(tensor_));
    std::vector<double> block;
    std::int64_t first = 0;
    while (true) {
      CKPT_ASSIGN_OR_RETURN(const std::span<const std::byte> bytes, stream->Next());
      if (bytes.empty()) break;
      const std::size_t before = block.size(), count = bytes.size() * 8 / BitSize(dtype);
      block.resize(before + count);
      DecodeToDouble(dtype, bytes, std::span(block).subspan(before));
      if (block.size() >= kPassedOn) CKPT_RETURN_IF_ERROR(PassOn(use, first, block));
    }
    CKPT_RETURN_IF_ERROR(PassOn(use, first, block));
    if (first != rows_ || !block.empty()) {
      return Fail(ErrorCode::kCorrupt, "a constant that ends before it should");
    }
    return {};
  }

 private:
  // Passes on the rows that are whole and keeps the rest.
  Status PassOn(const Use& use, std::int64_t& first, std::vector<double>& block) const {
    const std::int64_t rows = static_cast<std::int64_t>(block.size()) / columns_;
    const std::int64_t most =
        std::max<std::int64_t>(1, static_cast<std::int64_t>(kStreamedBytes / 4) /
                                      (static_cast<std::int64_t>(sizeof(double)) * columns_));
    for (std::int64_t done = 0; done < rows; done += most) {
      const std::int64_t some = std::min(most, rows - done);
      CKPT_RETURN_IF_ERROR(use(
          first, some,
          std::span<const double>(block).subspan(Index(done * columns_), Index(some * columns_))));
      first += some;
    }
    block.erase(block.begin(), block.begin() + rows * columns_);
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
  Status Read(const Use& use) const override {
    std::vector<double> absolute;
    return of_->Read([&](std::int64_t first, std::int64_t rows, std::span<const double> block) {
      absolute.assign(block.begin(), block.end());
      for (double& element : absolute) element = std::abs(element);
      return use(first, rows, absolute);
    });
  }

 private:
  std::shared_ptr<const StreamedMatrix> of_;
};

// A real matrix as it is stored, or transposed.
bool IsMatrix(const network::Constant& constant, const Checkpoint& weights) {
  const auto* stored = std::get_if<network::StoredConstant>(&constant);
  if (stored == nullptr) return false;
  const auto outline = OutlineOf(constant, weights);
  return outline && outline->shape.size() == 2 && outline->bytes > kMostHeldBytes &&
         IsReal(weights.manifest().tensors[stored->tensor.index].dtype);
}

}  // namespace

std::vector<bool> StreamedConstants(const network::Network& network, const Checkpoint& weights) {
  std::vector<bool> streamed(network.values.size(), false);
  for (std::size_t i = 0; i < network.values.size(); ++i) {
    const auto& constant = network.values[i].constant;
    streamed[i] = constant && IsMatrix(*constant, weights);
  }
  const auto hold = [&](network::ValueId id) {
    if (id.index < streamed.size()) streamed[id.index] = false;
  };
  for (const network::Operation& operation : network.operations) {
    const auto* product = std::get_if<network::MatrixProduct>(&operation.computation);
    for (std::size_t k = 0; k < operation.operands.size(); ++k) {
      if (product == nullptr || k != 1 || product->transpose_a) hold(operation.operands[k]);
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
  const std::int64_t columns = outline.shape[transposed ? 0 : 1];
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
