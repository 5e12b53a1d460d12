#include "serving/batch_norms.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "serving/op_facts.h"

namespace ckpt {
namespace {

constexpr std::uint32_t kTopBody = 0;

bool Reads(const Op& op, std::size_t input, OpId producer) {
  return op.inputs[input].op == producer && op.inputs[input].output == 0;
}

class Reader {
 public:
  Reader(const OpBatchNorm& norm, const BodyView& body) : body_(body) { result_.found = norm; }

  std::optional<ServingBatchNorm> Read() {
    if (result_.found.mode != OpBatchNormMode::kInference || !FollowPath() || !ReadVectors() ||
        !FindChannels()) {
      return std::nullopt;
    }
    CheckOwnership();
    return std::move(result_);
  }

 private:
  // From the input to the output nothing else looks in, and all other operands are constants.
  bool FollowPath() {
    const std::vector<OpId>& path = result_.found.path;
    for (std::size_t i = 0; i < path.size(); ++i) {
      const Op& op = body_.op(path[i]);
      bool follows = false;
      for (std::size_t k = 0; k < op.inputs.size(); ++k) {
        const OpEdge& before = result_.found.input;
        const bool data = i == 0
                              ? op.inputs[k].op == before.op && op.inputs[k].output == before.output
                              : Reads(op, k, path[i - 1]);
        if (data && !follows) {
          follows = true;
        } else if (body_.IsConstant(op.inputs[k])) {
          result_.operands.push_back({path[i], k});
        } else {
          return false;
        }
      }
      if (!follows) return false;
      if (i + 1 < path.size() && body_.OnlyReader(path[i]) != std::optional(path[i + 1]))
        return false;
    }
    return !path.empty() && OnlyFirstOutput(path.back());
  }

  // A fused batch norm's other outputs are statistics.
  bool OnlyFirstOutput(OpId id) const {
    for (const OpId reader : body_.ReadersOf(id)) {
      for (const OpEdge& input : body_.op(reader).inputs) {
        if (input.op == id && input.output != 0) return false;
      }
    }
    return true;
  }

  bool ReadVectors() {
    const OpBatchNorm& norm = result_.found;
    return Take("moving_mean", norm.mean, true) && Take("moving_variance", norm.variance, true) &&
           Take("gamma", norm.gamma, false) && Take("beta", norm.beta, false);
  }

  bool Take(const char* name, const OpBatchNormVector& vector, bool needed) {
    if (!vector.edge) return !needed;
    const auto weight = body_.WeightOf(*vector.edge);
    if (!weight) return false;
    result_.weights.emplace(name, *weight);
    result_.places.emplace(name, OpInput{vector.reader, vector.reader_input});
    return true;
  }

  // All vectors are wide in the same axis, counted from the last one.
  bool FindChannels() {
    std::optional<std::size_t> behind;
    for (const auto& [name, weight] : result_.weights) {
      const std::vector<std::int64_t>& shape = weight.shape;
      if (shape.empty()) return false;
      result_.rank = std::max(result_.rank, shape.size());
      const auto wide = [](std::int64_t dim) { return dim != 1; };
      const auto count = std::count_if(shape.begin(), shape.end(), wide);
      if (count > 1) return false;
      if (count == 0) continue;
      const auto at = std::find_if(shape.begin(), shape.end(), wide) - shape.begin();
      const std::size_t after = shape.size() - 1 - static_cast<std::size_t>(at);
      if (behind && *behind != after) return false;
      behind = after;
    }
    result_.axes_behind_channels = behind.value_or(0);
    return true;
  }

  void CheckOwnership() {
    const std::vector<OpId>& ops = result_.found.ops;
    const std::vector<OpId>& path = result_.found.path;
    for (const OpId id : ops) {
      if (std::find(path.begin(), path.end(), id) != path.end()) continue;
      const auto& readers = body_.ReadersOf(id);
      const bool own = std::all_of(readers.begin(), readers.end(), [&](OpId reader) {
        return std::find(ops.begin(), ops.end(), reader) != ops.end();
      });
      if (!own || body_.IsOutput(id)) result_.own_operations = false;
    }
  }

  const BodyView& body_;
  ServingBatchNorm result_;
};

}  // namespace

std::vector<OpId> OpsOfBatchNorms(const OpBatchNorms& found) {
  std::vector<OpId> ops;
  for (const OpBatchNorm& norm : found.norms) {
    if (norm.body == kTopBody) ops.insert(ops.end(), norm.path.begin(), norm.path.end());
  }
  return ops;
}

std::vector<ServingBatchNorm> FindServingBatchNorms(const OpBatchNorms& found,
                                                    const BodyView& body) {
  std::vector<ServingBatchNorm> norms;
  for (const OpBatchNorm& norm : found.norms) {
    if (norm.body != kTopBody) continue;  // in a function that stays one: no layer to fold
    if (auto read = Reader(norm, body).Read()) norms.push_back(*std::move(read));
  }
  return norms;
}

}  // namespace ckpt
