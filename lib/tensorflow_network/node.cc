#include "tensorflow_network/node.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace ckpt::tf_network {
namespace {

constexpr std::uint64_t kMostElementsRead = 4096;

template <class T>
T AttrOr(const Op& op, std::string_view attr, T fallback) {
  const T* value = FindAttr<T>(op, attr);
  return value != nullptr ? *value : fallback;
}

bool Holds(std::string_view type, std::string_view part) {
  return type.find(part) != std::string_view::npos;
}

}  // namespace

bool Node::Bool(std::string_view attr, bool fallback) const { return AttrOr(op_, attr, fallback); }
std::int64_t Node::Int(std::string_view attr, std::int64_t fallback) const {
  return AttrOr(op_, attr, fallback);
}
double Node::Real(std::string_view attr, double fallback) const {
  return AttrOr(op_, attr, fallback);
}
std::string Node::Text(std::string_view attr, std::string_view fallback) const {
  return AttrOr(op_, attr, std::string(fallback));
}
Sizes Node::List(std::string_view attr) const { return AttrOr(op_, attr, Sizes{}); }

ElementKind Node::Kind(std::size_t i) const {
  return builder_.value(inputs_[i]).kind.value_or(ElementKind::kReal);
}

std::optional<Sizes> Node::Integers(std::size_t i) const {
  const auto partly = Partly(i);
  if (!partly || !partly->AllKnown()) return std::nullopt;
  Sizes integers;
  for (const auto& element : partly->elements) {
    constexpr double kLargest = 9e18;
    if (!(std::abs(*element) < kLargest) || std::floor(*element) != *element) return std::nullopt;
    integers.push_back(static_cast<std::int64_t>(*element));
  }
  return integers;
}

std::optional<std::int64_t> Node::Integer(std::size_t i) const {
  const auto integers = Integers(i);
  if (!integers || integers->size() != 1) return std::nullopt;
  return integers->front();
}

std::optional<std::vector<double>> Node::Reals(std::size_t i) const {
  const network::Value& value = builder_.value(inputs_[i]);
  if (!value.constant) return std::nullopt;
  if (const auto* constant = std::get_if<network::InlineConstant>(&*value.constant)) {
    return constant->elements;
  }
  const Op* source = &body_.ops[op_.inputs[i].op];
  while (source->type == "Identity" && !source->inputs.empty()) {
    source = &body_.ops[source->inputs[0].op];
  }
  if (!source->tensor || values_ == nullptr) return std::nullopt;
  auto elements = ReadDoubles(*values_, *source->tensor, kMostElementsRead);
  if (!elements) return std::nullopt;
  return *std::move(elements);
}

Outcome Node::YieldOfRank(std::size_t rank, Computation computation, Values operands) {
  Outcome result = Yield(std::move(computation), std::move(operands));
  builder_.Record(result->front(), Sizes(rank, kUnknownSize));
  return result;
}

std::vector<std::span<const Row>> AllRows() {
  return {ConvolutionRows(), PoolingRows(),   NormalizationRows(), ProductRows(),     UnaryRows(),
          BinaryRows(),      ReductionRows(), ShapeRows(),         AxisRows(),        SliceRows(),
          PaddingRows(),     ResizeRows(),    GatherRows(),        QuantizationRows()};
}

const Row* FindRow(std::string_view type) {
  static const std::map<std::string_view, const Row*> kRows = [] {
    std::map<std::string_view, const Row*> rows;
    for (const auto family : AllRows()) {
      for (const Row& row : family) rows.emplace(row.type, &row);
    }
    return rows;
  }();
  const auto row = kRows.find(type);
  return row == kRows.end() ? nullptr : row->second;
}

std::string WhyNot(const Op& op) {
  struct Reason {
    std::string_view part, why;
  };
  static constexpr auto kReasons = std::to_array<Reason>({
      {"While", "a loop that runs as long as its data say"},
      {"NextIteration", "a loop that runs as long as its data say"},
      {"Enter", "a loop that runs as long as its data say"},
      {"Exit", "a loop that runs as long as its data say"},
      {"If", "a branch that its data decide"},
      {"Case", "a branch that its data decide"},
      {"Switch", "a branch that its data decide"},
      {"Merge", "a branch that its data decide"},
      {"Random", "it draws random numbers"},
      {"Multinomial", "it draws random numbers"},
      {"TensorList", "a list of tensors"},
      {"TensorArray", "a list of tensors"},
      {"String", "it computes with strings"},
      {"Decode", "it decodes bytes of a file"},
      {"Parse", "it decodes bytes of a file"},
      {"Lookup", "it reads a lookup table"},
      {"Table", "it reads a lookup table"},
      {"Sparse", "sparse tensors"},
      {"LSTM", "a recurrent cell as one operation"},
      {"GRU", "a recurrent cell as one operation"},
      {"RNN", "a recurrent cell as one operation"},
      {"Quantize", "quantised integers"},
  });
  for (const Reason& reason : kReasons) {
    if (Holds(op.type, reason.part)) return std::string(reason.why);
  }
  return "nothing of the vocabulary says it";
}

}  // namespace ckpt::tf_network
