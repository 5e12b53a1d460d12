// One operation of a serving graph while it is translated into the vocabulary of ckpt/network.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/network/network.h"
#include "ckpt/op_graph.h"
#include "tensorflow_network/known_elements.h"

namespace ckpt::tf_network {

using network::Computation;
using network::ElementKind;
using network::kNoValue;
using network::kUnknownSize;
using network::NetworkBuilder;
using network::PartialShape;
using network::Sizes;
using network::ValueId;

using Values = std::vector<ValueId>;
// What an operation yields, by output; or why it is not understood.
using Outcome = tl::expected<Values, std::string>;
inline tl::unexpected<std::string> NotUnderstood(std::string why) {
  return tl::unexpected<std::string>(std::move(why));
}

class Node {
 public:
  // All must outlive the node; `inputs` are the values that it reads, `results` how many of its
  // outputs are read. `values` reads small tensors of the graph; null: they are not to be read.
  Node(const Op& op, const OpBody& body, const Checkpoint* values, NetworkBuilder& builder,
       KnownElements& known, Values inputs, std::size_t results)
      : op_(op),
        body_(body),
        values_(values),
        builder_(builder),
        known_(known),
        inputs_(std::move(inputs)),
        results_(results) {}

  const Op& op() const { return op_; }
  std::size_t results() const { return results_; }
  std::size_t inputs() const { return inputs_.size(); }
  // REQUIRES: i < inputs().
  ValueId Input(std::size_t i) const { return inputs_[i]; }
  const Values& Inputs() const { return inputs_; }
  NetworkBuilder& builder() { return builder_; }

  // Attributes; the default is that of the operation's definition.
  bool Bool(std::string_view attr, bool fallback) const;
  std::int64_t Int(std::string_view attr, std::int64_t fallback) const;
  double Real(std::string_view attr, double fallback) const;
  std::string Text(std::string_view attr, std::string_view fallback) const;
  Sizes List(std::string_view attr) const;  // empty where it is not recorded

  const PartialShape& ShapeOf(ValueId value) const { return builder_.ShapeOf(value); }
  const PartialShape& Shape(std::size_t i) const { return ShapeOf(inputs_[i]); }
  std::optional<std::int64_t> Rank(std::size_t i) const { return builder_.RankOf(inputs_[i]); }
  ElementKind Kind(std::size_t i) const;

  // The elements of an input that are known before the network runs; nothing if any is not.
  std::optional<Sizes> Integers(std::size_t i) const;
  std::optional<std::int64_t> Integer(std::size_t i) const;  // of an input of one element
  // The same, as far as they are known.
  std::optional<PartialElements> Partly(std::size_t i) const { return known_.Of(inputs_[i]); }
  // As Integers, of any kind; reads a small tensor of the graph if it must and may.
  std::optional<std::vector<double>> Reals(std::size_t i) const;

  // A step; a constant instead where all of it is known.
  ValueId Add(Computation computation, Values operands) {
    return known_.Add(std::move(computation), std::move(operands), {});
  }
  // The last step: has the name of the operation.
  Outcome Yield(Computation computation, Values operands) {
    return Values{known_.Add(std::move(computation), std::move(operands), op_.name)};
  }
  bool MayPart(std::size_t count) { return known_.MayPart(count); }
  // The same; TensorFlow takes data of this rank alone, whatever the graph tells of it.
  Outcome YieldOfRank(std::size_t rank, Computation computation, Values operands);
  // Several results of one step.
  Values AddMany(Computation computation, Values operands, std::size_t results,
                 std::string name = {}) {
    return builder_.AddMany(std::move(computation), std::move(operands), results, std::move(name));
  }

 private:
  const Op& op_;
  const OpBody& body_;
  const Checkpoint* values_;
  NetworkBuilder& builder_;
  KnownElements& known_;
  Values inputs_;
  std::size_t results_;
};

using Translate = Outcome (*)(Node& node);
struct Row {
  std::string_view type;
  std::size_t inputs;  // at least
  Translate translate;
};

// By families, each in a file of its own.
std::span<const Row> ConvolutionRows();
std::span<const Row> PoolingRows();
std::span<const Row> NormalizationRows();
std::span<const Row> ProductRows();
std::span<const Row> UnaryRows();
std::span<const Row> BinaryRows();
std::span<const Row> ReductionRows();
std::span<const Row> ShapeRows();
std::span<const Row> AxisRows();
std::span<const Row> SliceRows();
std::span<const Row> PaddingRows();
std::span<const Row> ResizeRows();
std::span<const Row> GatherRows();
std::span<const Row> QuantizationRows();

std::vector<std::span<const Row>> AllRows();
// Of all families; null where the type has none.
const Row* FindRow(std::string_view type);
// Why an operation without a row is not understood, for people.
std::string WhyNot(const Op& op);

}  // namespace ckpt::tf_network
