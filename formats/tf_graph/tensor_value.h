// The value of a TensorProto in a graph: what it claims, checked, and its elements.
//
// Source: TensorFlow, core/framework/tensor.proto and tensor.cc (Tensor::FromProto).
#pragma once

#include <memory>
#include <string>

#include "ckpt/op_graph.h"
#include "formats/tf_bundle/tf_dtype.h"
#include "formats/tf_graph/graph_record.h"

namespace ckpt::formats {

struct GraphTensor {
  const TfDtype* dtype = nullptr;
  Shape shape;
  std::uint64_t byte_size = 0;  // that its stream yields, see TensorInfo::byte_size
};

// What `proto` says it is. Errors, without a place: kCorrupt where its values are not as many as
// its shape has elements (fewer are legal: the last is repeated, none is zeros), kUnsupported for
// types that are not known, kLimitExceeded above limits.index_bytes.
Result<GraphTensor> DescribeGraphTensor(const TfGraphRecord& record,
                                        const tf_proto::TensorProto& proto, const Limits& limits);

// Streams the elements. `record` is kept alive by the stream; `proto` belongs to it. Errors name
// `tensor`.
Result<std::unique_ptr<TensorStream>> StreamGraphTensor(std::shared_ptr<const TfGraphRecord> record,
                                                        const tf_proto::TensorProto& proto,
                                                        const Limits& limits, std::string tensor);

// All of it. REQUIRES: DescribeGraphTensor calls it small enough to hold.
Result<OpConstant> ReadGraphTensor(const std::shared_ptr<const TfGraphRecord>& record,
                                   const tf_proto::TensorProto& proto, const Limits& limits,
                                   const std::string& tensor);

}  // namespace ckpt::formats
