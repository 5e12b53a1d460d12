// From a list of NodeDef to a body of operations.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "formats/tf_graph/graph_record.h"

namespace ckpt::formats {

// What bodies of one graph share while it is read.
struct BodyContext {
  std::shared_ptr<const TfGraphRecord> record;
  const Limits& limits;
  // By name; a node whose operation is one of these calls it.
  std::unordered_map<std::string_view, const tf_proto::OpDef*> signatures = {};
  // Constants are held inline while this lasts: values may repeat, and take more than their
  // records.
  std::uint64_t inline_budget = std::uint64_t{256} << 20;
};

// The graph's own operations. kCorrupt, naming the operation, for two of a name, an input that is
// not there, a cycle that no loop makes, and values that are not what they claim.
Result<OpBody> BuildTopBody(BodyContext& context);

// A function with its body; arguments become operations "_Arg" with their type as "T".
Result<OpFunction> BuildFunction(const tf_proto::FunctionDef& function, BodyContext& context);

// Would a Const of this value be weights, which a manifest lists? Floating, complex and quantised
// values of at least one axis, and whatever is larger than a shape or a list of axes would be.
bool IsWeightLike(const tf_proto::TensorProto& proto);

// The value of a Const; null where it has none.
const tf_proto::TensorProto* ConstantValue(const tf_proto::NodeDef& node);

}  // namespace ckpt::formats
