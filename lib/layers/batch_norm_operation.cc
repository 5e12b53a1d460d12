#include "layers/batch_norm_operation.h"

#include <algorithm>
#include <array>
#include <utility>

namespace ckpt {
namespace {

using network::BinaryFunction;
using network::kNoValue;
using network::Operation;
using network::OperationId;
using network::ValueId;

constexpr std::array<const char*, 4> kParameters = {"gamma", "beta", "moving_mean",
                                                    "moving_variance"};

class Reader {
 public:
  Reader(const ValueUses& uses, OperationId id, const network::BatchNormalization& norm)
      : uses_(uses), operation_(uses.network().operation(id)), norm_(norm) {
    found_.operations = {id};
    found_.data = operation_.operands[0];
    found_.output = operation_.results[0];
  }

  LayerOfOperations Read(bool and_scale) {
    Layer& layer = found_.layer;
    layer.computation = norm_;
    layer.axis = norm_.axis;
    layer.epsilon = norm_.epsilon;
    layer.momentum = norm_.momentum;
    if (norm_.of_batch) layer.not_affine = "it normalises with the statistics of its batch";
    for (std::size_t i = 0; i < kParameters.size(); ++i) {
      if (i + 1 < operation_.operands.size()) Bind(kParameters[i], operation_.operands[i + 1]);
    }
    if (and_scale && layer.fed_tensors.empty() && !Has("gamma") && !Has("beta")) FindScale();
    layer.has_scale = Has("gamma") || layer.fed_tensors.contains("gamma");
    layer.has_center = Has("beta") || layer.fed_tensors.contains("beta");
    return std::move(found_);
  }

 private:
  bool Has(const char* name) const { return found_.tensors.contains(name); }

  void Bind(const char* name, ValueId id) {
    if (id == kNoValue) return;
    auto vector = FindStoredTensor(uses_, id);
    const bool straight =
        vector && vector->IsVector() && !vector->filled && vector->factor == 1 &&
        std::all_of(vector->layers.begin(), vector->layers.end(),
                    [this](std::uint32_t layer) { return layer == operation_.layer; });
    if (straight) {
      found_.tensors.emplace(name, *std::move(vector));
    } else {
      found_.layer.fed_tensors.emplace(name, ValueSource(uses_.network(), id));
    }
  }

  void FindScale() {
    if (TakeVector("gamma", BinaryFunction::kMultiply)) TakeVector("beta", BinaryFunction::kAdd);
  }

  // What alone reads the output so far, and does so with one number of the file for each channel.
  bool TakeVector(const char* name, BinaryFunction function) {
    const auto reader = uses_.OnlyReaderOf(found_.output);
    if (!reader) return false;
    const Operation& next = uses_.network().operation(reader->operation);
    const auto* binary = std::get_if<network::Binary>(&next.computation);
    if (binary == nullptr || binary->function != function || next.operands.size() != 2) {
      return false;
    }
    auto vector = FindStoredTensor(uses_, next.operands[1 - reader->operand]);
    const auto mean = found_.tensors.find("moving_mean");
    if (!vector || vector->factor != 1 || !vector->layers.empty() || mean == found_.tensors.end() ||
        !vector->IsAlong(norm_.axis, uses_.network().value(found_.data).shape,
                         mean->second.count())) {
      return false;
    }
    found_.tensors.emplace(name, *std::move(vector));
    found_.operations.push_back(reader->operation);
    found_.output = next.results[0];
    return true;
  }

  const ValueUses& uses_;
  const Operation& operation_;
  const network::BatchNormalization& norm_;
  LayerOfOperations found_;
};

}  // namespace

std::optional<LayerOfOperations> FindBatchNormOperation(const ValueUses& uses, OperationId id,
                                                        bool and_scale) {
  const Operation& operation = uses.network().operation(id);
  const auto* norm = std::get_if<network::BatchNormalization>(&operation.computation);
  if (norm == nullptr || operation.operands.empty() || operation.results.empty() ||
      operation.operands[0] == kNoValue || uses.IsFixed(operation.operands[0])) {
    return std::nullopt;
  }
  return Reader(uses, id, *norm).Read(and_scale);
}

}  // namespace ckpt
