// The one table of formats.
#include <array>

#include "ckpt/formats/format.h"
#include "formats/caffe/caffe.h"
#include "formats/darknet/darknet.h"
#include "formats/flax/flax.h"
#include "formats/keras/keras_archive.h"
#include "formats/keras/keras_h5.h"
#include "formats/keras/keras_weights.h"
#include "formats/mxnet/mxnet.h"
#include "formats/npz/npz.h"
#include "formats/onnx/onnx.h"
#include "formats/safetensors/safetensors.h"
#include "formats/tf_bundle/tf_bundle.h"
#include "formats/tf_graph/graph_checkpoint.h"
#include "formats/tf_graph/graph_writer.h"
#include "formats/tf_graph/saved_model.h"
#include "formats/tf_v1/tf_v1.h"
#include "formats/tfjs/tfjs.h"
#include "formats/torch/torch.h"

namespace ckpt::formats {
namespace {

constexpr std::array<std::string_view, 2> kHdf5Suffixes = {".h5", ".hdf5"};
constexpr std::array<std::string_view, 1> kKerasSuffixes = {".keras"};
constexpr std::array<std::string_view, 2> kKerasWeightsSuffixes = {".weights.h5", ".weights.json"};
constexpr std::array<std::string_view, 1> kKerasKin = {"keras-h5"};
constexpr std::array<std::string_view, 2> kKerasWeightsKin = {"keras", "keras-h5"};
constexpr std::array<std::string_view, 1> kSafetensorsSuffixes = {".safetensors"};
constexpr std::array<std::string_view, 2> kTorchSuffixes = {".pt", ".pth"};
constexpr std::array<std::string_view, 1> kNpzSuffixes = {".npz"};
constexpr std::array<std::string_view, 1> kGraphDefSuffixes = {".pb"};
constexpr std::array<std::string_view, 1> kOnnxSuffixes = {".onnx"};

constexpr Format kFormats[] = {
    {"tf-bundle",
     "TensorFlow V2 checkpoint",
     {},
     ProbeTfBundle,
     OpenTfBundle,
     WriteTfBundle,
     TfBundleCanHold,
     nullptr,
     {},
     Framework::kTensorFlow},
    {"tf-v1", "TensorFlow V1 checkpoint", {}, ProbeTfV1, OpenTfV1, nullptr, nullptr, nullptr},
    {"tf-meta",
     "TensorFlow MetaGraphDef (.meta)",
     {},
     ProbeTfMeta,
     OpenTfMeta,
     nullptr,
     nullptr,
     nullptr},
    {"saved-model",
     "TensorFlow SavedModel folder",
     {},
     ProbeSavedModel,
     OpenSavedModel,
     WriteWithoutGraph,
     GraphCanHold,
     nullptr,
     {},
     Framework::kTensorFlow},
    {"graph-def", "TensorFlow GraphDef, frozen or not, binary or text", kGraphDefSuffixes,
     ProbeGraphDef, OpenGraphDef, WriteWithoutGraph, GraphCanHold, nullptr},
    {"keras-h5",
     "legacy Keras HDF5, whole model or weights",
     kHdf5Suffixes,
     ProbeKerasH5,
     OpenKerasH5,
     WriteKerasH5,
     CanHoldKerasH5,
     RewriteKerasH5,
     {},
     Framework::kKeras},
    {"keras", "Keras 3 archive (.keras)", kKerasSuffixes, ProbeKerasArchive, OpenKerasArchive,
     WriteKerasArchive, CanHoldKerasArchive, RewriteKerasArchive, kKerasKin, Framework::kKeras},
    {"keras-weights", "Keras 3 .weights.h5, or a sharded set", kKerasWeightsSuffixes,
     ProbeKerasWeights, OpenKerasWeights, WriteKerasWeights, CanHoldKerasWeights,
     RewriteKerasArchive, kKerasWeightsKin, Framework::kKeras},
    {"safetensors", "one file, or a sharded set", kSafetensorsSuffixes, ProbeSafetensors,
     OpenSafetensors, WriteSafetensors, CanHoldSafetensors, nullptr},
    {"torch",
     "PyTorch .pt and .pth, one file or a sharded set",
     kTorchSuffixes,
     ProbeTorch,
     OpenTorch,
     WriteTorch,
     CanHoldTorch,
     nullptr,
     {},
     Framework::kPyTorch},
    {"npz", "NumPy .npz and .npy", kNpzSuffixes, ProbeNpz, OpenNpz, WriteNpz, CanHoldNpz, nullptr},
    {"onnx", "ONNX model, with external data", kOnnxSuffixes, ProbeOnnx, OpenOnnx, WriteOnnx,
     CanHoldOnnx, RewriteOnnx},
    {"flax", "Flax msgpack", {}, ProbeFlax, OpenFlax, nullptr, nullptr, nullptr},
    {"darknet",
     "Darknet .weights and .cfg",
     {},
     ProbeDarknet,
     OpenDarknet,
     nullptr,
     nullptr,
     nullptr},
    {"caffe", "Caffe .caffemodel", {}, ProbeCaffe, OpenCaffe, nullptr, nullptr, nullptr},
    {"mxnet", "MXNet .params", {}, ProbeMxnet, OpenMxnet, nullptr, nullptr, nullptr},
    {"tfjs", "TensorFlow.js layers model", {}, ProbeTfjs, OpenTfjs, nullptr, nullptr, nullptr},
};

bool EndsLonger(const std::string& name, std::string_view suffix) {
  return name.size() > suffix.size() && name.ends_with(suffix);
}

}  // namespace

std::span<const Format> BuiltinFormats() noexcept { return kFormats; }

const Format* FindFormat(std::string_view name) noexcept {
  for (const Format& format : BuiltinFormats()) {
    if (format.name == name) return &format;
  }
  return nullptr;
}

const Format* FormatForOutput(const std::filesystem::path& path) noexcept {
  const std::string name = path.filename().string();
  const Format* best = nullptr;
  std::size_t longest = 0;
  for (const Format& format : BuiltinFormats()) {
    for (const std::string_view suffix : format.suffixes) {
      if (suffix.size() <= longest || !EndsLonger(name, suffix)) continue;
      longest = suffix.size();
      best = &format;
    }
  }
  return best;
}

}  // namespace ckpt::formats
