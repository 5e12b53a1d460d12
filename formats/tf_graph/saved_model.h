// SavedModel folders: saved_model.pb or .pbtxt, and the variables as a bundle.
//
// Source: TensorFlow, cc/saved_model/{constants.h,loader.cc}, core/protobuf/saved_model.proto.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {

// What `path` names: the folder, the saved_model file in it, or a model server's folder of
// versions, of which the highest is taken. Nothing where it names no SavedModel.
Result<std::optional<ResolvedPath>> ResolveSavedModel(const Files& files, const std::string& path);

Match ProbeSavedModel(const ProbeInput& input);

// `path` is the folder or the file in it. The tensors are those of variables/variables, `trainable`
// as the object graph records; without variables, the weights in the graph.
Result<std::unique_ptr<Checkpoint>> OpenSavedModel(const Files& files,
                                                   const std::filesystem::path& path,
                                                   const Limits& limits);

}  // namespace ckpt::formats
