// ONNX models: tensors, the graph of layers, external data.
//
// The format: onnx/onnx.proto and docs/IR.md, docs/ExternalData.md of the ONNX project. A model is
// one protocol buffer without any magic, or one beside files that hold the data of its tensors.
//
// Tensors are the initializers, the values of Constant nodes (under the name of the node's output),
// and whatever else of more than 1024 bytes a node holds ("node/attribute", "if/then_branch/w").
// Names are the file's own: PyTorch's exporter keeps those of the state dict.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"
#include "formats/onnx_proto/onnx.pb.h"

namespace ckpt::formats {

Match ProbeOnnx(const ProbeInput& input);

// External data is read from the model's folder only, by plain relative names, links refused. An
// absent or short file of external data is a problem of the manifest, not an error.
Result<std::unique_ptr<Checkpoint>> OpenOnnx(const Files& files, const std::filesystem::path& path,
                                             const Limits& limits);

// Needs the graph of an ONNX model (`model.documents`): kUnfit without. Tensors that the graph
// lacks become initializers; those that the model lacks leave it, kUnfit where a node reads them.
// Data goes into the file as raw_data; where that would not fit a protocol buffer (2 GiB), into
// PATH.data.
Result<WriteSummary> WriteOnnx(AtomicOutput& output, const std::filesystem::path& path,
                               const OutputModel& model, const WriteOptions& options);
Status CanHoldOnnx(const TensorInfo& tensor);

// The model's graph after `edits`.
Result<std::vector<Document>> RewriteOnnx(const Manifest& manifest, const GraphEdits& edits);

namespace onnx {

// The document that holds the model without its data: a ModelProto, TensorProto::data_place set
// in each tensor that the manifest lists.
inline constexpr std::string_view kModelDocument = "onnx_model";
Result<onnx_proto::ModelProto> ParseModel(std::string_view bytes);

}  // namespace onnx
}  // namespace ckpt::formats
