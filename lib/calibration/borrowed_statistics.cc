// Statistics of another checkpoint, where they are proved to be of the same network.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "ckpt/calibrate.h"

namespace ckpt {
namespace {

constexpr std::uint64_t kMostElements = std::uint64_t{1} << 28;  // of one statistic

class Borrowing {
 public:
  Borrowing(const network::Network& net, const Checkpoint& weights, const Checkpoint& other,
            std::vector<NormPlace> layers)
      : net_(net), weights_(weights), other_(other), layers_(std::move(layers)) {
    std::sort(layers_.begin(), layers_.end(),
              [](const NormPlace& a, const NormPlace& b) { return a.operation < b.operation; });
    for (const NormPlace& layer : layers_) replaced_.insert({layer.mean, layer.variance});
  }

  Result<std::vector<CalibratedLayer>> Run() {
    std::vector<CalibratedLayer> layers;
    for (const NormPlace& layer : layers_) {
      CKPT_RETURN_IF_ERROR(CheckUpstream(layer));
      CKPT_ASSIGN_OR_RETURN(CalibratedLayer taken, Take(layer));
      layers.push_back(std::move(taken));
    }
    return layers;
  }

 private:
  const TensorInfo& InfoOf(TensorId id) const { return weights_.manifest().tensors[id.index]; }
  Error Unfit(const NormPlace& layer, TensorId tensor, const std::string& why) const {
    Error error{ErrorCode::kUnfit,
                "the statistics of \"" + layer.layer + "\" cannot be taken: " + why};
    error.tensor = InfoOf(tensor).name;
    return error;
  }

  // The operations that make what the layer reads, in the network's order.
  std::set<network::OperationId> UpstreamOf(const NormPlace& layer) const {
    std::set<network::OperationId> upstream;
    std::vector<network::ValueId> pending = {layer.input};
    while (!pending.empty()) {
      const auto producer = net_.value(pending.back()).producer;
      pending.pop_back();
      if (!producer || !upstream.insert(*producer).second) continue;
      for (const network::ValueId operand : net_.operation(*producer).operands) {
        if (operand != network::kNoValue) pending.push_back(operand);
      }
    }
    return upstream;
  }

  // All that it reads is the same there; what is taken from there is so by itself.
  Status CheckUpstream(const NormPlace& layer) {
    for (const network::OperationId id : UpstreamOf(layer)) {
      for (const network::ValueId operand : net_.operation(id).operands) {
        if (operand == network::kNoValue || !net_.value(operand).constant) continue;
        const auto* stored = std::get_if<network::StoredConstant>(&*net_.value(operand).constant);
        if (stored == nullptr || replaced_.contains(stored->tensor)) continue;
        if (!equal_.insert(stored->tensor).second) continue;
        CKPT_ASSIGN_OR_RETURN(const TensorId there, Find(layer, stored->tensor));
        CKPT_ASSIGN_OR_RETURN(const bool same, HoldsTheSame(stored->tensor, there));
        if (!same) {
          return Fail(
              Unfit(layer, stored->tensor,
                    "what it reads depends on this tensor, which holds other values there"));
        }
      }
    }
    return {};
  }

  Result<TensorId> Find(const NormPlace& layer, TensorId id) const {
    const TensorInfo& here = InfoOf(id);
    const auto found = FindTensor(other_.manifest(), here.name);
    if (!found) return Fail(Unfit(layer, id, "the other checkpoint lacks this tensor"));
    const TensorInfo& there = other_.manifest().tensors[found->index];
    if (there.shape != here.shape || there.dtype != here.dtype) {
      return Fail(Unfit(layer, id,
                        "this tensor is " + std::string(Name(there.dtype)) + " " +
                            ToString(there.shape) + " there and " + std::string(Name(here.dtype)) +
                            " " + ToString(here.shape) + " here"));
    }
    return *found;
  }

  Result<bool> HoldsTheSame(TensorId here, TensorId there) const {
    CKPT_ASSIGN_OR_RETURN(const auto a, weights_.Open(here));
    CKPT_ASSIGN_OR_RETURN(const auto b, other_.Open(there));
    std::span<const std::byte> left, right;
    while (true) {
      if (left.empty()) {
        CKPT_ASSIGN_OR_RETURN(left, a->Next());
      }
      if (right.empty()) {
        CKPT_ASSIGN_OR_RETURN(right, b->Next());
      }
      if (left.empty() || right.empty()) return left.empty() && right.empty();
      const std::size_t count = std::min(left.size(), right.size());
      if (!std::equal(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(count),
                      right.begin())) {
        return false;
      }
      left = left.subspan(count);
      right = right.subspan(count);
    }
  }

  Result<CalibratedLayer> Take(const NormPlace& layer) const {
    CalibratedLayer taken;
    taken.layer = layer.layer;
    taken.mean = layer.mean;
    taken.variance = layer.variance;
    CKPT_ASSIGN_OR_RETURN(const TensorId mean, Find(layer, layer.mean));
    CKPT_ASSIGN_OR_RETURN(const TensorId variance, Find(layer, layer.variance));
    CKPT_ASSIGN_OR_RETURN(taken.stored.mean, ReadDoubles(other_, mean, kMostElements));
    CKPT_ASSIGN_OR_RETURN(taken.stored.variance, ReadDoubles(other_, variance, kMostElements));
    bool initial = true;
    for (std::size_t i = 0; i < taken.stored.mean.size(); ++i) {
      const double m = taken.stored.mean[i], v = taken.stored.variance[i];
      if (!std::isfinite(m) || !std::isfinite(v) || v < 0) {
        return Fail(Unfit(layer, layer.mean,
                          "they are no statistics there in channel " + std::to_string(i)));
      }
      initial = initial && m == 0 && v == 1;
    }
    if (initial) return Fail(Unfit(layer, layer.mean, "they are initial there, too"));
    if (!InfoOf(layer.mean).data_present) return taken;
    const auto old = ReadDoubles(weights_, layer.mean, kMostElements);
    for (std::size_t i = 0; old && i < old->size(); ++i) {
      const double shift = std::abs(taken.stored.mean[i] - (*old)[i]);
      if (taken.stored.variance[i] > 0) {
        taken.mean_shift = std::max(taken.mean_shift, shift / std::sqrt(taken.stored.variance[i]));
      }
    }
    return taken;
  }

  const network::Network& net_;
  const Checkpoint &weights_, &other_;
  std::vector<NormPlace> layers_;  // in the network's order
  std::set<TensorId> replaced_;
  std::set<TensorId> equal_;  // compared already
};

}  // namespace

Result<std::vector<CalibratedLayer>> BorrowStatistics(const network::Network& network,
                                                      const Checkpoint& weights,
                                                      const Checkpoint& other,
                                                      const std::vector<NormPlace>& layers) {
  return Borrowing(network, weights, other, layers).Run();
}

}  // namespace ckpt
