// Sums of products: matrix products, Einstein sums, recurrent layers.
#include <algorithm>
#include <map>
#include <utility>

#include "network/operand_shapes.h"

namespace ckpt::network {
namespace {

// One operand's letters, "..." as the letters '0', '1', ... for the axes that it stands for.
Result<std::string> LettersOf(const std::string& term, std::optional<std::size_t> rank,
                              std::size_t most_covered) {
  std::string letters;
  for (std::size_t i = 0; i < term.size(); ++i) {
    const char letter = term[i];
    const bool is_letter = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z');
    if (is_letter) {
      letters += letter;
    } else if (term.compare(i, 3, "...") == 0) {
      const std::size_t named = term.size() - 3;
      const std::size_t covered = rank && *rank >= named ? *rank - named : most_covered;
      if (covered > 10) return Fail(Contradiction("too many axes in an Einstein sum"));
      for (std::size_t k = 10 - covered; k < 10; ++k) letters += static_cast<char>('0' + k);
      i += 2;
    } else if (letter != ' ') {
      return Fail(Contradiction("an Einstein sum that is none"));
    }
  }
  return letters;
}

}  // namespace

Result<Shapes> ShapeOfProduct(const MatrixProduct& product, const OperandShapes& operands) {
  if (!operands[0] || !operands[1]) return Shapes{PartialShape{}};
  Sizes a = *operands[0], b = *operands[1];
  if (a.empty() || b.empty()) return Fail(Contradiction("a matrix product of scalars"));
  const bool row = a.size() == 1, column = b.size() == 1;
  if (row) a.insert(a.begin(), 1);
  if (column) b.push_back(1);
  if (product.transpose_a && !row) std::swap(a[a.size() - 1], a[a.size() - 2]);
  if (product.transpose_b && !column) std::swap(b[b.size() - 1], b[b.size() - 2]);
  const std::int64_t left = a[a.size() - 1], right = b[b.size() - 2];
  if (IsKnown(left) && IsKnown(right) && left != right) {
    return Fail(Contradiction("a matrix product of " + ToText(*operands[0]) + " and " +
                              ToText(*operands[1])));
  }
  const PartialShape batches[] = {Sizes(a.begin(), a.end() - 2), Sizes(b.begin(), b.end() - 2)};
  CKPT_ASSIGN_OR_RETURN(PartialShape result, BroadcastOf(batches));
  if (!row) result->push_back(a[a.size() - 2]);
  if (!column) result->push_back(b[b.size() - 1]);
  return Shapes{std::move(result)};
}

Result<Shapes> ShapeOfEinsum(const Einsum& einsum, const OperandShapes& operands) {
  const std::string& equation = einsum.equation;
  const std::size_t arrow = equation.find("->");
  if (arrow == std::string::npos) return Fail(Contradiction("an Einstein sum without a result"));
  std::vector<std::string> terms(1);
  for (const char letter : equation.substr(0, arrow)) {
    if (letter == ',') {
      terms.emplace_back();
    } else if (letter != ' ') {
      terms.back() += letter;
    }
  }
  if (terms.size() != operands.size()) return Fail(Contradiction("operands of an Einstein sum"));
  std::map<char, std::int64_t> sizes;
  std::size_t most_covered = 0;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    if (!operands[i]) return Shapes{PartialShape{}};
    CKPT_ASSIGN_OR_RETURN(const std::string letters, LettersOf(terms[i], operands[i]->size(), 0));
    if (letters.size() != operands[i]->size()) {
      return Fail(Contradiction("the term \"" + terms[i] + "\" for " + ToText(*operands[i])));
    }
    most_covered = std::max<std::size_t>(
        most_covered, static_cast<std::size_t>(std::count_if(letters.begin(), letters.end(),
                                                             [](char c) { return c <= '9'; })));
    for (std::size_t k = 0; k < letters.size(); ++k) {
      const std::int64_t size = (*operands[i])[k];
      const auto [known, is_new] = sizes.emplace(letters[k], size);
      const bool covered = letters[k] <= '9';
      if (is_new || !IsKnown(size) || known->second == size || (covered && size == 1)) continue;
      if (!IsKnown(known->second) || (covered && known->second == 1)) {
        known->second = size;
      } else {
        return Fail(Contradiction("sizes of an Einstein sum that do not fit"));
      }
    }
  }
  std::string target = equation.substr(arrow + 2);
  std::erase(target, ' ');
  CKPT_ASSIGN_OR_RETURN(const std::string letters, LettersOf(target, {}, most_covered));
  Sizes result;
  for (const char letter : letters) {
    const auto known = sizes.find(letter);
    if (known == sizes.end()) return Fail(Contradiction("an axis of an Einstein sum"));
    result.push_back(known->second);
  }
  return Shapes{std::move(result)};
}

Result<Shapes> ShapeOfRecurrent(const Recurrent& recurrent, const OperandShapes& operands,
                                std::size_t results) {
  Sizes data = operands[0].value_or(Sizes(3, kUnknownSize));
  if (data.size() != 3 || recurrent.units < 1 || recurrent.units > kLargestSize) {
    return Fail(Contradiction("a recurrent layer over " + ToText(data)));
  }
  const std::int64_t examples = data[recurrent.time_first ? 1 : 0];
  data[2] = recurrent.units;
  Shapes shapes{std::move(data)};
  while (shapes.size() < results) shapes.emplace_back(Sizes{examples, recurrent.units});
  shapes.resize(results);
  return shapes;
}

}  // namespace ckpt::network
