// The readers that are fuzzed: one row is one program.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace ckpt::fuzz {

extern const char kTargetName[];  // of the program: its row

// What is damaged besides the bytes of the file as they stand: what a checksum covers is damaged
// and the checksum made right again, so that mutants get past it.
enum class Sealed : unsigned char { kNothing, kZipMembers, kTableBlocks };

// What is done with what the reader made of a mutant.
enum class Judge : unsigned char { kCheckpoint, kNetwork };

struct Target {
  std::string_view name;    // of the program: fuzz_<name>
  std::string_view format;  // row of the table of formats
  std::string_view open;    // the path that the reader is given
  std::string_view file;    // the path that holds the mutant
  Sealed sealed = Sealed::kNothing;
  std::string_view beside_folder = {};  // in testdata: of the sound files beside it
  std::vector<std::string_view> beside = {};
  Judge judge = Judge::kCheckpoint;
};

// One file, whose network is run.
inline Target RunRow(std::string_view name, std::string_view format, std::string_view file,
                     Sealed sealed = Sealed::kNothing) {
  return {name, format, file, file, sealed, {}, {}, Judge::kNetwork};
}

inline const Target& FindTarget(std::string_view name) {
  static const std::vector<Target> targets = {
      {"safetensors", "safetensors", "m.safetensors", "m.safetensors"},
      {"safetensors_index",
       "safetensors",
       "model.safetensors.index.json",
       "model.safetensors.index.json",
       Sealed::kNothing,
       "safetensors/sharded",
       {"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
        "model-00003-of-00003.safetensors"}},
      {"npy", "npz", "m.npy", "m.npy"},
      {"npz", "npz", "m.npz", "m.npz", Sealed::kZipMembers},
      {"torch", "torch", "m.pt", "m.pt", Sealed::kZipMembers},
      {"torch_legacy", "torch", "m.pth", "m.pth"},
      {"torch_index",
       "torch",
       "pytorch_model.bin.index.json",
       "pytorch_model.bin.index.json",
       Sealed::kNothing,
       "torch/sharded",
       {"pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"}},
      {"tf_bundle",
       "tf-bundle",
       "model.ckpt-700",
       "model.ckpt-700.index",
       Sealed::kTableBlocks,
       "tf1/mnist/correct",
       {"model.ckpt-700.data-00000-of-00001"}},
      {"tf_v1", "tf-v1", "m.ckpt", "m.ckpt", Sealed::kTableBlocks},
      {"tf_meta", "tf-meta", "m.meta", "m.meta"},
      {"graph_def", "graph-def", "m.pb", "m.pb"},
      {"graph_def_text", "graph-def", "m.pbtxt", "m.pbtxt"},
      {"saved_model", "saved-model", "m", "m/saved_model.pb"},
      {"keras_h5", "keras-h5", "m.h5", "m.h5"},
      {"keras", "keras", "m.keras", "m.keras", Sealed::kZipMembers},
      {"keras_weights", "keras-weights", "m.weights.h5", "m.weights.h5"},
      {"keras_weights_index",
       "keras-weights",
       "k3_many.weights.json",
       "k3_many.weights.json",
       Sealed::kNothing,
       "keras3",
       {"k3_many_00000.weights.h5", "k3_many_00001.weights.h5", "k3_many_00002.weights.h5",
        "k3_many_00003.weights.h5", "k3_many_00004.weights.h5"}},
      {"onnx", "onnx", "m.onnx", "m.onnx"},
      {"flax", "flax", "m.msgpack", "m.msgpack"},
      {"darknet",
       "darknet",
       "small.weights",
       "small.cfg",
       Sealed::kNothing,
       "darknet",
       {"small.weights"}},
      {"caffe", "caffe", "m.caffemodel", "m.caffemodel"},
      {"mxnet", "mxnet", "m.params", "m.params"},
      {"mxnet_symbol",
       "mxnet",
       "net-0010.params",
       "net-symbol.json",
       Sealed::kNothing,
       "mxnet",
       {"net-0010.params"}},
      {"tfjs",
       "tfjs",
       "model.json",
       "model.json",
       Sealed::kNothing,
       "tfjs/quantized",
       {"group1-shard1of2.bin", "group1-shard2of2.bin"}},
      RunRow("onnx_network", "onnx", "m.onnx"),
      RunRow("graph_def_network", "graph-def", "m.pb"),
      RunRow("keras_network", "keras", "m.keras", Sealed::kZipMembers),
      RunRow("caffe_network", "caffe", "m.caffemodel"),
      {"darknet_network",
       "darknet",
       "small.weights",
       "small.cfg",
       Sealed::kNothing,
       "darknet",
       {"small.weights"},
       Judge::kNetwork},
      {"mxnet_network",
       "mxnet",
       "net-0010.params",
       "net-symbol.json",
       Sealed::kNothing,
       "mxnet",
       {"net-0010.params"},
       Judge::kNetwork},
  };
  for (const Target& target : targets) {
    if (target.name == name) return target;
  }
  __builtin_trap();  // a program that was built for no row
}

}  // namespace ckpt::fuzz
