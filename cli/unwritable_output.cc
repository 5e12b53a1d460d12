#include "cli/unwritable_output.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <vector>

#include "ckpt/natural_order.h"

namespace ckpt::cli {
namespace {

namespace fs = std::filesystem;

struct OtherSuffix {
  std::string_view suffix, way;
};
constexpr auto kOtherSuffixes = std::to_array<OtherSuffix>({
    {".tflite",
     "TensorFlow Lite is not written here; --to saved-model writes a folder that "
     "tf.lite.TFLiteConverter.from_saved_model takes"},
    {".mlmodel",
     "Core ML is not written here; coremltools converts a SavedModel or a PyTorch model"},
    {".mlpackage",
     "Core ML is not written here; coremltools converts a SavedModel or a PyTorch model"},
    {".engine", "TensorRT is not written here; trtexec builds an engine from an .onnx"},
    {".plan", "TensorRT is not written here; trtexec builds an engine from an .onnx"},
    {".gguf", "GGUF is not written here"},
    {".msgpack", "Flax is read only; .safetensors and .npz hold the same tensors"},
    {".ckpt",
     "TensorFlow's checkpoints are --to tf-bundle, PyTorch's (Lightning's too) --to torch"},
});

std::string WithoutSlash(const fs::path& path) {
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

// How the framework whose format the file has makes an ONNX model of it.
std::string MakesOnnx(std::string_view format, const std::string& path) {
  const auto tf2onnx = [&](std::string_view option) {
    return "python -m tf2onnx.convert " + std::string(option) + " " + path +
           " --output model.onnx makes one";
  };
  if (format == "keras-h5") {
    return tf2onnx("--keras") +
           " (Keras 2), or Keras 3's model.export(\"model.onnx\", "
           "format=\"onnx\")";
  }
  if (format == "keras" || format == "keras-weights")
    return "Keras 3's model.export(\"model.onnx\", format=\"onnx\") makes one";
  if (format == "torch")
    return "torch.onnx.export(model.eval(), (example,), \"model.onnx\") makes one";
  if (format == "saved-model") return tf2onnx("--saved-model");
  if (format == "graph-def") return tf2onnx("--graphdef");
  return "the framework of the model makes one (tf2onnx, torch.onnx.export)";
}

// How a graph of operations is had of it.
std::string MakesOperations(std::string_view format, const std::string& target) {
  if (format.starts_with("keras")) {
    return "model.export(\"FOLDER\") of Keras (model.save(\"FOLDER\") of Keras 2) makes one, which "
           "ckpt convert FOLDER OUTPUT --to " +
           target + " takes";
  }
  if (format == "torch" || format == "onnx") {
    return "PyTorch and ONNX have none of TensorFlow; torch.onnx.export makes an .onnx, and "
           "convert folds that";
  }
  return "a .meta beside the checkpoint, a SavedModel or a GraphDef has it; --graph FILE names one";
}

// The graphs of other steps that lie beside a checkpoint, the newest first.
std::vector<std::string> MetaFilesBeside(const std::string& resolved) {
  std::vector<std::string> found;
  const fs::path folder = fs::path(resolved).parent_path();
  std::error_code failed;
  for (fs::directory_iterator it(folder.empty() ? "." : folder, failed), end; !failed && it != end;
       it.increment(failed)) {
    if (it->path().extension() == ".meta")
      found.push_back((folder / it->path().filename()).string());
  }
  std::sort(found.begin(), found.end(),
            [](const std::string& a, const std::string& b) { return NaturalLess(b, a); });
  return found;
}

}  // namespace

Error NoFormatOfOutput(const std::string& path) {
  const std::string name = WithoutSlash(path);
  for (const auto& [suffix, way] : kOtherSuffixes) {
    if (name.ends_with(suffix)) {
      return Error{ErrorCode::kInvalidArgument,
                   "\"" + path + "\" cannot be written by its suffix: " + std::string(way)};
    }
  }
  std::string known;
  for (const formats::Format& format : formats::BuiltinFormats()) {
    for (const std::string_view suffix : format.suffixes)
      known += (known.empty() ? "" : ", ") + std::string(suffix);
  }
  const bool none = name.find('.') == std::string::npos;
  return Error{ErrorCode::kInvalidArgument,
               (none ? "\"" + path + "\" has no suffix that names a format"
                     : "the suffix of \"" + path + "\" names no format") +
                   "; give --to (--to saved-model writes a folder for a model server, --to "
                   "tf-bundle a checkpoint of TensorFlow) or one of " +
                   known};
}

Error NoGraphForOutput(const Checkpoint& source, const formats::Format& target) {
  const std::string& path = source.input_name().path;
  const std::string name(target.name), format(source.format());
  if (name == "onnx") {
    return Error{ErrorCode::kUnfit,
                 "cannot become ONNX here: graphs are rewritten and not built, and " + format +
                     " holds none of ONNX. " + MakesOnnx(format, path) +
                     "; then: ckpt convert --bn fold model.onnx serving.onnx"}
        .In(path);
  }
  std::string way = MakesOperations(format, name);
  if (const auto beside = MetaFilesBeside(source.manifest().resolved); !beside.empty())
    way = "the graph of another step lies beside it: --graph " + beside.front();
  return Error{ErrorCode::kUnfit, "there is no graph of operations in it or beside it, and " +
                                      name + " is one; " + way}
      .In(path);
}

}  // namespace ckpt::cli
