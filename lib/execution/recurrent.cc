// Recurrent layers, step by step.
//
// Sources: the operator documentation of ONNX (LSTM, GRU, RNN), Keras' LSTMCell, GRUCell and
// SimpleRNNCell; reset_after is cuDNN's GRU.
#include <algorithm>
#include <cmath>
#include <utility>

#include "execution/kernels.h"
#include "execution/strided.h"

namespace ckpt::execution {
namespace {

using network::Recurrent;

// y = x W (+ bias): one example's row by the gates of a kernel in either order of its axes.
class Gates {
 public:
  Gates(const Array& kernel, const Array* bias, bool transposed, std::int64_t inputs,
        std::int64_t outputs)
      : kernel_(kernel.elements.data()),
        bias_(bias == nullptr ? nullptr : bias->elements.data()),
        input_stride_(transposed ? 1 : outputs),
        output_stride_(transposed ? inputs : 1),
        inputs_(inputs) {}

  // Of outputs [first, first + count).
  void Add(const double* x, std::int64_t first, std::int64_t count, double* y, bool single) const {
    for (std::int64_t j = 0; j < count; ++j) {
      const double* column = kernel_ + (first + j) * output_stride_;
      double sum = bias_ == nullptr ? 0 : bias_[first + j];
      for (std::int64_t i = 0; i < inputs_; ++i) {
        sum += x[i] * column[i * input_stride_];
        if (single) sum = static_cast<float>(sum);
      }
      y[j] += sum;
    }
  }

 private:
  const double* kernel_;
  const double* bias_;
  std::int64_t input_stride_, output_stride_, inputs_;
};

// One direction over all examples and steps.
class Cells {
 public:
  Cells(const Recurrent& recurrent, const Call& call) : recurrent_(recurrent), call_(call) {}

  Status Run() {
    CKPT_RETURN_IF_ERROR(Check());
    const Gates input(call_[1], call_.Given(3), recurrent_.transposed, inputs_, gates_ * units_);
    const Gates hidden(call_[2], call_.Given(4), recurrent_.transposed, units_, gates_ * units_);
    for (std::int64_t example = 0; example < examples_; ++example) {
      CKPT_RETURN_IF_ERROR(RunExample(example, input, hidden));
    }
    return {};
  }

 private:
  Status Check() {
    const Array& x = call_[0];
    if (Rank(x) != 3) return Contradicts("a recurrent layer over data that is no sequence");
    steps_ = x.shape[recurrent_.time_first ? 0 : 1];
    examples_ = x.shape[recurrent_.time_first ? 1 : 0];
    inputs_ = x.shape[2];
    units_ = recurrent_.units;
    gates_ = recurrent_.cell == Recurrent::Cell::kLstm  ? 4
             : recurrent_.cell == Recurrent::Cell::kGru ? 3
                                                        : 1;
    for (std::int64_t i = 0; i < gates_; ++i) {
      if (recurrent_.gates[Index(i)] >= gates_) return Contradicts("gates of a recurrent layer");
    }
    const auto has = [&](std::size_t i, std::int64_t count) {
      return call_.Given(i) == nullptr || Length(call_[i]) == count;
    };
    std::int64_t all = 0;
    if (__builtin_mul_overflow(gates_, units_, &all)) return Contradicts("units");
    if (!has(1, inputs_ * all) || !has(2, units_ * all) || !has(3, all) || !has(4, all) ||
        !has(5, examples_ * units_) || !has(6, examples_ * units_)) {
      return Contradicts("weights of a recurrent layer that do not fit its units");
    }
    return {};
  }

  Status RunExample(std::int64_t example, const Gates& input, const Gates& hidden) {
    state_ = First(5, example);
    cell_ = First(6, example);
    for (std::int64_t i = 0; i < steps_; ++i) {
      const std::int64_t step = recurrent_.backward ? steps_ - 1 - i : i;
      const std::int64_t row =
          recurrent_.time_first ? step * examples_ + example : example * steps_ + step;
      from_input_.assign(Index(gates_ * units_), 0);
      input.Add(call_[0].elements.data() + row * inputs_, 0, gates_ * units_, from_input_.data(),
                call_.single);
      CKPT_RETURN_IF_ERROR(Step(hidden));
      Keep(0, row);
    }
    Keep(1, example);
    std::swap(state_, cell_);
    Keep(2, example);
    return {};
  }

  std::vector<double> First(std::size_t operand, std::int64_t example) const {
    const Array* given = call_.Given(operand);
    if (given == nullptr) return std::vector<double>(Index(units_), 0.0);
    const double* from = given->elements.data() + example * units_;
    return std::vector<double>(from, from + units_);
  }

  void Keep(std::size_t result, std::int64_t row) {
    if (result >= call_.results.size()) return;
    std::copy(state_.begin(), state_.end(), call_.results[result].elements.data() + row * units_);
  }

  Status Step(const Gates& hidden) {
    switch (recurrent_.cell) {
      case Recurrent::Cell::kSimple:
        return SimpleStep(hidden);
      case Recurrent::Cell::kLstm:
        return LstmStep(hidden);
      case Recurrent::Cell::kGru:
        return GruStep(hidden);
    }
    return {};
  }

  std::int64_t Place(std::size_t gate) const { return recurrent_.gates[gate] * units_; }

  // A gate's sum through its function.
  Result<Array> Through(const network::Unary& function, const std::vector<double>& sums) const {
    const Array operand{{units_}, sums};
    Array result{{units_}, std::vector<double>(sums.size(), 0.0)};
    const Array* operands[] = {&operand};
    CKPT_RETURN_IF_ERROR(Compute(function, Call{operands, std::span(&result, 1), call_.single}));
    return result;
  }
  std::vector<double> SumsOf(std::size_t gate, const std::vector<double>& all) const {
    const auto begin = all.begin() + Place(gate);
    return {begin, begin + units_};
  }

  Status SimpleStep(const Gates& hidden) {
    std::vector<double> sums = from_input_;
    hidden.Add(state_.data(), 0, units_, sums.data(), call_.single);
    CKPT_ASSIGN_OR_RETURN(Array next, Through(recurrent_.activation, sums));
    state_ = std::move(next.elements);
    return {};
  }

  Status LstmStep(const Gates& hidden) {
    std::vector<double> sums = from_input_;
    hidden.Add(state_.data(), 0, 4 * units_, sums.data(), call_.single);
    CKPT_ASSIGN_OR_RETURN(const Array in, Through(recurrent_.gate_activation, SumsOf(0, sums)));
    CKPT_ASSIGN_OR_RETURN(const Array forget, Through(recurrent_.gate_activation, SumsOf(1, sums)));
    CKPT_ASSIGN_OR_RETURN(const Array cell, Through(recurrent_.activation, SumsOf(2, sums)));
    CKPT_ASSIGN_OR_RETURN(const Array out, Through(recurrent_.gate_activation, SumsOf(3, sums)));
    for (std::size_t i = 0; i < cell_.size(); ++i) {
      cell_[i] = forget.elements[i] * cell_[i] + in.elements[i] * cell.elements[i];
    }
    CKPT_ASSIGN_OR_RETURN(const Array shown, Through(recurrent_.activation, cell_));
    for (std::size_t i = 0; i < state_.size(); ++i) {
      state_[i] = out.elements[i] * shown.elements[i];
    }
    return {};
  }

  Status GruStep(const Gates& hidden) {
    std::vector<double> gates(from_input_.size(), 0.0);
    for (const std::size_t gate : {std::size_t{0}, std::size_t{1}}) {
      hidden.Add(state_.data(), Place(gate), units_, gates.data() + Place(gate), call_.single);
    }
    for (const std::size_t gate : {std::size_t{0}, std::size_t{1}}) {
      for (std::int64_t i = 0; i < units_; ++i) {
        gates[Index(Place(gate) + i)] += from_input_[Index(Place(gate) + i)];
      }
    }
    CKPT_ASSIGN_OR_RETURN(const Array update,
                          Through(recurrent_.gate_activation, SumsOf(0, gates)));
    CKPT_ASSIGN_OR_RETURN(const Array reset, Through(recurrent_.gate_activation, SumsOf(1, gates)));
    std::vector<double> from_state(Index(units_), 0.0), read = state_;
    if (!recurrent_.reset_after) {
      for (std::size_t i = 0; i < read.size(); ++i) read[i] *= reset.elements[i];
    }
    hidden.Add(read.data(), Place(2), units_, from_state.data(), call_.single);
    std::vector<double> sums = SumsOf(2, from_input_);
    for (std::size_t i = 0; i < sums.size(); ++i) {
      sums[i] += from_state[i] * (recurrent_.reset_after ? reset.elements[i] : 1);
    }
    CKPT_ASSIGN_OR_RETURN(const Array fresh, Through(recurrent_.activation, sums));
    for (std::size_t i = 0; i < state_.size(); ++i) {
      state_[i] = update.elements[i] * state_[i] + (1 - update.elements[i]) * fresh.elements[i];
    }
    return {};
  }

  const Recurrent& recurrent_;
  const Call& call_;
  std::int64_t steps_ = 0, examples_ = 0, inputs_ = 0, units_ = 0, gates_ = 0;
  std::vector<double> state_, cell_, from_input_;
};

}  // namespace

Status Compute(const Recurrent& recurrent, const Call& call) {
  return Cells(recurrent, call).Run();
}

}  // namespace ckpt::execution
