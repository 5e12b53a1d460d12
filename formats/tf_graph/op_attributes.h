// From AttrValue to OpAttr.
#pragma once

#include "ckpt/op_graph.h"
#include "formats/tf_proto/graph.pb.h"

namespace ckpt::formats {

OpShape ToOpShape(const tf_proto::TensorShapeProto& shape);
OpAttr ToOpAttr(const tf_proto::AttrValue& value);

}  // namespace ckpt::formats
