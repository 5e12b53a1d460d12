// Einstein sums: each operand's axes by letters, summed over those that the result has not.
#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "execution/kernels.h"
#include "execution/products.h"
#include "execution/strided.h"

namespace ckpt::execution {
namespace {

// The letters of each operand and of the result; the axes that "..." stands for are '0' to '9',
// counted so that the last one is '9'.
struct Terms {
  std::vector<std::string> operands;
  std::string result;
};

std::string Lettered(const std::string& term, std::size_t rank) {
  const std::size_t dots = term.find("...");
  if (dots == std::string::npos) return term;
  const std::size_t covered = rank - (term.size() - 3);
  std::string letters = term.substr(0, dots);
  for (std::size_t i = 10 - covered; i < 10; ++i) letters += static_cast<char>('0' + i);
  return letters + term.substr(dots + 3);
}

// REQUIRES: the shape rule took the equation.
Terms TermsOf(const std::string& equation, const Call& call) {
  std::string text = equation;
  std::erase(text, ' ');
  const std::size_t arrow = text.find("->");
  Terms terms;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < call.operands.size(); ++i) {
    const std::size_t end = std::min(text.find(',', begin), arrow);
    terms.operands.push_back(Lettered(text.substr(begin, end - begin), call[i].shape.size()));
    begin = end + 1;
  }
  terms.result = Lettered(text.substr(arrow + 2), call.result().shape.size());
  return terms;
}

// Sizes by letter, and the stride of each letter in one array (several axes of one letter: their
// diagonal; 0 for an axis of size 1 that is repeated).
using Sized = std::map<char, std::int64_t>;
Sized StridesByLetter(const std::string& letters, const Array& array, const Sized& sizes) {
  const Sizes strides = StridesOf(array.shape);
  Sized by_letter;
  for (std::size_t i = 0; i < letters.size(); ++i) {
    const bool repeated = array.shape[i] == 1 && sizes.at(letters[i]) != 1;
    by_letter[letters[i]] += repeated ? 0 : strides[i];
  }
  return by_letter;
}

std::int64_t StrideOf(const Sized& strides, char letter) {
  const auto found = strides.find(letter);
  return found == strides.end() ? 0 : found->second;
}

// The letters in groups: of both operands and the result, of the first, of the second, summed.
struct Groups {
  std::string batch, rows, columns, depth;
};

// Two operands whose summed letters stand in both: a batch of matrix products.
std::optional<Groups> AsProduct(const Terms& terms) {
  if (terms.operands.size() != 2) return std::nullopt;
  const std::string &a = terms.operands[0], &b = terms.operands[1];
  Groups groups;
  std::string all = a + b;
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  for (const char letter : all) {
    const bool in_a = a.find(letter) != std::string::npos,
               in_b = b.find(letter) != std::string::npos;
    const bool kept = terms.result.find(letter) != std::string::npos;
    if (kept) {
      (in_a && in_b ? groups.batch : in_a ? groups.rows : groups.columns) += letter;
    } else if (in_a && in_b) {
      groups.depth += letter;
    } else {
      return std::nullopt;
    }
  }
  return groups;
}

class Summing {
 public:
  Summing(Terms terms, const Call& call) : terms_(std::move(terms)), call_(call) {
    for (std::size_t i = 0; i < terms_.operands.size(); ++i) {
      for (std::size_t k = 0; k < terms_.operands[i].size(); ++k) {
        std::int64_t& size = sizes_.emplace(terms_.operands[i][k], 1).first->second;
        size = std::max(size, call_[i].shape[k]);
        if (call_[i].shape[k] == 0) empty_ = true;
      }
    }
    for (std::size_t i = 0; i < terms_.operands.size(); ++i) {
      strides_.push_back(StridesByLetter(terms_.operands[i], call_[i], sizes_));
    }
    result_strides_ = StridesByLetter(terms_.result, call_.result(), sizes_);
  }

  void Run() {
    if (empty_) return;
    if (const auto groups = AsProduct(terms_)) {
      call_.single ? RunProducts<float>(*groups) : RunProducts<double>(*groups);
    } else {
      RunPlainly();
    }
  }

 private:
  // All indices of some letters, with the offset that each has in an array.
  std::vector<std::int64_t> Offsets(const std::string& letters, const Sized& strides) const {
    Sizes shape, steps;
    for (const char letter : letters) {
      shape.push_back(sizes_.at(letter));
      steps.push_back(StrideOf(strides, letter));
    }
    std::vector<std::int64_t> offsets(Index(CountOf(shape)));
    Counter counter(shape);
    for (std::int64_t& offset : offsets) {
      offset = OffsetOf(counter.index(), steps);
      counter.Next();
    }
    return offsets;
  }

  // A matrix whose lines and depth lie anywhere.
  template <class T>
  class ScatteredPanels final : public Panels<T> {
   public:
    ScatteredPanels(const double* base, const std::vector<std::int64_t>& lines,
                    const std::vector<std::int64_t>& depth)
        : base_(base), lines_(lines), depth_(depth) {}
    void Pack(std::int64_t first, std::int64_t count, std::int64_t from, std::int64_t depth,
              std::int64_t width, T* panel) const override {
      for (std::int64_t k = 0; k < depth; ++k) {
        const double* row = base_ + depth_[Index(from + k)];
        for (std::int64_t i = 0; i < width; ++i) {
          panel[k * width + i] = i < count ? static_cast<T>(row[lines_[Index(first + i)]]) : T{0};
        }
      }
    }

   private:
    const double* base_;
    const std::vector<std::int64_t>&lines_, &depth_;
  };

  template <class T>
  void RunProducts(const Groups& groups) {
    const auto batch_a = Offsets(groups.batch, strides_[0]);
    const auto batch_b = Offsets(groups.batch, strides_[1]);
    const auto batch_y = Offsets(groups.batch, result_strides_);
    const auto rows_a = Offsets(groups.rows, strides_[0]);
    const auto rows_y = Offsets(groups.rows, result_strides_);
    const auto columns_b = Offsets(groups.columns, strides_[1]);
    const auto columns_y = Offsets(groups.columns, result_strides_);
    const auto depth_a = Offsets(groups.depth, strides_[0]);
    const auto depth_b = Offsets(groups.depth, strides_[1]);
    const auto rows = static_cast<std::int64_t>(rows_a.size());
    const auto columns = static_cast<std::int64_t>(columns_b.size());
    std::vector<double> product(rows_a.size() * columns_b.size());
    for (std::size_t i = 0; i < batch_a.size(); ++i) {
      std::fill(product.begin(), product.end(), 0.0);
      AddProduct<T>(rows, columns, static_cast<std::int64_t>(depth_a.size()),
                    ScatteredPanels<T>(call_[0].elements.data() + batch_a[i], rows_a, depth_a),
                    ScatteredPanels<T>(call_[1].elements.data() + batch_b[i], columns_b, depth_b),
                    Target{product.data(), columns, 1});
      double* y = call_.result().elements.data() + batch_y[i];
      for (std::size_t r = 0; r < rows_y.size(); ++r) {
        for (std::size_t c = 0; c < columns_y.size(); ++c) {
          y[rows_y[r] + columns_y[c]] = product[r * columns_y.size() + c];
        }
      }
    }
  }

  // Over every index of all letters.
  void RunPlainly() {
    std::string letters;
    Sizes shape;
    for (const auto& [letter, size] : sizes_) {
      letters += letter;
      shape.push_back(size);
    }
    std::vector<Sizes> steps(strides_.size());
    Sizes result_steps;
    for (const char letter : letters) {
      for (std::size_t i = 0; i < strides_.size(); ++i) {
        steps[i].push_back(StrideOf(strides_[i], letter));
      }
      result_steps.push_back(StrideOf(result_strides_, letter));
    }
    Counter counter(shape);
    do {
      double product = 1;
      for (std::size_t i = 0; i < steps.size(); ++i) {
        product *= call_[i].elements[Index(OffsetOf(counter.index(), steps[i]))];
      }
      double& sum = call_.result().elements[Index(OffsetOf(counter.index(), result_steps))];
      sum = call_.single ? static_cast<float>(sum + product) : sum + product;
    } while (counter.Next());
  }

  Terms terms_;
  const Call& call_;
  Sized sizes_;
  std::vector<Sized> strides_;
  Sized result_strides_;
  bool empty_ = false;
};

}  // namespace

Status Compute(const network::Einsum& einsum, const Call& call) {
  Summing(TermsOf(einsum.equation, call), call).Run();
  return {};
}

}  // namespace ckpt::execution
