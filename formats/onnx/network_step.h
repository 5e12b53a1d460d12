// One node on its way into a network: its attributes, its operands, and what becomes of them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "ckpt/network/network.h"
#include "formats/onnx/network_elements.h"
#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats::onnx {

// The values of the node's outputs, front to back, or why the vocabulary cannot say the node. A
// rule that fails has added nothing. Outputs behind those that it yields are not understood.
using Outcome = tl::expected<std::vector<network::ValueId>, std::string>;
inline tl::unexpected<std::string> Cannot(std::string why) {
  return tl::unexpected<std::string>(std::move(why));
}

// What a call of a function gives its attributes.
using Arguments = std::map<std::string, const onnx_proto::AttributeProto*, std::less<>>;

class Step {
 public:
  // `name` is that of the value of the first output. All are kept by reference but `inputs`.
  Step(network::NetworkBuilder& builder, KnownElements& known, const onnx_proto::NodeProto& node,
       const Arguments& arguments, std::int64_t opset, std::vector<network::ValueId> inputs,
       std::string name)
      : builder_(builder),
        known_(known),
        node_(node),
        arguments_(arguments),
        opset_(opset),
        inputs_(std::move(inputs)),
        name_(std::move(name)) {}

  const std::string& op_type() const { return node_.op_type(); }
  std::int64_t opset() const { return opset_; }
  const std::string& name() const { return name_; }

  // Attributes as the node records them, those of the call where a function's node refers to it.
  const onnx_proto::AttributeProto* Find(std::string_view name) const;
  bool Has(std::string_view name) const { return Find(name) != nullptr; }
  std::int64_t Int(std::string_view name, std::int64_t otherwise) const;
  double Float(std::string_view name, float otherwise) const;
  std::string Text(std::string_view name, std::string_view otherwise) const;
  network::Sizes Ints(std::string_view name) const;  // none where it is not recorded
  std::vector<double> Floats(std::string_view name) const;

  // kNoValue for an input that is left out.
  network::ValueId Input(std::size_t i) const {
    return i < inputs_.size() ? inputs_[i] : network::kNoValue;
  }
  bool Given(std::size_t i) const { return Input(i) != network::kNoValue; }
  const std::vector<network::ValueId>& inputs() const { return inputs_; }
  // How many outputs the node names, up to the last one that has a name.
  std::size_t OutputCount() const;
  bool Yields(std::size_t output) const;

  const network::PartialShape& ShapeOf(network::ValueId id) const { return builder_.ShapeOf(id); }
  std::optional<std::int64_t> RankOf(network::ValueId id) const { return builder_.RankOf(id); }
  network::ElementKind KindOf(network::ValueId id) const {
    return builder_.value(id).kind.value_or(network::ElementKind::kReal);
  }
  // How a stored constant is stored; absent for any other value.
  std::optional<Dtype> DtypeOf(std::size_t i) const { return known_.DtypeOf(Input(i)); }
  // The elements of a small constant, or of integers that follow from known shapes.
  std::optional<std::vector<double>> Elements(std::size_t i) const;
  std::optional<network::Sizes> Integers(std::size_t i) const;

  // A step on the way. Operands at the end that are left out are dropped.
  network::ValueId Inner(network::Computation computation, std::vector<network::ValueId> operands);
  std::vector<network::ValueId> InnerMany(network::Computation computation,
                                          std::vector<network::ValueId> operands,
                                          std::size_t results);
  network::ValueId Inner(network::UnaryFunction function, network::ValueId x, double a = 0,
                         double b = 0);
  network::ValueId Inner(network::BinaryFunction function, network::ValueId a, network::ValueId b);
  network::ValueId Scalar(double value, network::ElementKind kind = network::ElementKind::kReal);
  // The last step, which is called as the node's first output is.
  Outcome Yield(network::Computation computation, std::vector<network::ValueId> operands);
  Outcome YieldMany(network::Computation computation, std::vector<network::ValueId> operands,
                    std::size_t results);
  // The operator gives its first output this many axes, whatever else is known.
  Outcome OfRank(std::size_t rank, Outcome outcome);
  void Note(const std::string& note) { known_.Note(note); }

 private:
  std::vector<network::ValueId> Emit(network::Computation computation,
                                     std::vector<network::ValueId> operands, std::size_t results,
                                     std::string name);

  network::NetworkBuilder& builder_;
  KnownElements& known_;
  const onnx_proto::NodeProto& node_;
  const Arguments& arguments_;
  std::int64_t opset_;
  std::vector<network::ValueId> inputs_;
  std::string name_;
};

// What the nodes of one operator become.
struct OperatorRule {
  std::string_view op_type;
  Outcome (*translate)(Step& step);
};

// By family; each in the file of its name.
std::span<const OperatorRule> WindowOperators();
std::span<const OperatorRule> NormalizationOperators();
std::span<const OperatorRule> ProductOperators();
std::span<const OperatorRule> UnaryOperators();
std::span<const OperatorRule> BinaryOperators();
std::span<const OperatorRule> ReductionOperators();
std::span<const OperatorRule> LayoutOperators();
std::span<const OperatorRule> SelectionOperators();
std::span<const OperatorRule> ResizeOperators();
std::span<const OperatorRule> RecurrentOperators();
std::span<const OperatorRule> QuantizationOperators();

// The attributes of a Conv, whatever its operands are stored as.
tl::expected<network::Convolution, std::string> ConvolutionOf(const Step& step);

// Null where none is translated.
const OperatorRule* FindOperatorRule(std::string_view op_type);

// `neutral` on each of `count` axes where the list is empty.
network::Sizes ListOr(const network::Sizes& list, std::size_t count, std::int64_t neutral);

}  // namespace ckpt::formats::onnx
