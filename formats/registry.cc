// The one table of formats.
#include <array>

#include "ckpt/formats/format.h"
#include "formats/caffe/caffe.h"
#include "formats/darknet/darknet.h"
#include "formats/flax/flax.h"
#include "formats/keras/h5/keras_h5.h"
#include "formats/keras/variables/keras_archive.h"
#include "formats/keras/variables/keras_weights.h"
#include "formats/mxnet/mxnet.h"
#include "formats/npz/npz.h"
#include "formats/onnx/onnx.h"
#include "formats/safetensors/safetensors.h"
#include "formats/tf_bundle/checkpoint_state.h"
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
constexpr std::array<std::string_view, 2> kKerasKin = {"keras-h5", "keras-weights"};
constexpr std::array<std::string_view, 2> kKerasWeightsKin = {"keras", "keras-h5"};
constexpr std::array<std::string_view, 1> kSafetensorsSuffixes = {".safetensors"};
constexpr std::array<std::string_view, 2> kTorchSuffixes = {".pt", ".pth"};
constexpr std::array<std::string_view, 1> kNpzSuffixes = {".npz"};
constexpr std::array<std::string_view, 1> kGraphDefSuffixes = {".pb"};
constexpr std::array<std::string_view, 1> kOnnxSuffixes = {".onnx"};

// Those that know folders and prefixes are asked in this order what a path stands for.
constexpr Format kFormats[] = {
    {.name = "saved-model",
     .summary = "TensorFlow SavedModel folder",
     .probe = ProbeSavedModel,
     .resolve = ResolveSavedModel,
     .open = OpenSavedModel,
     .write = WriteSavedModel,
     .can_hold = GraphCanHold,
     .framework = Framework::kTensorFlow,
     .holds_operations = true,
     .marker = SavedModelMarker,
     .record_within = "assets.extra/ckpt.json"},
    {.name = "tf-bundle",
     .summary = "TensorFlow V2 checkpoint",
     .probe = ProbeTfBundle,
     .resolve = ResolveTfV2,
     .open = OpenTfBundle,
     .write = WriteTfBundle,
     .can_hold = TfBundleCanHold,
     .framework = Framework::kTensorFlow,
     .marker = TfBundleMarker},
    {.name = "tf-v1",
     .summary = "TensorFlow V1 checkpoint",
     .probe = ProbeTfV1,
     .resolve = ResolveTfV1,
     .open = OpenTfV1},
    {.name = "tf-meta",
     .summary = "TensorFlow MetaGraphDef (.meta)",
     .probe = ProbeTfMeta,
     .open = OpenTfMeta},
    {.name = "graph-def",
     .summary = "TensorFlow GraphDef, frozen or not, binary or text",
     .suffixes = kGraphDefSuffixes,
     .probe = ProbeGraphDef,
     .open = OpenGraphDef,
     .write = WriteGraphDef,
     .can_hold = GraphCanHold,
     .holds_operations = true},
    {.name = "keras-h5",
     .summary = "legacy Keras HDF5, whole model or weights",
     .suffixes = kHdf5Suffixes,
     .probe = ProbeKerasH5,
     .open = OpenKerasH5,
     .open_weights_of = OpenKerasH5Of,
     .write = WriteKerasH5,
     .can_hold = CanHoldKerasH5,
     .rewrite = RewriteKerasH5,
     .framework = Framework::kKeras},
    {.name = "keras",
     .summary = "Keras 3 archive (.keras)",
     .suffixes = kKerasSuffixes,
     .probe = ProbeKerasArchive,
     .open = OpenKerasArchive,
     .write = WriteKerasArchive,
     .can_hold = CanHoldKerasArchive,
     .rewrite = RewriteKerasArchive,
     .kin = kKerasKin,
     .framework = Framework::kKeras},
    {.name = "keras-weights",
     .summary = "Keras 3 .weights.h5, or a sharded set",
     .suffixes = kKerasWeightsSuffixes,
     .probe = ProbeKerasWeights,
     .open = OpenKerasWeights,
     .open_weights_of = OpenKerasWeightsOf,
     .write = WriteKerasWeights,
     .can_hold = CanHoldKerasWeights,
     .rewrite = RewriteKerasArchive,
     .kin = kKerasWeightsKin,
     .framework = Framework::kKeras},
    {.name = "safetensors",
     .summary = "one file, or a sharded set",
     .suffixes = kSafetensorsSuffixes,
     .probe = ProbeSafetensors,
     .resolve = ResolveSafetensors,
     .open = OpenSafetensors,
     .write = WriteSafetensors,
     .can_hold = CanHoldSafetensors},
    {.name = "torch",
     .summary = "PyTorch .pt and .pth, one file or a sharded set",
     .suffixes = kTorchSuffixes,
     .probe = ProbeTorch,
     .resolve = ResolveTorch,
     .open = OpenTorch,
     .write = WriteTorch,
     .can_hold = CanHoldTorch,
     .framework = Framework::kPyTorch},
    {.name = "npz",
     .summary = "NumPy .npz and .npy",
     .suffixes = kNpzSuffixes,
     .probe = ProbeNpz,
     .open = OpenNpz,
     .write = WriteNpz,
     .can_hold = CanHoldNpz},
    {.name = "onnx",
     .summary = "ONNX model, with external data",
     .suffixes = kOnnxSuffixes,
     .probe = ProbeOnnx,
     .open = OpenOnnx,
     .write = WriteOnnx,
     .can_hold = CanHoldOnnx,
     .rewrite = RewriteOnnx},
    {.name = "flax", .summary = "Flax msgpack", .probe = ProbeFlax, .open = OpenFlax},
    {.name = "darknet",
     .summary = "Darknet .weights and .cfg",
     .probe = ProbeDarknet,
     .open = OpenDarknet},
    {.name = "caffe", .summary = "Caffe .caffemodel", .probe = ProbeCaffe, .open = OpenCaffe},
    {.name = "mxnet", .summary = "MXNet .params", .probe = ProbeMxnet, .open = OpenMxnet},
    {.name = "tfjs", .summary = "TensorFlow.js layers model", .probe = ProbeTfjs, .open = OpenTfjs},
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
