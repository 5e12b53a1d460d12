// Runs a network in float64, over the operations as its file says them.
//
// It knows nothing of layers, batch norms to fold, or formats, so that it can stand as the judge of
// what was done to them. Values die when their last reader has run; constants are read when the
// first operation wants them and let go behind the last, and large kernels are read in blocks. An
// operation that is not understood is refused by name. Budgets are checked from shapes before
// anything is allocated.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/execution/array.h"

namespace ckpt::execution {

struct Budget {
  std::uint64_t memory_bytes = std::uint64_t{1} << 30;  // --memory: of values and constants held
  // --max-operations: multiplications and additions of a run; a product with its sum counts one.
  std::uint64_t operations = std::uint64_t{1} << 42;
};

// What a run will take, by the shapes of its inputs alone.
struct Plan {
  std::vector<std::optional<network::Sizes>> shapes = {};  // by value; absent: not reached
  std::vector<std::uint64_t> multiply_adds = {};           // by operation
  std::uint64_t total_multiply_adds = 0;
  std::uint64_t peak_bytes = 0;  // the most that values and constants take at one time
};

// The precision in which results are kept and sums of products are formed. kFloat32 shows how far
// the file's own arithmetic is from exact.
enum class Precision : std::uint8_t { kFloat64, kFloat32 };

// Sees each value once, when it is made and before anything reads it.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual Status Made(network::ValueId id, const Array& value) = 0;
};

// Mean and variance that a batch norm uses instead of its operands, by what it reads.
struct Statistics {
  std::vector<double> mean, variance;
};
using StatisticsOf =
    std::function<Result<std::optional<Statistics>>(network::OperationId id, const Array& data)>;

struct RunOptions {
  Budget budget = {};
  Precision precision = Precision::kFloat64;
  Observer* observer = nullptr;  // not owned
  StatisticsOf statistics = {};  // asked for each batch norm, where set; nothing: its operands
  // Only what these values need is run; empty: the network's outputs.
  std::vector<network::ValueId> wanted = {};
};

// `inputs` has the shape of each input of the network (of those that are needed), by its place in
// Network::inputs. Small integer values (shapes, axes) are computed on the way, as they decide
// shapes. kLimitExceeded, naming the layer, where the budget does not allow it; kUnsupported,
// naming layer and operation, for one that is not understood; kCorrupt where shapes contradict one
// another.
Result<Plan> PlanRun(const network::Network& network, const Checkpoint& weights,
                     std::span<const Array> inputs, const RunOptions& options);
// By shapes alone: as if every input were full of zeros.
Result<Plan> PlanRun(const network::Network& network, const Checkpoint& weights,
                     std::span<const network::Sizes> inputs, const RunOptions& options);

// The wanted values, in their order. Checks the budget first, as PlanRun does.
Result<std::vector<Array>> Run(const network::Network& network, const Checkpoint& weights,
                               std::span<const Array> inputs, const RunOptions& options);

// One operation by itself. An operand that is left out is null. Shapes are checked by the shape
// rules first; `budget` bounds its results and what it holds while it works.
Result<std::vector<Array>> Evaluate(const network::Computation& computation,
                                    std::span<const Array* const> operands, std::size_t results,
                                    const Budget& budget,
                                    Precision precision = Precision::kFloat64);

// The elements of a constant as the network reads it.
Result<Array> ReadConstant(const network::Constant& constant, const Checkpoint& weights,
                           const Budget& budget);

// By value: is it a constant that is never held, since it takes more than 16 MiB and only matrix
// products and convolutions of one group read it, as their kernel?
std::vector<bool> StreamedConstants(const network::Network& network, const Checkpoint& weights);
// As ReadConstant; where `streamed`, without its elements. `weights` must outlive it.
Result<Array> ReadOperand(const network::Constant& constant, const Checkpoint& weights,
                          const Budget& budget, bool streamed);

}  // namespace ckpt::execution
